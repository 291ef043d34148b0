"""`sloguard report`: what a study on this machine found. Imports nothing that runs a study."""

import json
from pathlib import Path

import click
from rich.console import Console

from sloguard.local.errors import RunDirectoryError
from sloguard.local.knowledge import told
from sloguard.local.records import read_run
from sloguard.report.tables import print_report

WIDTH_WITHOUT_TERMINAL = 140
"""A log or a pipe has no width of its own; rich would take 80 columns."""


class Refused(click.ClickException):
    """Exit code 2; the message says what to change."""

    exit_code = 2


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Study and trials as JSON.")
def report(directory: Path, as_json: bool) -> None:
    """Show what `sloguard tune` found, or has found so far."""
    try:
        run, earlier = read_run(directory), told(directory)
    except RunDirectoryError as error:
        raise Refused(f"{error}.") from error
    trials = list(run.trials.values())
    if as_json:
        click.echo(json.dumps({"study": run.study.dump(), "trials": [t.dump() for t in trials]}, indent=2))
        return
    console = open_console()
    print_report(console, run.study, trials)
    if earlier:
        console.print(f"\n{earlier}", highlight=False)


def open_console() -> Console:
    """As wide as the terminal, and wide enough where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)
