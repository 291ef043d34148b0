"""A study's present state, worked out once for each plan. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from sloguard.api.v1alpha1 import Purpose, Study, StudyPhase, StudySpec, Trial
from sloguard.domain.arguments import ArgumentsError, tuned, with_parameters
from sloguard.domain.demand import demand_of
from sloguard.domain.knobs import KnobError, parse_values
from sloguard.domain.ledger import EMPTY, Ledger
from sloguard.domain.rules import Context
from sloguard.domain.score import comparison_rate_percent
from sloguard.engine import budget
from sloguard.engine.actions import Action, Event
from sloguard.engine.gate import Gate, judge
from sloguard.engine.room import AMPLE, Room
from sloguard.engine.same import Same, all_same, of_all
from sloguard.engine.snapshot import Snapshot, TargetProblem, TargetState
from sloguard.engine.target_change import argument_changes, present_trials, program_change
from sloguard.optimizer import Space, SpaceError, make_space

TARGET_CHANGED = "TargetChanged"

IDLE_SECONDS = 15.0
AT_ONCE = 0.0

MOST_KEPT = 64
"""Studies whose last judgement is kept, for as long as their records stay as they are."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the study stands after this plan: phase, and a reason and a sentence for its conditions."""

    phase: StudyPhase
    reason: str
    message: str
    stalled: bool = False
    wake_after_seconds: float = IDLE_SECONDS
    asks_for_room: bool = False


@dataclass(frozen=True, slots=True)
class SearchEnd:
    """Why the search is over: a CamelCase reason and a sentence, for condition SearchEnded."""

    reason: str
    message: str


@dataclass(slots=True)
class Draft:
    """A plan in the making. `resumed` says why the search goes on after repeats."""

    actions: list[Action] = field(default_factory=list[Action])
    events: list[Event] = field(default_factory=list[Event])
    search_end: SearchEnd | None = None
    resumed: str = ""


@dataclass(frozen=True, slots=True)
class Ground:
    """What trials stand on: production as it is now, what may be tried instead, and what earlier studies left."""

    target: TargetState
    space: Space
    ledger: Ledger | None = EMPTY

    def arguments_of(self, trial: Trial) -> tuple[str, ...]:
        """Production's own for trial 0; else production's with the tuned settings replaced by the trial's."""
        if trial.spec.purpose is Purpose.PRODUCTION:
            return self.target.arguments
        return tuple(with_parameters(self.target.arguments, self.space.names, trial.spec.parameters))


def find_ground(snapshot: Snapshot) -> Ground | TargetProblem:
    """Or why no trial can be made now, with what a person can do about it."""
    target = snapshot.target
    if isinstance(target, TargetProblem):
        return target
    changed = change_of(snapshot, target)
    if changed:
        message = (
            f"somebody changed production, {changed}: what was measured no longer compares with it. "
            "Put it back, create a new study, or set spec.onTargetChange to Restart"
        )
        return TargetProblem(TARGET_CHANGED, message)
    if target.replicas == 0:
        return TargetProblem("TargetScaledToZero", "production has no replicas; scale it up to go on")
    try:
        for trial in snapshot.trials:
            parse_values(trial.spec.parameters)
        return Ground(target, make_target_space(snapshot.study, target), snapshot.ledger)
    except SpaceError as error:
        return TargetProblem("SearchSpaceInvalid", str(error))
    except (ArgumentsError, KnobError) as error:
        return TargetProblem("ArgumentsNotUnderstood", str(error))


def change_of(snapshot: Snapshot, target: TargetState) -> str:
    """What was changed since the trials that count were begun, or nothing."""
    measured = _measured_arguments(present_trials(snapshot.study, snapshot.trials)[1])
    arguments = argument_changes(measured, target.arguments) if measured is not None else ""
    return " and ".join(filter(None, [program_change(snapshot.study.status.target, target), arguments]))


def _measured_arguments(trials: Iterable[Trial]) -> list[str] | None:
    """Production's arguments as trial 0 recorded them, once it has begun."""
    recorded = (t.status.arguments for t in trials if t.spec.purpose is Purpose.PRODUCTION and t.status.started_at)
    return next(recorded, None)


def make_target_space(study: Study, target: TargetState) -> Space:
    """The study's search space against production as it is."""
    return _space(Same(study.spec), target.arguments)


@lru_cache(maxsize=MOST_KEPT)
def _space(of: Same[StudySpec], arguments: tuple[str, ...]) -> Space:
    spec = of.it
    demand = demand_of(spec.workload, spec.slos)
    context = Context(
        min_model_len_tokens=spec.workload.longest_request_tokens,
        request_tokens=demand.request_tokens,
        concurrency=demand.concurrency,
    )
    return make_space(spec.search_space, parse_values(tuned(arguments)), context)


def latest_attempts(trials: Iterable[Trial]) -> list[Trial]:
    """The last attempt of each number, by number."""
    by_attempt = sorted(trials, key=lambda t: (t.spec.number, t.spec.attempt))
    return list({t.spec.number: t for t in by_attempt}.values())


@dataclass(frozen=True, slots=True)
class Known:
    """What the records say: trials after their own steps, what they used, and the gate's view of them.

    `trials` are numbered from production's; `earlier` are of production before somebody changed it: they count for
    nothing but what they used. `canaries` are none of these: what production's traffic says decides over no winner.
    """

    study: Study
    now: datetime
    trials: tuple[Trial, ...]
    latest: list[Trial]
    percent: int
    used: budget.Spent
    gate: Gate
    earlier: tuple[Trial, ...] = ()
    canaries: tuple[Trial, ...] = ()
    room: Room | None = AMPLE

    @property
    def unfinished(self) -> list[Trial]:
        """Trials under way or about to be."""
        return [t for t in self.trials if not t.finished]

    @property
    def search_ended(self) -> bool:
        """No trial was wanted any more. It stays so: a study that has ended does not go on, whatever is changed."""
        return self.study.status.finished_at is not None


def know(snapshot: Snapshot, trials: tuple[Trial, ...], now: datetime) -> Known:
    """All that follows from the records."""
    earlier, everything = present_trials(snapshot.study, trials)
    present = tuple(trial for trial in everything if trial.spec.purpose is not Purpose.CANARY)
    latest = latest_attempts(present)
    percent = comparison_rate_percent(latest)
    return Known(
        study=snapshot.study,
        now=now,
        trials=present,
        latest=latest,
        percent=percent,
        used=budget.spent(snapshot, trials, now),
        gate=_judged(Same(snapshot.study.spec), all_same(latest), percent),
        earlier=earlier,
        canaries=tuple(trial for trial in everything if trial.spec.purpose is Purpose.CANARY),
        room=snapshot.room,
    )


@lru_cache(maxsize=MOST_KEPT)
def _judged(spec: Same[StudySpec], latest: tuple[Same[Trial], ...], percent: int) -> Gate:
    return judge(spec.it, of_all(latest), percent)
