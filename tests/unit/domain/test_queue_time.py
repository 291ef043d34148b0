"""QueueTime: met where surely met, broken where surely broken, else undecided, which counts as not met."""

import pytest

from sloguard.api.v1alpha1 import SLO, Metric
from sloguard.domain.buckets import Buckets
from sloguard.domain.queue_time import hold_queue_time

EDGES = (0.3, 0.5, 0.8)


def a_limit(milliseconds, percentile=90):
    return SLO(metric=Metric.QUEUE_TIME, percentile=percentile, milliseconds=milliseconds)


def held(milliseconds, cumulative, *, total=None, sent=100, completed=100):
    found = Buckets(EDGES, cumulative, total)
    return hold_queue_time(a_limit(milliseconds), found, sent=sent, completed=completed)


def verdict(result):
    return "met" if result.met else "undecided" if result.undecided else "broken"


@pytest.mark.parametrize(
    ("milliseconds", "cumulative", "total", "expected"),
    [
        (300, (90, 95, 100, 100), None, "met"),
        (300, (89, 95, 100, 100), None, "broken"),
        (400, (80, 95, 100, 100), None, "undecided"),
        (400, (95, 95, 100, 100), None, "met"),
        (400, (10, 20, 100, 100), None, "broken"),
        (100, (100, 100, 100, 100), None, "undecided"),
        (100, (100, 100, 100, 100), 0.5, "met"),  # a sum of half a second leaves room for five above 100 ms
        (100, (100, 100, 100, 100), 29.0, "broken"),  # and 29 s are more than fifteen below it allow
        (5000, (0, 0, 0, 100), None, "undecided"),
    ],
)
def test_verdicts(milliseconds, cumulative, total, expected):
    assert verdict(held(milliseconds, cumulative, total=total)) == expected


def test_failed_requests_are_slower_than_any_limit():
    assert verdict(held(300, (89, 89, 89, 89), completed=89)) == "broken"
    assert verdict(held(300, (90, 90, 90, 90), completed=90)) == "met"


def test_what_the_server_finished_and_the_client_did_not_see_may_be_the_fast_ones():
    assert verdict(held(300, (90, 100, 100, 100), completed=95)) == "undecided"


def test_without_the_servers_histogram_nothing_is_decided():
    result = hold_queue_time(a_limit(300), None, sent=100, completed=100)
    assert verdict(result) == "undecided"
    assert result.measured_microseconds is None
    assert verdict(hold_queue_time(a_limit(300), None, sent=100, completed=50)) == "broken"
    assert verdict(hold_queue_time(a_limit(300), None, sent=0, completed=0)) == "broken"


def test_the_figure_is_the_upper_edge():
    assert held(300, (80, 95, 100, 100)).measured_microseconds == 500_000
    assert held(100, (100, 100, 100, 100), total=0.5).measured_microseconds == 100_000
