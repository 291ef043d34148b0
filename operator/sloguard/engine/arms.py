"""Trials as the contest sees them: a configuration's first run, its repeats, and what each of them says. Pure."""

from collections.abc import Iterable, Sequence

from sloguard.api.v1alpha1 import Objective, Outcome, Purpose, Trial
from sloguard.domain.contest import Arm, Run
from sloguard.domain.result import VIOLATION_CAP
from sloguard.domain.score import (
    MEASURED,
    OFFERED_PERCENT,
    figure_of,
    grain_of,
    highest_figure_of,
    worst_violation_ratio,
)
from sloguard.engine.soak import soaks_of


def arm_of(
    firsts: Sequence[Trial], repeats: Iterable[Trial], objective: Objective, percent: int, *, at_most: bool = False
) -> Arm:
    """Named after the first of `firsts`, which are runs that tell of its noise but are none of its repeats.

    `at_most`: a run that was ended early counts with what it could have given, so that nothing is better than it by
    having been given the time.
    """
    first = firsts[0]
    earlier = [run for t in firsts if (run := run_of(t, objective, percent, at_most=at_most)) is not None]
    done = [run for t in repeats if (run := run_of(t, objective, percent, at_most=at_most)) is not None]
    return Arm(
        name=str(first.spec.number),
        earlier=tuple(earlier),
        repeats=tuple(done),
        grain=grain_of(first, objective, percent),
        dead=first.status.outcome is Outcome.CRASHED,
    )


def run_of(trial: Trial, objective: Objective, percent: int, *, at_most: bool = False) -> Run | None:
    """None where the trial says nothing of its configuration: under way, or infrastructure's fault."""
    if trial.status.outcome is Outcome.CRASHED:
        return Run(0.0, VIOLATION_CAP, VIOLATION_CAP, crashed=True)
    figure = figure_of(trial, objective, percent) if trial.status.outcome in MEASURED else None
    if figure is None:
        return None
    if at_most:
        figure = highest_figure_of(trial, objective, percent) or figure
    return Run(
        figure,
        worst_violation_ratio(trial, objective, percent),
        worst_violation_ratio(trial, Objective.GOODPUT, OFFERED_PERCENT),
    )


def repeats_of(first: Trial, trials: Sequence[Trial]) -> list[Trial]:
    """Of production, of the defaults or of a candidate, in the order in which they were made, finished or not."""
    baseline = [t for t in trials if t.spec.is_repeat and t.spec.purpose is first.spec.purpose]
    return sorted([*baseline, *confirmations_of(first, trials)], key=lambda t: t.spec.number)


def confirmations_of(first: Trial, trials: Iterable[Trial]) -> list[Trial]:
    """Its repeats as a candidate, which production never is."""
    if first.spec.purpose is Purpose.PRODUCTION:
        return []
    confirmed = (t for t in trials if t.spec.purpose is Purpose.CONFIRM)
    return [t for t in confirmed if t.spec.parameters == first.spec.parameters]


def begun_with(candidate: Trial, trials: Iterable[Trial]) -> list[Trial]:
    """What was made of it because it may win: confirmations and soaks, by their numbers."""
    known = list(trials)
    return sorted(
        [*confirmations_of(candidate, known), *soaks_of(candidate, known)], key=lambda trial: trial.spec.number
    )


def taught(trial: Trial) -> bool:
    """Whether the trial says something about its configuration."""
    return trial.status.outcome in MEASURED or trial.status.outcome is Outcome.CRASHED
