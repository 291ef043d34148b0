"""What trials say to Gaussian processes: the objective, each SLO's ratio and whether the server lived, one by one.

Every trial says something: a crash teaches where servers die, a live one without a figure where they live.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

import numpy as np

from sloguard.api.v1alpha1 import Outcome
from sloguard.domain.result import VIOLATION_CAP, Result, Values

from .rows import Rows, rows
from .space import Space

LEAST_RATIO = 0.02
"""Further below a limit makes no difference to whether it is met."""

JUST_BROKEN = 1.05
"""The least ratio of what is certain to have broken an SLO although its measurement was ended early."""

DIED, LIVED = 1.0, -1.0


@dataclass(frozen=True, slots=True)
class Observed:
    """Targets `y` at the rows `x`."""

    x: Rows
    y: Rows


@dataclass(frozen=True, slots=True)
class Observations:
    """What there is to model; repeats of a configuration are averaged. `slos` is in the study's order."""

    objective: Observed
    slos: tuple[Observed, ...]
    death: Observed


def observed(space: Space, taught: Sequence[Result], assumed: Sequence[tuple[Values, float]]) -> Observations:
    """`assumed` are objectives of trials under way."""
    by_key = sorted(((space.key(result.parameters), result) for result in taught), key=lambda entry: entry[0])
    repeats = [[result for _, result in group] for _, group in groupby(by_key, key=lambda entry: entry[0])]
    figures = [
        (results[0].parameters, fmean(known))
        for results in repeats
        if (known := [figure for result in results if (figure := _figure(result)) is not None])
    ]
    slos = max((len(result.violation_ratios) for result in taught), default=0)
    return Observations(
        objective=_at(space, [*figures, *assumed]),
        slos=tuple(_slo(space, repeats, index) for index in range(slos)),
        death=_at(space, [(results[0].parameters, fmean(map(_death, results))) for results in repeats]),
    )


def _slo(space: Space, repeats: Iterable[Sequence[Result]], index: int) -> Observed:
    told = [
        (results[0].parameters, fmean(known))
        for results in repeats
        if (known := [_log_ratio(result, index) for result in results if _measured(result, index)])
    ]
    return _at(space, told)


def _at(space: Space, told: Sequence[tuple[Values, float]]) -> Observed:
    return Observed(rows(space, [values for values, _ in told]), np.array([figure for _, figure in told]))


def _figure(result: Result) -> float | None:
    """None for a crash and where no figure, or only a bound of one, was measured."""
    value = result.objective
    if result.outcome is Outcome.CRASHED or result.censored or value is None or not math.isfinite(value):
        return None
    return value


def _measured(result: Result, index: int) -> bool:
    return result.outcome is not Outcome.CRASHED and index < len(result.violation_ratios)


def _log_ratio(result: Result, index: int) -> float:
    """log(measured / limit): above 0 is broken. Not a number counts as the cap: too few answers for a percentile."""
    ratio = result.violation_ratios[index]
    ratio = VIOLATION_CAP if math.isnan(ratio) else min(max(ratio, LEAST_RATIO), VIOLATION_CAP)
    broken_at_all = max(result.violation_ratios) > 1.0
    return math.log(max(ratio, JUST_BROKEN) if result.censored and not broken_at_all else ratio)


def _death(result: Result) -> float:
    return DIED if result.outcome is Outcome.CRASHED else LIVED
