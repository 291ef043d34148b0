from array import array

import pytest

from sloguard.api.v1alpha1 import SLO, Metric, Violations
from sloguard.domain.goodput import (
    CLIENT_METRICS,
    Ending,
    RequestRecord,
    hold_slos,
    is_overwhelmed,
    lag_p99_microseconds,
    summarise,
    tally,
)


def a_record(*, ttft=100, gaps=(10, 10, 10), ending=Ending.COMPLETED, wanted=4, lag=0):
    """Latencies in milliseconds."""
    record = RequestRecord(due_microseconds=0, prompt_tokens=8, wanted_tokens=wanted, ending=ending)
    record.lag_microseconds = lag
    if record.completed:
        record.ttft_microseconds = ttft * 1000
        record.gaps_microseconds = array("I", [gap * 1000 for gap in gaps])
        record.e2e_microseconds = record.ttft_microseconds + sum(record.gaps_microseconds)
    return record


def failed(ending=Ending.CUT_OFF, wanted=4):
    return a_record(ending=ending, wanted=wanted)


def slo(metric, milliseconds, percentile=99):
    return SLO(metric=metric, milliseconds=milliseconds, percentile=percentile)


@pytest.mark.parametrize(
    ("metric", "at_limit"), [(Metric.TTFT, 100), (Metric.ITL, 10), (Metric.TPOT, 10), (Metric.E2E, 130)]
)
def test_a_limit_includes_itself(metric, at_limit):
    assert a_record().keeps(slo(metric, at_limit))
    assert not a_record().keeps(slo(metric, at_limit - 1))


def test_tpot_is_exact_at_its_limit():
    record = a_record(gaps=(10, 10, 10))
    record.e2e_microseconds += 1
    assert not record.keeps(slo(Metric.TPOT, 10))


def test_itl_is_the_requests_own_percentile():
    record = a_record(gaps=[10] * 9 + [500], wanted=11)
    assert record.keeps(slo(Metric.ITL, 10, percentile=90))
    assert not record.keeps(slo(Metric.ITL, 10, percentile=91))


def test_a_single_token_has_no_gap_and_so_keeps_itl_and_tpot():
    record = a_record(gaps=(), wanted=1)
    limits = [slo(Metric.ITL, 1), slo(Metric.TPOT, 1)]
    assert all(record.keeps(limit) for limit in limits)
    itl, tpot = hold_slos([record], limits)
    assert (itl.met, itl.measured_microseconds) == (True, 0)
    assert (tpot.met, tpot.measured_microseconds) == (True, 0)


def test_good_means_every_limit_at_once():
    limits = [slo(Metric.TTFT, 100), slo(Metric.E2E, 200)]
    records = [a_record(), a_record(ttft=101), a_record(gaps=(10, 10, 90)), a_record(gaps=(10, 10, 50))]
    assert tally(records, limits).good == 2
    assert tally(records, limits).violations == Violations(slow=2)


def test_every_kind_of_failure_has_its_own_count():
    kinds = [ending for ending in Ending if ending is not Ending.COMPLETED]
    counted = tally([a_record(), *(failed(kind) for kind in kinds)], [slo(Metric.TTFT, 100)])
    one_each = dict.fromkeys(Violations.model_fields, 1) | {"slow": 0}
    assert counted.violations == Violations(**one_each)
    assert counted.violations.total == len(kinds)
    assert (counted.sent, counted.completed, counted.good) == (1 + len(kinds), 1, 1)
    assert (counted.prompt_tokens, counted.output_tokens, counted.good_tokens) == (8, 4, 4)


def test_failures_lie_above_every_limit():
    """99 of 100 within is p99 met; two failures of 100 are not, and the percentile falls on them."""
    limits = [slo(Metric.TTFT, 100)]
    (held,) = hold_slos([a_record()] * 99 + [failed()], limits)
    assert held.met
    (held,) = hold_slos([a_record()] * 98 + [failed()] * 2, limits)
    assert not held.met
    assert held.measured_microseconds is None


def test_many_good_gaps_do_not_hide_a_failure():
    """One in ten fails before its 127 gaps: nine tenths of the gaps that were due are good, not 99.9 %."""
    served = a_record(gaps=[10] * 127, wanted=128)
    for percentile, met in ((90, True), (91, False)):
        (held,) = hold_slos([served] * 9 + [failed(wanted=128)], [slo(Metric.ITL, 10, percentile)])
        assert held.met is met


def test_nothing_sent_meets_nothing():
    limits = [slo(metric, 1) for metric in CLIENT_METRICS]
    assert not any(held.met for held in hold_slos([], limits))
    assert all(held.measured_microseconds is None for held in hold_slos([], limits))


def test_two_of_a_hundred_completed_is_not_feasible():
    records = [a_record()] * 2 + [failed(Ending.REFUSED)] * 98
    assert not any(held.met for held in hold_slos(records, [slo(metric, 86_400_000) for metric in CLIENT_METRICS]))


def test_summaries_are_those_of_numpy_over_what_completed():
    """numpy.percentile([100000, 200000, 300000, 400000], [50, 95, 99]) is 250000, 385000, 397000."""
    ttft, itl, tpot, e2e = summarise([a_record(ttft=ttft) for ttft in (100, 200, 300, 400)] + [failed()])
    assert (ttft.p50_microseconds, ttft.p95_microseconds, ttft.p99_microseconds) == (250_000, 385_000, 397_000)
    assert itl.p50_microseconds == tpot.p50_microseconds == 10_000
    assert e2e.p50_microseconds == 280_000


def test_single_tokens_are_left_out_of_the_tpot_summary():
    tpot = summarise([a_record(gaps=(), wanted=1), a_record()])[2]
    assert tpot.p50_microseconds == 10_000


def test_nothing_completed_has_no_summary():
    assert all(summary.p50_microseconds is None for summary in summarise([failed()]))


@pytest.mark.parametrize(
    ("records", "limits", "overwhelmed"),
    [
        ([], [slo(Metric.TTFT, 100)], False),
        ([a_record()] * 2 + [failed()] * 2, [slo(Metric.TTFT, 100)], False),
        ([a_record()] * 2 + [failed()] * 3, [slo(Metric.TTFT, 100)], True),
        ([a_record(gaps=(99, 99, 99))] * 5, [slo(Metric.TTFT, 100), slo(Metric.ITL, 50)], False),
        ([a_record(gaps=(99, 99, 99))] * 5, [slo(Metric.ITL, 50)], True),
    ],
    ids=["nothing sent", "half is good", "most failed", "slow decoding alone", "no TTFT limit"],
)
def test_overwhelmed(records, limits, overwhelmed):
    assert is_overwhelmed(records, limits) is overwhelmed


def test_lag_is_of_what_was_sent():
    records = [a_record(lag=lag) for lag in (1, 2, 3)] + [a_record(lag=None)]
    assert lag_p99_microseconds(records) == 3
    assert lag_p99_microseconds([]) == 0
