"""`sloguard tune`: one study on this machine."""

import signal
import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from sloguard.api.loading import StudyFileError, load_study
from sloguard.api.v1alpha1 import ArrivalPattern, ConditionStatus, Knowledge, Study, StudyPhase, TargetKind
from sloguard.domain.arguments import ArgumentsError
from sloguard.local import command_line
from sloguard.local.errors import LedgerError, LocalError, RunDirectoryError
from sloguard.local.ledger_file import default_path
from sloguard.local.progress import Progress
from sloguard.local.records import Run
from sloguard.local.report_command import Refused, open_console
from sloguard.local.tune import tune as run_study
from sloguard.measure.request import LoadInputError
from sloguard.measure.trace_file import trace_of
from sloguard.measure.words import words_of
from sloguard.report.tables import print_report

EXIT_NO_RECOMMENDATION = 3
EXIT_STALLED = 4
SIGNALLED = 128


class Stopped(click.ClickException):
    """Exit code 4: the study cannot go on before somebody does something."""

    exit_code = EXIT_STALLED


@click.command()
@click.argument("study_file", type=click.Path(path_type=Path), metavar="STUDY.yaml")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Directory of the results; the same one goes on with them. Default: results/NAME.",
)
@click.option(
    "--ledger",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the margins and crashes of earlier studies, to begin with and to add to. "
    "Default: $XDG_STATE_HOME/sloguard/ledger.jsonl, else under ~/.local/state.",
)
@click.option("--no-ledger", is_flag=True, help="Know nothing of earlier studies, and leave nothing to later ones.")
def tune(study_file: Path, output: Path | None, ledger: Path | None, no_ledger: bool) -> None:
    """Run a study on this machine, or go on with one that was interrupted.

    Ctrl-C ends the running server and stops; a second one does not wait for it. The same command then resumes, as it
    does after a crash, a kill or a reboot.

    \b
    Exit codes:
      0    a configuration is recommended
      2    the study file, the command in it or the directory is wrong; nothing was run
      3    the study is complete and nothing better than today's settings was found
      4    the study cannot go on; the message says what to mend
      130  interrupted with Ctrl-C (143: SIGTERM, 129: SIGHUP)
    """  # noqa: D301 - \b is click's mark for lines that are not to be wrapped
    if ledger is not None and no_ledger:
        raise click.UsageError(f"--ledger {ledger} and --no-ledger contradict each other; give one of them")
    study = _read(study_file)
    directory = output or Path("results") / study.name
    console = open_console()
    try:
        with Progress(console, study) as progress:
            alone = no_ledger or study.spec.knowledge is Knowledge.ISOLATED
            file = None if alone else ledger or default_path()
            ending = run_study(study, directory, progress.show, lambda: progress.say(_STOPPING), file, progress.say)
    except (RunDirectoryError, LedgerError) as error:
        raise Refused(f"{error}.") from error
    except KeyboardInterrupt:  # before anything was begun
        sys.exit(SIGNALLED + signal.SIGINT)
    except LocalError as error:
        raise Stopped(f"{error}. Then resume with the same command; what was measured is in {directory}.") from error
    if ending.interrupted is not None:
        console.print(f"Interrupted. The same command resumes; what was measured is in {directory}.", soft_wrap=True)
        sys.exit(SIGNALLED + ending.interrupted)
    _conclude(console, ending.run, directory)


_STOPPING = "Stopping: the running trial is ended and will be made again. Ctrl-C once more does not wait for its server"


def _read(path: Path) -> Study:
    try:
        study = load_study(path)
        if study.spec.target.kind is not TargetKind.PROCESS:
            raise Refused(
                f"{path}: spec.target.kind is {study.spec.target.kind.value}; `sloguard tune` runs a Process here. "
                "Set kind: Process and command: [vllm, serve, MODEL], or apply the study to a cluster."
            )
        if study.spec.workload.arrival.pattern is ArrivalPattern.FROM_PRODUCTION:
            raise Refused(
                f"{path}: spec.workload.arrival.pattern FromProduction is for a cluster, whose operator has a "
                "Prometheus; give requestsPerMinute and another pattern."
            )
        problem = command_line.problem(study.spec)
        trace_of(study.spec.workload)  # what is wrong with its files is told before anything is started
        words_of(study.spec.workload)
    except StudyFileError as error:
        raise Refused(str(error)) from error
    except LoadInputError as error:
        raise Refused(f"{path}: spec.workload: {error}.") from error
    except ArgumentsError as error:
        raise Refused(f"{path}: spec.target.command: {error}.") from error
    if problem is not None:
        raise Refused(f"{path}: {problem}.")
    return study


def _conclude(console: Console, run: Run, directory: Path) -> NoReturn:
    print_report(console, run.study, list(run.trials.values()))
    console.print(f"\nResults: {directory}", soft_wrap=True, highlight=False)
    if run.study.status.recommendation is not None:
        sys.exit(0)
    if run.study.status.phase is StudyPhase.COMPLETED:
        sys.exit(EXIT_NO_RECOMMENDATION)
    raise Stopped(f"the study cannot go on: {_stall(run)}. Once that is mended, the same command resumes.")


def _stall(run: Run) -> str:
    """What the planner said; a suspended study is not stalled but just as still."""
    status = run.study.status
    said = [c.message for c in status.conditions if c.type == "Stalled" and c.status is ConditionStatus.TRUE]
    said += [c.message for c in status.conditions if c.type == "Reconciling"]
    return next(iter(said), status.phase.value)
