"""Plain lines in a log, live lines on a terminal of 80 columns."""

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from sloguard.api.v1alpha1 import (
    ObjectMeta,
    Purpose,
    Scored,
    StudyPhase,
    StudyStatus,
    Trial,
    TrialCounts,
    TrialPhase,
    TrialSpec,
    TrialStatus,
)
from sloguard.engine.actions import Event, Plan
from sloguard.local.progress import Progress
from sloguard.local.records import Run
from tests.unit.local.conftest import as_study, short_study

STATUS = StudyStatus(
    phase=StudyPhase.SEARCHING,
    trials=TrialCounts(total=3, running=1, crashed=1),
    gpu_minutes=2,
    best=Scored(trial="short-1-1", goodput_tokens_per_second=640, objective_value=640),
)
EVENTS = (
    Event("a", "TrialRecorded", "a long [message] " + "word " * 30),
    Event("b", "Searching", "told by the trial already"),
)


def run() -> Run:
    study = as_study(short_study()).model_copy(update={"status": STATUS})
    over = TrialStatus(phase=TrialPhase.FINISHED)
    loading = TrialStatus(phase=TrialPhase.LOADING, load_started_at=datetime.now(UTC) - timedelta(seconds=7))
    trials = [
        a_trial(0, over, purpose=Purpose.PRODUCTION),
        a_trial(1, over, purpose=Purpose.DEFAULT),
        a_trial(2, over),
        a_trial(2, loading, attempt=2),
        a_trial(3, over, purpose=Purpose.SOAK),
    ]
    return Run(study, {trial.name: trial for trial in trials})


def a_trial(number: int, status: TrialStatus, *, attempt: int = 1, purpose: Purpose = Purpose.SEARCH) -> Trial:
    spec = TrialSpec(study="short", number=number, attempt=attempt, purpose=purpose)
    return Trial(metadata=ObjectMeta(name=f"short-{number}-{attempt}"), spec=spec, status=status)


def shown(*, terminal: bool) -> str:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=80, color_system=None)
    with Progress(console, run().study) as progress:
        for _ in range(2):
            progress.show(run(), Plan(STATUS, events=EVENTS))
    return text.getvalue()


def test_each_piece_of_news_is_one_plain_line():
    lines = shown(terminal=False).splitlines()
    assert lines[0] == "    0 s  Study short: at most 4 trials and 5 GPU-minutes"
    assert [line.rstrip() for line in lines[1:]] == ["    0 s  a long [message] " + ("word " * 30).rstrip()]


def test_live_lines_fit_a_terminal():
    told = shown(terminal=True)
    assert "Searching: trial 2 (search, attempt 2), under load 7 s" in told
    assert "best 640 tokens/s, 1 crashed, 2 trials and 3 GPU-minutes left" in told
    assert told.count("a long [message]") == 1
