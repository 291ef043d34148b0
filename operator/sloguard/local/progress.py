"""What a person sees while a study runs: two live lines under the news on a terminal, the news alone elsewhere."""

import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sloguard.api.v1alpha1 import Study, StudyPhase, Trial, TrialPhase
from sloguard.domain.score import UNITS
from sloguard.engine.actions import EventType, Plan
from sloguard.local.records import Run

STAGES = {TrialPhase.PENDING: "next", TrialPhase.STARTING: "server starting", TrialPhase.LOADING: "under load"}

PHASES = {phase.value for phase in StudyPhase}


class Progress:
    """Use as a context manager; call `show` after each plan."""

    def __init__(self, console: Console, study: Study) -> None:
        self._console = console
        self._study = study
        self._run = Run(study)
        self._begun = time.monotonic()
        self._live = Live(console=console, transient=True, refresh_per_second=4, get_renderable=self._lines)
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        budget = self._study.spec.budget
        self.say(f"Study {self._study.name}: at most {budget.trials} trials and {budget.gpu_minutes} GPU-minutes")
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, run: Run, plan: Plan) -> None:
        """Tell what is new."""
        self._run = run
        for event in plan.events:
            # A phase is named after what its trials tell by themselves.
            if event.key not in self._said and event.reason not in PHASES:
                self._said.add(event.key)
                self.say(event.message, style="" if event.type is EventType.NORMAL else "yellow")

    def say(self, message: str, style: str = "") -> None:
        """News with its time; on a terminal wrapped beside it, elsewhere one line whatever its length."""
        elapsed = f"{time.monotonic() - self._begun:5.0f} s"
        if not self._console.is_terminal:
            self._console.print(Text(f"{elapsed}  {message}"), soft_wrap=True)
            return
        line = Table.grid(padding=(0, 2))
        line.add_row(Text(elapsed, style="dim", no_wrap=True), Text(message, style=style))
        self._console.print(line)

    def _lines(self) -> Text:
        lines = Text("\n").join([Text(self._doing()), Text(self._standing(), style="dim")])
        lines.no_wrap, lines.overflow = True, "ellipsis"
        return lines

    def _doing(self) -> str:
        trials = [_told(t) for t in self._run.trials.values() if not t.finished]
        return f"{self._run.study.status.phase.value}: {'; '.join(trials) or 'choosing the next trial'}"

    def _standing(self) -> str:
        status, budget = self._run.study.status, self._study.spec.budget
        best = f"best {status.best.objective_value} {UNITS[self._study.spec.objective]}, " if status.best else ""
        counted = [t for t in self._run.trials.values() if t.spec.costs_a_trial]
        under_way = {t.spec.number for t in counted if not t.finished}
        left = budget.trials - len({t.spec.number for t in counted} - under_way)
        minutes = max(budget.gpu_minutes - status.gpu_minutes, 0)
        return f"{best}{status.trials.crashed} crashed, {left} trials and {minutes} GPU-minutes left"


def _told(trial: Trial) -> str:
    status = trial.status
    since = status.load_started_at or status.started_at
    elapsed = f" {(datetime.now(UTC) - since).total_seconds():.0f} s" if since else ""
    attempt = f", attempt {trial.spec.attempt}" if trial.spec.attempt > 1 else ""
    purpose = trial.spec.purpose.value.lower()
    return f"trial {trial.spec.number} ({purpose}{attempt}), {STAGES.get(status.phase, '')}{elapsed}"
