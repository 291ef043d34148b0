"""What trials gave at higher rates than the one that counts.

A start costs far more than a load, so that a trial measures several rates. Who keeps latencies down at one and a half
times the load does at once the load too; how much the two have to do with each other is the surrogates' to learn, for
which the rate is one more dimension. Lower rates are left out: there nearly everything holds, whatever it does here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sloguard.domain.result import RatePoint, Result


@dataclass(frozen=True, slots=True)
class Look:
    """One of the higher rates of the trial at index `trial`.

    `doublings` of the rate that counts; `goodput` in tokens/s; `relative_noise` of it, 0 where that is not known.
    """

    trial: int
    doublings: float
    goodput: float
    ratios: tuple[float, ...]
    relative_noise: float


def looks_above(kept: Sequence[int], taught: Sequence[Result], most: int) -> list[Look]:
    """At most so many, the nearest rates first. What was ended early has no figure and is left out."""
    found = [
        _look(trial, point, percent)
        for trial in kept
        for percent in [taught[trial].rate_percent]
        for point in taught[trial].curve
        if percent is not None and point.percent > percent and not point.censored and math.isfinite(point.goodput)
    ]
    return sorted(found, key=lambda look: look.doublings)[: max(most, 0)]


def relative_noise(figure: float, stddev: float | None) -> float:
    """Standard deviation of one run over its figure, at most 1; 0 where it is not known."""
    return min(stddev / figure, 1.0) if stddev is not None and stddev > 0 and figure > 0 else 0.0


def _look(trial: int, point: RatePoint, percent: int) -> Look:
    return Look(
        trial=trial,
        doublings=math.log2(point.percent / percent),
        goodput=max(point.goodput, 0.0),
        ratios=point.violation_ratios,
        relative_noise=relative_noise(point.goodput, point.goodput_stddev),
    )
