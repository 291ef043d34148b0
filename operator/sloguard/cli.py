"""The command `sloguard`. Each command lives with its subject and is imported only when it is called."""

import importlib
import sys

import click

from sloguard import __version__

COMMANDS = {
    "tune": "sloguard.local.command:tune",
    "report": "sloguard.local.report_command:report",
    "promote": "sloguard.gitops.promote_command:promote",
    "propose": "sloguard.gitops.propose_command:propose",
    "classify": "sloguard.report.classify:classify",
    "load": "sloguard.measure.command:load",
    "measure": "sloguard.measure.live_command:measure",
    "simulate": "sloguard.simulator.serve:main",
    "operator": "sloguard.cluster.command:operator",
    "list-optimizers": "sloguard.optimizer.command:list_optimizers",
}

SHORT_HELP = {
    "tune": "Run a study on this machine.",
    "report": "Show what a study on this machine found.",
    "promote": "Write what a study found into manifests or values.",
    "propose": "Bring a change to a repository, as an operator's Job does.",
    "classify": "Say why a vLLM server died, from its log.",
    "load": "Put a study's load on a server and measure goodput.",
    "measure": "Hold live traffic against a study's SLOs, from Prometheus.",
    "simulate": "Serve a stand-in for vLLM that needs no GPU.",
    "operator": "Run the Kubernetes operator.",
    "list-optimizers": "Show the search strategies.",
}


class LazyGroup(click.Group):
    """`sloguard load` starts in a pod for each trial: it must not import what only the operator needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        if cmd_name == "simulate":
            return _simulate
        module, attribute = COMMANDS[cmd_name].split(":")
        return getattr(importlib.import_module(module), attribute)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(SHORT_HELP.items()))


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def _simulate(arguments: tuple[str, ...]) -> None:
    """Serve a stand-in for vLLM. The arguments are vLLM's own; the simulator parses them."""
    from sloguard.simulator.serve import main as simulate  # noqa: PLC0415 - see LazyGroup

    sys.exit(simulate(list(arguments)))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sloguard")
def main() -> None:
    """Find vLLM settings that serve more within your latency SLOs."""
