"""One mark for each configuration tried: how much it served, and how far it was from meeting the SLOs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from sloguard.api.v1alpha1 import Outcome
from sloguard.domain.result import VIOLATION_CAP, Result, Values

from .space import Space

BARELY = 0.01
"""The violation of a result that is called infeasible although no ratio says so."""

WORST_OF_ONE_SLO = math.log(VIOLATION_CAP)


@dataclass(frozen=True, slots=True)
class Score:
    """What a configuration's trials say, repeats averaged.

    `violation` is 0 where every SLO held, else the sum of log(measured / limit) over the broken ones; a crash lies
    above whatever a live server can reach, so that no search prefers it to a slow one.
    """

    parameters: Values
    objective: float
    violation: float

    @property
    def feasible(self) -> bool:
        return self.violation == 0

    @property
    def rank(self) -> tuple[float, float]:
        """Sorts the best first."""
        return (self.violation, -self.objective if self.feasible else 0.0)


def scores(space: Space, taught: Sequence[Result]) -> list[Score]:
    """One score for each configuration in the history, by the number of its first trial."""
    slos = max((len(result.violation_ratios) for result in taught), default=1)
    by_key = sorted(((space.key(result.parameters), result) for result in taught), key=lambda entry: entry[0])
    repeats = [[result for _, result in group] for _, group in groupby(by_key, key=lambda entry: entry[0])]
    repeats.sort(key=lambda results: min(result.number for result in results))
    return [_averaged(results, max(slos, 1)) for results in repeats]


def crash_violation(slos: int) -> float:
    """Above what `slos` SLOs, each broken as badly as counts, add up to."""
    return slos * WORST_OF_ONE_SLO + 1.0


def pessimistic(known: Sequence[Score], values: Values) -> Score:
    """What to assume of a trial under way: as bad as the worst live one, so that a parallel ask goes elsewhere."""
    live = [score for score in known if score.violation <= WORST_OF_ONE_SLO]
    worst = max(live, key=lambda score: score.rank, default=None)
    if worst is None:
        return Score(values, 0.0, WORST_OF_ONE_SLO)
    return Score(values, worst.objective, worst.violation)


def _averaged(results: Sequence[Result], slos: int) -> Score:
    return Score(
        parameters=results[0].parameters,
        objective=fmean(_objective(result) for result in results),
        violation=fmean(_violation(result, slos) for result in results),
    )


def _objective(result: Result) -> float:
    value = result.objective
    return value if value is not None and math.isfinite(value) else 0.0


def _violation(result: Result, slos: int) -> float:
    if result.outcome is Outcome.CRASHED:
        return crash_violation(slos)
    if result.outcome is Outcome.FEASIBLE:
        measured = result.objective is not None and math.isfinite(result.objective)
        # Feasible without a figure cannot be compared; it must not look like a success.
        return 0.0 if measured else slos * WORST_OF_ONE_SLO
    if not result.violation_ratios:
        return slos * WORST_OF_ONE_SLO
    excess = sum(_excess(ratio) for ratio in result.violation_ratios)
    return excess or BARELY


def _excess(ratio: float) -> float:
    if math.isnan(ratio):
        return WORST_OF_ONE_SLO
    return math.log(min(max(ratio, 1.0), VIOLATION_CAP))
