"""The command line: vLLM's flags, and the simulator's own in a group of their own.

Errors read as vLLM's do and end with exit code 2.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from sloguard.simulator.faults import FAULT_HELP, Fault, parse_fault
from sloguard.simulator.flags import add_vllm_flags, default_of
from sloguard.simulator.profiles import ALIASES, DEFAULT_PROFILE, PROFILES, Profile, find_profile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from _typeshed import SupportsWrite

N = TypeVar("N", int, float)
PROFILE_VARIABLE = "SLOGUARD_SIMULATOR_PROFILE"
USAGE = "vllm serve [model_tag] [options]"
_OPTIMIZATION_LEVEL = re.compile(r"^-O(?:=|\.)?([0-3])$")
_DOTTED_JSON = re.compile(r"^(--?[\w-]+)\.[\w.-]+(?:=.*)?$")


@dataclass(frozen=True)
class SimulatorOptions:
    """What no vLLM has. Durations are nominal seconds, before start-up scaling."""

    profile: Profile
    startup_scale: float = 1.0
    seed: int = 0
    faults: tuple[Fault, ...] = ()
    host_memory: bool = False
    gpus: int = 1
    taken_gib: float = 0.0
    compile_cache: str | None = None
    drain_seconds: float = 10.0


@dataclass(frozen=True)
class Arguments:
    """One parsed command line: the flags given, over vLLM's defaults."""

    model: str
    given: dict[str, Any]
    simulator: SimulatorOptions
    host: str | None = None
    port: int = 8000
    non_default: dict[str, Any] = field(default_factory=dict[str, Any])

    def value(self, name: str) -> Any:  # noqa: ANN401 - flags have several types
        """The flag as given, or vLLM's default of it."""
        return self.given[name] if name in self.given else default_of(name)


class _VllmParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # An unknown flag is found by vLLM's outer parser, a bad value by that of `serve`.
        unrecognized = message.startswith("unrecognized arguments")
        self._print_message(f"usage: {'vllm [-h] [-v] {serve,...} ...' if unrecognized else USAGE}\n")
        self.exit(2, f"{'vllm' if unrecognized else 'vllm serve'}: error: {message}\n")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        super()._print_message(message, file or sys.stderr)


def _at_least(minimum: float, kind: type[N]) -> Callable[[str], N]:
    def parse(text: str) -> N:
        value = kind(text)
        if not value >= minimum:
            raise argparse.ArgumentTypeError(f"{text} is below {minimum:g}")
        return value

    parse.__name__ = kind.__name__
    return parse


def _profile(name: str) -> Profile:
    try:
        return find_profile(name)
    except KeyError as error:
        raise argparse.ArgumentTypeError(error.args[0]) from None


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def build_parser() -> argparse.ArgumentParser:
    """The parser of `sloguard simulate`."""
    parser = _VllmParser(
        prog="sloguard simulate",
        usage="sloguard simulate [MODEL] [vLLM options] [simulator options]",
        description="SLO-Guard's simulator: serves like vLLM on a GPU that is not there.",
        epilog=FAULT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("model_tag", nargs="?", default=None, help="any name; the profile says what it is")
    parser.add_argument("--model", default=None, help=argparse.SUPPRESS)
    _add_simulator_options(parser)
    add_vllm_flags(parser)
    parser.add_argument("-h", "--help", action="store_true", dest="show_help")
    return parser


def _add_simulator_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("simulator options", "these exist in the simulator only")
    default_profile = os.environ.get(PROFILE_VARIABLE) or DEFAULT_PROFILE
    names = ", ".join([*PROFILES, *(f"{alias} (= {name})" for alias, name in ALIASES.items())])
    text = f"GPU and model: {names}; default {DEFAULT_PROFILE}, or the environment's {PROFILE_VARIABLE}"
    group.add_argument("--profile", type=_profile, default=default_profile, help=text)
    positive, non_negative = _at_least(1e-9, float), _at_least(0, float)
    text = "multiplies every start-up phase; 0.02 starts in about two seconds (serving is always in real time)"
    group.add_argument("--startup-scale", type=positive, default=1.0, help=text)
    text = "a fault to inject, may be repeated; the kinds are listed below"
    group.add_argument("--fault", type=_fault, action="append", default=[], metavar="KIND[@PHASE|SECONDS]", help=text)
    text = "really take the host memory that vLLM takes, see sloguard.simulator.hostmemory; off by default"
    group.add_argument("--host-memory", action="store_true", help=text)
    text = "seed of timing noise and of natural output lengths"
    group.add_argument("--simulator-seed", type=int, default=0, help=text)
    group.add_argument("--gpus", type=_at_least(1, int), default=1, help="how many GPUs this host has")
    text = "GPU memory that a neighbour holds, GiB: the same as --fault gpu-memory-taken, with an amount"
    group.add_argument("--gpu-memory-taken-gib", type=non_negative, default=0.0, help=text)
    text = "directory of the compile cache; without it every start compiles (a hit starts faster and leaves more KV)"
    group.add_argument("--compile-cache", default=None, metavar="DIR", help=text)
    text = "after SIGTERM, how long open streams may go on before they are cut, seconds"
    group.add_argument("--drain-seconds", type=non_negative, default=10.0, help=text)


def _normalise(argv: Sequence[str]) -> list[str]:
    """Undoes vLLM's spellings: underscores in flag names, `-O3`, dotted JSON keys such as `-cc.mode=none`."""
    result: list[str] = []
    for argument in _with_config_file(argv):
        if level := _OPTIMIZATION_LEVEL.match(argument):
            result += ["--optimization-level", level.group(1)]
        elif argument.startswith("--"):
            name, equals, value = argument.partition("=")
            result.append(name.replace("_", "-") + equals + value)
        else:
            result.append(argument)
    return _fold_dotted(result)


def _with_config_file(argv: Sequence[str]) -> list[str]:
    """Reads `--config FILE` (YAML) into flags that go first, so that the command line has the last word."""
    arguments = list(argv)
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name == "--config":
            path = value if equals else "".join(arguments[index + 1 : index + 2])
            return [*_config_flags(path), *arguments[:index], *arguments[index + (1 if equals else 2) :]]
    return arguments


def _config_flags(path: str) -> list[str]:
    import yaml  # noqa: PLC0415 - only for --config

    entries = cast("dict[str, Any]", yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {})
    flags: list[str] = []
    for key, value in entries.items():
        if isinstance(value, bool):
            flags.append(f"--{key}" if value else f"--no-{key}")
        elif isinstance(value, list):
            flags += [f"--{key}", *(str(item) for item in cast("list[Any]", value))]
        else:
            flags += [f"--{key}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return flags


def _fold_dotted(argv: list[str]) -> list[str]:
    """`-cc.mode=none`, `--speculative-config.method ngram`: keys of JSON options, gathered into one object."""
    folded: dict[str, dict[str, Any]] = {}
    rest: list[str] = []
    items = iter(argv)
    for argument in items:
        if not _DOTTED_JSON.match(argument):
            rest.append(argument)
            continue
        name, equals, value = argument.partition("=")
        flag, _, key = name.partition(".")
        folded.setdefault(flag, {})[key] = _json_value(value if equals else next(items, ""))
    for flag, values in folded.items():
        rest += [flag, json.dumps(values)]
    return rest


def _json_value(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text)
    except ValueError:
        return text


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Parses or exits: 2 with vLLM's message for bad arguments, 0 after --help."""
    parser = build_parser()
    namespace = vars(parser.parse_args(_normalise(argv)))
    if namespace.pop("show_help"):
        parser.print_help()
        parser.exit(0)
    simulator = SimulatorOptions(
        profile=namespace.pop("profile"),
        startup_scale=namespace.pop("startup_scale"),
        seed=namespace.pop("simulator_seed"),
        faults=tuple(namespace.pop("fault")),
        host_memory=namespace.pop("host_memory"),
        gpus=namespace.pop("gpus"),
        taken_gib=namespace.pop("gpu_memory_taken_gib"),
        compile_cache=namespace.pop("compile_cache"),
        drain_seconds=namespace.pop("drain_seconds"),
    )
    model_tag, model_flag = namespace.pop("model_tag"), namespace.pop("model")
    model = model_tag or model_flag or simulator.profile.model.name
    non_default = {name: value for name, value in namespace.items() if value != default_of(name)}
    if model_tag:
        non_default = {"model_tag": model_tag, "model": model, **non_default}
    return Arguments(
        model=model,
        given=namespace,
        simulator=simulator,
        host=namespace.get("host"),
        port=namespace.get("port", 8000),
        non_default=non_default,
    )
