"""What a person sees while a study runs: a live line on a terminal, plain lines elsewhere."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from sloguard.api.v1alpha1 import Study, Trial, TrialPhase
from sloguard.engine.actions import Plan
from sloguard.local.records import RunDirectory


class Progress:
    """Use as a context manager; call `show` after each plan."""

    def __init__(self, console: Console, study: Study) -> None:
        self._console = console
        self._study = study
        self._live = Live(Text("starting"), console=console, transient=True, refresh_per_second=4)
        self._said: set[str] = set()

    def __enter__(self) -> Self:
        self._console.print(f"Study {self._study.name}: {self._study.spec.budget.trials} trials at most")
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, run: RunDirectory, plan: Plan) -> None:
        for event in plan.events:
            if event.key not in self._said:
                self._said.add(event.key)
                self._console.print(f"[bold]{event.reason}[/bold] {escape(event.message)}", highlight=False)
        if self._console.is_terminal:
            self._live.update(Text(_line(run)))


def _line(run: RunDirectory) -> str:
    status = run.study.status
    busy = [_doing(t) for t in run.trials.values() if not t.finished]
    best = f", best {status.best.goodput_tokens_per_second} tokens/s" if status.best else ""
    crashed = f", {status.trials.crashed} crashed" if status.trials.crashed else ""
    done = status.trials.total - status.trials.running
    return f"{status.phase.value}: {done} of {run.study.spec.budget.trials} trials{crashed}{best}. {'; '.join(busy)}"


def _doing(trial: Trial) -> str:
    words = {TrialPhase.PENDING: "is next", TrialPhase.STARTING: "is starting", TrialPhase.LOADING: "is under load"}
    return f"{trial.name} {words.get(trial.status.phase, '')}"
