from itertools import pairwise
from random import Random

import pytest

from sloguard.api.v1alpha1 import Arrival, ArrivalPattern, Burst
from sloguard.measure.arrivals import due_seconds, offered_per_minute

BURSTS = Arrival(
    pattern=ArrivalPattern.BURST,
    requests_per_minute=60,
    burst=Burst(requests_per_minute=6000, period_seconds=10, duty_percent=20),
)


def due(arrival, percent=100, seconds=10):
    return due_seconds(arrival, percent, seconds, Random(1))


def test_constant_is_even():
    arrival = Arrival(pattern=ArrivalPattern.CONSTANT, requests_per_minute=60)
    assert due(arrival, seconds=4) == [0, 1, 2, 3]
    assert due(arrival, 200, seconds=2) == [0, 0.5, 1, 1.5]


def test_poisson_gaps_vary_as_much_as_they_are_long():
    times = due(Arrival(requests_per_minute=60_000), seconds=20)
    assert len(times) == 20_000
    assert variation(times) == pytest.approx(1, abs=0.05)


def variation(times):
    """Of the gaps: standard deviation over mean."""
    gaps = [after - before for before, after in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    return (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5 / mean


@pytest.mark.parametrize("percent", [10, 25, 100, 400, 10_000])
def test_gamma_gaps_vary_by_the_root_of_their_shape(percent):
    """A gamma distribution of shape k has a coefficient of variation of 1 / sqrt(k)."""
    arrival = Arrival(pattern=ArrivalPattern.GAMMA, requests_per_minute=60_000, burstiness_percent=percent)
    times = due(arrival, seconds=20)
    assert len(times) == 20_000, "exactly what is expected, whatever the shape"
    assert variation(times) == pytest.approx((100 / percent) ** 0.5, rel=0.1)


def test_gaps_too_small_for_a_number_are_no_error():
    arrival = Arrival(pattern=ArrivalPattern.GAMMA, requests_per_minute=60, burstiness_percent=1)
    for seed in range(2000):
        (only,) = due_seconds(arrival, 100, 1, Random(seed))
        assert 0 <= only <= 1


def test_bursts_come_within_their_duty():
    times = due(BURSTS, seconds=20)
    in_burst = [time for time in times if time % 10 < 2]
    assert len(times) == 416
    assert len(in_burst) == pytest.approx(400, abs=10)
    assert offered_per_minute(BURSTS, 100, 20) == 1248


def test_a_window_that_cuts_a_period_keeps_the_rates():
    """Two seconds are all burst: 100 requests a second."""
    assert len(due(BURSTS, seconds=2)) == 200
    assert len(due(BURSTS, 50, seconds=3)) == 100
    assert offered_per_minute(BURSTS, 50, 2) == 3000


@pytest.mark.parametrize("pattern", [ArrivalPattern.CONSTANT, ArrivalPattern.POISSON])
def test_a_rate_that_is_too_low_for_the_window_sends_one(pattern):
    assert len(due(Arrival(pattern=pattern, requests_per_minute=1), 1, 1)) == 1
