"""When requests of a given rate are due, in seconds after the window's start: pure, the same for the same seed.

Random patterns have exactly the expected number of arrivals (at least one). A Poisson process of a known count is that
many independent uniform times in order, so gaps and bunching stay those of the process while the total offered does
not vary from seed to seed. Gamma gaps are divided by the sum of one more of them than there are arrivals, which for a
shape of 1 is that same Poisson process. `vllm bench serve` normalises its gaps to the same end.
"""

import sys
from itertools import accumulate
from random import Random

from sloguard.api.v1alpha1 import Arrival, ArrivalPattern, Burst


def offered_per_minute(arrival: Arrival, percent: int, duration_seconds: int) -> int:
    """The mean rate over the window, in whole requests a minute."""
    return round(_expected(arrival, duration_seconds) * percent / 100 * 60 / duration_seconds)


def due_seconds(arrival: Arrival, percent: int, duration_seconds: int, rng: Random) -> list[float]:
    """Ascending times in [0, duration)."""
    expected = _expected(arrival, duration_seconds)
    count = max(1, round(expected * percent / 100))
    if arrival.pattern is ArrivalPattern.CONSTANT:
        return [index * duration_seconds / count for index in range(count)]
    if arrival.burstiness_percent is not None:
        return _after_gamma_gaps(count, arrival.burstiness_percent / 100, duration_seconds, rng)
    uniform = sorted(rng.random() for _ in range(count))
    if arrival.burst is None:
        return [share * duration_seconds for share in uniform]
    base = (arrival.requests_per_minute or 0) / 60
    return [_when_arrived(share * expected, base, arrival.burst) for share in uniform]


def _after_gamma_gaps(count: int, shape: float, duration_seconds: int, rng: Random) -> list[float]:
    # A gap of so small a shape that it comes out as zero must not leave nothing to divide by.
    gaps = (max(rng.gammavariate(shape, 1.0), sys.float_info.min) for _ in range(count + 1))
    *sums, total = accumulate(gaps)
    return [each / total * duration_seconds for each in sums]


def _expected(arrival: Arrival, seconds: float) -> float:
    """Arrivals until then at 100 %: the integral of the rate."""
    base = (arrival.requests_per_minute or 0) / 60
    if arrival.burst is None:
        return base * seconds
    periods, rest = divmod(seconds, arrival.burst.period_seconds)
    return periods * _arrived(arrival.burst.period_seconds, base, arrival.burst) + _arrived(rest, base, arrival.burst)


def _busy_seconds(burst: Burst) -> float:
    return burst.period_seconds * burst.duty_percent / 100


def _arrived(seconds: float, base_per_second: float, burst: Burst) -> float:
    """Arrivals within the first seconds of one period."""
    busy = _busy_seconds(burst)
    return min(seconds, busy) * burst.requests_per_minute / 60 + max(0.0, seconds - busy) * base_per_second


def _when_arrived(arrivals: float, base_per_second: float, burst: Burst) -> float:
    """The inverse of the integral: the second by which so many have come."""
    periods, rest = divmod(arrivals, _arrived(burst.period_seconds, base_per_second, burst))
    busy, busy_rate = _busy_seconds(burst), burst.requests_per_minute / 60
    in_burst = busy * busy_rate
    within = rest / busy_rate if rest <= in_burst else busy + (rest - in_burst) / base_per_second
    return periods * burst.period_seconds + within
