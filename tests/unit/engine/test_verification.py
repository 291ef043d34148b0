"""What production's traffic has to say before it is held against new arguments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import Metric, ServedTraffic, SLOResult
from sloguard.engine.verification import in_words, worse


def slo(within, of, *, metric=Metric.TTFT, undecided=False):
    met = of > 0 and 100 * within >= 99 * of
    return SLOResult(
        metric=metric, percentile=99, limit_milliseconds=500, met=met, undecided=undecided, within=within, of=of
    )


def window(within=1000, requests=1000, failed=0, of=None, **slo_fields):
    held = slo(within, requests if of is None else of, **slo_fields)
    return ServedTraffic(requests=requests, requests_per_minute=100, failed=failed, slos=[held])


def test_what_an_slo_wants_and_production_had_is_missed_beyond_doubt():
    told = worse(window(995), window(900))
    assert told == "TTFT within 500 ms for 90.0 %, where the SLO wants 99 % and production had 99.5 %"


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (window(900), window(900)),
        (window(995), window(991)),
        (window(100, 100), window(97, 100)),
        (window(995), window(900, undecided=True)),
        (window(995), window(0, 0, of=0)),
        (window(995), None),
        (None, window(100)),
        (window(1000, failed=4), window(1000, failed=12)),
    ],
    ids=["as before", "within the SLO", "few", "undecided", "no traffic", "not seen", "not seen before", "some left"],
)
def test_what_is_no_proof(before, now):
    assert not worse(before, now)


def test_what_was_broken_before_is_no_fault_of_the_new_arguments_unless_it_is_worse():
    assert not worse(window(800), window(790))
    assert worse(window(800), window(600))


def test_requests_that_fail_are_held_against_those_that_failed_before():
    assert worse(window(failed=2), window(failed=60)) == "6.0 % of requests failed, 0.2 % before"


def test_gaps_of_few_requests_are_few():
    many = {"metric": Metric.ITL, "of": 100_000}
    assert not worse(window(99_900, 40, **many), window(97_000, 40, **many))
    assert worse(window(99_900, 4000, **many), window(97_000, 4000, **many))


@given(st.integers(20, 5000), st.integers(20, 5000), st.data())
def test_nothing_is_worse_than_itself_and_of_two_at_most_one(one, other, data):
    first = window(data.draw(st.integers(0, one)), one)
    second = window(data.draw(st.integers(0, other)), other)
    assert not worse(first, first)
    assert not (worse(first, second) and worse(second, first))


def test_a_window_in_words():
    told = in_words(window(990, failed=3))
    assert told == "1000 requests (100 a minute), TTFT within 500 ms for 99.0 % of 1000, 3 failed"
