"""`sloguard tune` and `sloguard report`: one study on this machine, and what it found."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console

from sloguard.api.loading import StudyFileError, load_study
from sloguard.api.v1alpha1 import Study, StudyPhase, TargetKind
from sloguard.domain.arguments import ArgumentsError, split_command
from sloguard.local.progress import Progress
from sloguard.local.records import RunDirectory, RunDirectoryError
from sloguard.local.substrate import command_problem
from sloguard.local.tune import tune as run_study
from sloguard.report.tables import print_report

EXIT_NO_RECOMMENDATION = 3
EXIT_STALLED = 4


@click.command()
@click.argument("study_file", type=click.Path(path_type=Path), metavar="STUDY.yaml")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Directory of the results; the same one resumes. Default: results/NAME.",
)
def tune(study_file: Path, output: Path | None) -> None:
    """Run a study on this machine.

    Exit codes: 0 a configuration is recommended; 3 none is better than today's; 4 the study cannot go on;
    2 the study file or the directory is wrong; 130 interrupted (the same command resumes).
    """
    study = _read(study_file)
    directory = output or Path("results") / study.name
    console = Console()
    try:
        with Progress(console, study) as progress:
            run = run_study(study, directory, progress.show)
    except RunDirectoryError as error:
        raise click.UsageError(str(error)) from error
    except KeyboardInterrupt:
        console.print(f"Interrupted. Resume with the same command; what was measured is in {directory}.")
        sys.exit(130)
    print_report(console, run.study, list(run.trials.values()))
    console.print(f"Results: {directory}")
    sys.exit(_exit_code(run))


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Study and trials as JSON.")
def report(directory: Path, as_json: bool) -> None:
    """Show what `sloguard tune` found."""
    try:
        run = RunDirectory.open(directory)
    except RunDirectoryError as error:
        raise click.UsageError(str(error)) from error
    trials = list(run.trials.values())
    if as_json:
        click.echo(json.dumps({"study": run.study.dump(), "trials": [t.dump() for t in trials]}, indent=2))
        return
    print_report(Console(), run.study, trials)


def _read(path: Path) -> Study:
    try:
        study = load_study(path)
        if study.spec.target.kind is not TargetKind.PROCESS:
            raise click.UsageError(
                f"{path}: spec.target.kind is {study.spec.target.kind.value}; `sloguard tune` runs a Process here. "
                "Set kind: Process and command: [vllm, serve, MODEL], or apply the study to a cluster"
            )
        command = study.spec.target.command or []
        split_command(command)
    except (StudyFileError, ArgumentsError) as error:
        raise click.UsageError(str(error)) from error
    problem = command_problem(command)
    if problem is not None:
        raise click.UsageError(f"{path}: {problem}")
    return study


def _exit_code(run: RunDirectory) -> int:
    if run.study.status.recommendation is not None:
        return 0
    return EXIT_NO_RECOMMENDATION if run.study.status.phase is StudyPhase.COMPLETED else EXIT_STALLED
