"""The highest rate at which every SLO still holds, read off the curve that a trial measured. Pure.

Between the last rate at which all SLOs held and the first at which one broke, the worst ratio of a measured percentile
to its limit is taken to grow exponentially with the rate, as a queue's latency does near saturation; capacity is where
it reaches 1. The two rates themselves are the interval: what is certain whatever the curve's shape.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sloguard.api.v1alpha1 import RateMeasurement, SLOResult
from sloguard.domain.result import VIOLATION_CAP

LEAST_RATIO = 0.01
"""Below a hundredth of its limit, an SLO says nothing about how near saturation is."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Requests a minute. `high` is None where the highest measured rate held too: the capacity is at least that."""

    requests_per_minute: float
    low_requests_per_minute: int
    high_requests_per_minute: int | None


def capacity_of(measurements: Sequence[RateMeasurement]) -> Capacity | None:
    """From one start's rates; None where there are none. A rate that holds above one that broke does not count.

    None for a closed loop and for live traffic as well: what came is no rate that was offered.
    """
    if any(measurement.users is not None or measurement.lower_bounds for measurement in measurements):
        return None
    held: RateMeasurement | None = None
    for measurement in sorted(measurements, key=lambda m: m.rate_percent):
        if not measurement.slos_met:
            return _between(held, measurement)
        held = measurement
    if held is None:
        return None
    return Capacity(held.requests_per_minute, held.requests_per_minute, None)


def _between(held: RateMeasurement | None, broke: RateMeasurement) -> Capacity:
    if held is None:
        return Capacity(0.0, 0, broke.requests_per_minute)
    below, above = math.log(_worst_ratio(held)), math.log(_worst_ratio(broke))
    share = -below / (above - below) if above > below else 0.0
    low, high = held.requests_per_minute, broke.requests_per_minute
    return Capacity(low + (high - low) * min(max(share, 0.0), 1.0), low, high)


def _worst_ratio(measurement: RateMeasurement) -> float:
    return max((limit_ratio(slo) for slo in measurement.slos), default=VIOLATION_CAP)


def limit_ratio(slo: SLOResult) -> float:
    """Measured over limit, at most VIOLATION_CAP: also where so many requests failed that there is no figure."""
    if slo.measured_microseconds is None:
        return VIOLATION_CAP
    return min(max(slo.measured_microseconds / (slo.limit_milliseconds * 1000), LEAST_RATIO), VIOLATION_CAP)
