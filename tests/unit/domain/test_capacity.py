"""Where between two measured rates the SLOs stop to hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import Metric, SLOResult
from sloguard.domain.capacity import capacity_of
from tests.unit.engine.builders import rate

LIMIT_MILLISECONDS = 500


def measured(percent, milliseconds):
    """600 requests/min at 100 %; None for a percentile that falls on failed requests."""
    value = None if milliseconds is None else milliseconds * 1000
    met = milliseconds is not None and milliseconds <= LIMIT_MILLISECONDS
    slo = SLOResult(
        metric=Metric.TTFT,
        percentile=99,
        limit_milliseconds=LIMIT_MILLISECONDS,
        measured_microseconds=value,
        met=met,
    )
    return rate(100, percent=percent).model_copy(update={"slos": [slo]})


def test_nothing_measured_is_no_capacity():
    assert capacity_of([]) is None


def test_a_closed_loop_has_none():
    rates = [measured(100, 250), measured(200, 1000)]
    assert capacity_of([each.model_copy(update={"users": each.rate_percent}) for each in rates]) is None


def test_between_the_last_that_held_and_the_first_that_broke():
    found = capacity_of([measured(100, 250), measured(200, 1000)])
    assert (found.low_requests_per_minute, found.high_requests_per_minute) == (600, 1200)
    assert found.requests_per_minute == pytest.approx(900), "half the limit and twice the limit: the middle"


def test_far_over_the_limit_the_capacity_is_near_the_rate_that_held():
    assert capacity_of([measured(100, 490), measured(200, None)]).requests_per_minute < 610


def test_where_every_rate_held_the_highest_is_a_lower_bound():
    found = capacity_of([measured(100, 100), measured(50, 100)])
    assert (found.requests_per_minute, found.high_requests_per_minute) == (600, None)


def test_where_the_lowest_broke_there_is_none():
    found = capacity_of([measured(50, 501)])
    assert (found.requests_per_minute, found.low_requests_per_minute, found.high_requests_per_minute) == (0, 0, 300)


def test_a_rate_that_held_above_one_that_broke_was_luck():
    assert capacity_of([measured(50, 100), measured(100, 600), measured(150, 400)]).high_requests_per_minute == 600


LATENCIES = st.lists(st.one_of(st.none(), st.integers(1, 5000)), min_size=1, max_size=8)


@given(LATENCIES)
def test_it_lies_within_its_interval(latencies):
    found = capacity_of([measured(10 * (place + 1), value) for place, value in enumerate(latencies)])
    high = found.high_requests_per_minute
    assert found.low_requests_per_minute <= found.requests_per_minute
    assert high is None or found.requests_per_minute <= high


@given(LATENCIES, st.data())
def test_a_slower_server_never_has_more(latencies, data):
    place = data.draw(st.integers(0, len(latencies) - 1))
    slower = list(latencies)
    slower[place] = None if slower[place] is None else slower[place] + data.draw(st.integers(0, 5000))
    curve, other = ([measured(10 * (i + 1), value) for i, value in enumerate(those)] for those in (latencies, slower))
    assert capacity_of(other).requests_per_minute <= capacity_of(curve).requests_per_minute + 1e-9
