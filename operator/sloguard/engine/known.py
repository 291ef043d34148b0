"""A study's present state, worked out once for each plan. Pure."""

from dataclasses import dataclass, field
from datetime import datetime

from sloguard.api.v1alpha1 import Purpose, Study, StudyPhase, Trial
from sloguard.domain.arguments import tuned, with_parameters
from sloguard.domain.knobs import parse_values
from sloguard.domain.rules import Context
from sloguard.domain.score import comparison_rate_percent
from sloguard.engine import budget
from sloguard.engine.actions import Action, Event
from sloguard.engine.candidates import latest_attempts
from sloguard.engine.gate import Gate, judge
from sloguard.engine.snapshot import Snapshot, TargetState
from sloguard.optimizer import Space, make_space

IDLE_SECONDS = 15.0
AT_ONCE = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the study stands after this plan: phase, and a reason and a sentence for its conditions."""

    phase: StudyPhase
    reason: str
    message: str
    stalled: bool = False
    wake_after_seconds: float = IDLE_SECONDS


@dataclass(frozen=True, slots=True)
class Known:
    """The study's present state, worked out once: trials after their own steps, the space, and the gate's view."""

    snapshot: Snapshot
    now: datetime
    target: TargetState
    space: Space
    trials: tuple[Trial, ...]
    latest: list[Trial]
    percent: int
    used: budget.Spent
    gate: Gate

    @property
    def study(self) -> Study:
        return self.snapshot.study

    @property
    def unfinished(self) -> list[Trial]:
        return [t for t in self.latest if not t.finished]


@dataclass(slots=True)
class Draft:
    """A plan in the making."""

    actions: list[Action] = field(default_factory=list[Action])
    events: list[Event] = field(default_factory=list[Event])


def make_target_space(study: Study, target: TargetState) -> Space:
    """The study's search space against production as it is."""
    workload = study.spec.workload
    longest = workload.prompt_tokens.max + workload.output_tokens.max
    production = parse_values(tuned(target.arguments))
    return make_space(study.spec.search_space, production, Context(min_model_len_tokens=longest))


def arguments_of(trial: Trial, target: TargetState, space: Space | None) -> tuple[str, ...]:
    """Production's own for trial 0; else production's with the tuned settings replaced by the trial's."""
    if trial.spec.purpose is Purpose.PRODUCTION or space is None:
        return target.arguments
    return tuple(with_parameters(target.arguments, space.names, trial.spec.parameters))


def know(snapshot: Snapshot, target: TargetState, space: Space, trials: tuple[Trial, ...], now: datetime) -> Known:
    latest = latest_attempts(trials)
    percent = comparison_rate_percent(latest)
    return Known(
        snapshot=snapshot,
        now=now,
        target=target,
        space=space,
        trials=trials,
        latest=latest,
        percent=percent,
        used=budget.spent(snapshot, trials, latest, target.gpus, now),
        gate=judge(snapshot.study.spec, latest, percent),
    )
