"""The parts of several generators, merged, are what one generator would have measured."""

from array import array
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import (
    SLO,
    LoadResult,
    Metric,
    RateMeasurement,
    ServerActivity,
    ServerCounters,
    ServerFault,
    ServerFaultKind,
    TimeBlocks,
    Violations,
)
from sloguard.domain.confidence import sum_blocks, with_intervals
from sloguard.domain.goodput import CLIENT_METRICS, Ending, RequestRecord, hold_slos, sketch, summarise, tally
from sloguard.measure.encode import decode, encode
from sloguard.measure.merge import SUMMED, PartsError, merge

NOW = datetime(2026, 3, 2, tzinfo=UTC)
SECONDS = 10
RATES = (50, 100)

slos = st.lists(
    st.builds(
        SLO,
        metric=st.sampled_from(CLIENT_METRICS),
        percentile=st.integers(1, 100),
        milliseconds=st.integers(1, 9),
    ),
    min_size=1,
    max_size=4,
)


@st.composite
def a_record(draw):
    """Chunks may hold several tokens; a single token has no gap. Of several generators none spares a request."""
    gaps = array("I", draw(st.lists(st.integers(0, 9000), max_size=4)))
    tokens = len(gaps) + 1 + (draw(st.integers(0, 2)) if gaps else 0)
    record = RequestRecord(
        due_microseconds=draw(st.integers(0, SECONDS * 1_000_000 - 1)),
        prompt_tokens=draw(st.integers(1, 9)),
        wanted_tokens=tokens,
        ending=draw(
            st.sampled_from([Ending.COMPLETED] * 4 + [ending for ending in Ending if ending is not Ending.SPARED])
        ),
        lag_microseconds=draw(st.none() | st.integers(0, 900)),
    )
    if record.completed:
        record.gaps_microseconds = gaps
        record.ttft_microseconds = draw(st.integers(0, 9000))
        record.e2e_microseconds = record.ttft_microseconds + sum(gaps)
    return record


def measured(records, limits, generator=None, *, intervals=True, blocks=True, sketches=True):
    """As measure.load puts a result together; at the second rate, everything comes once more."""
    counted = tally(records, limits)
    sums = [sum_blocks(records, limits, SECONDS, percent) for percent in RATES]
    rates = [
        RateMeasurement(
            rate_percent=percent,
            requests_per_minute=600,
            duration_milliseconds=SECONDS * 1000,
            latencies=summarise(records),
            slos=hold_slos(records, limits),
            violations=counted.violations,
            **{name: getattr(counted, name) for name in SUMMED},
        )
        for percent in RATES
    ]
    return LoadResult(
        started_at=NOW,
        finished_at=NOW,
        generator=generator,
        rates=[with_intervals(rate, of) if intervals else rate for rate, of in zip(rates, sums, strict=True)],
        sketches=[kept for percent in RATES if sketches for kept in sketch(records, percent)],
        blocks=sums if blocks else [],
    )


def parts_of(records, limits, generators, **kept):
    """As generators share a stream: each so-manieth."""
    return [measured(records[number::generators], limits, number, **kept) for number in range(generators)]


@given(st.lists(a_record(), max_size=24), slos, st.integers(1, 16), st.randoms(), st.booleans(), st.booleans())
def test_counts_and_verdicts_are_exact(records, limits, generators, random, blocks, sketches):
    parts = parts_of(records, limits, generators, intervals=False, blocks=blocks, sketches=sketches)
    random.shuffle(parts)
    merged, whole = merge(parts, generators), measured(records, limits, intervals=False)
    for found, exact in zip(merged.rates, whole.rates, strict=True):
        assert found.rate_percent == exact.rate_percent
        for name in (*SUMMED, "violations", "goodput_tokens_per_second", "slos_met"):
            assert getattr(found, name) == getattr(exact, name)
        for one, other in zip(found.slos, exact.slos, strict=True):
            assert (one.met, one.within, one.of) == (other.met, other.within, other.of)
        for one, other in zip(found.latencies, exact.latencies, strict=True):
            assert (one.count, one.sum_microseconds) == (other.count, other.sum_microseconds)
        assert found.sent == found.good + found.violations.slow + found.violations.failed


@given(st.lists(a_record(), min_size=1, max_size=24), slos, st.integers(1, 5))
def test_intervals_are_those_of_the_whole(records, limits, generators):
    merged, whole = merge(parts_of(records, limits, generators), generators), measured(records, limits)
    for found, exact in zip(merged.rates, whole.rates, strict=True):
        assert found.good_tokens_interval == exact.good_tokens_interval
        for one, other in zip(found.slos, exact.slos, strict=True):
            assert one.share_interval_basis_points == other.share_interval_basis_points


@given(st.lists(a_record(), min_size=1, max_size=24), slos, st.integers(2, 5))
def test_intervals_without_blocks_hold_what_was_measured(records, limits, generators):
    for rate in merge(parts_of(records, limits, generators, blocks=False), generators).rates:
        assert rate.good_tokens_interval.low <= rate.good_tokens <= rate.good_tokens_interval.high
        for slo in rate.slos:
            share = slo.share_interval_basis_points
            assert (share is None) == (slo.of == 0)
            assert share is None or share.low <= 10_000 * slo.within / slo.of <= share.high


def near(found, exact, basis_points):
    """Within the stated error, and half a microsecond to either side for rounding."""
    return abs(found - exact) <= basis_points / 10_000 * (exact + 0.5) + 1


@given(st.lists(a_record(), max_size=24), slos, st.integers(1, 5))
def test_percentiles_are_within_the_stated_error(records, limits, generators):
    merged = merge(parts_of(records, limits, generators, intervals=False, blocks=False), generators)
    whole = measured(records, limits, intervals=False)
    for found, exact in zip(merged.rates, whole.rates, strict=True):
        for one, other in zip(found.slos, exact.slos, strict=True):
            value, true = one.measured_microseconds, other.measured_microseconds
            assert (value is None) == (true is None)
            assert value is None or near(value, true, one.error_basis_points)
            assert value is None or one.met == (value <= one.limit_milliseconds * 1000)
        for one, other in zip(found.latencies, exact.latencies, strict=True):
            for name in ("p50_microseconds", "p95_microseconds", "p99_microseconds"):
                value, true = getattr(one, name), getattr(other, name)
                assert (value is None) == (true is None)
                assert value is None or near(value, true, one.error_basis_points)


@given(st.lists(a_record(), max_size=24), slos, st.integers(2, 5))
def test_without_sketches_a_figure_is_no_better_than_the_whole(records, limits, generators):
    merged = merge(parts_of(records, limits, generators, intervals=False, blocks=False, sketches=False), generators)
    for found, exact in zip(merged.rates, measured(records, limits, intervals=False).rates, strict=True):
        for one, other in zip(found.slos, exact.slos, strict=True):
            value, true = one.measured_microseconds, other.measured_microseconds
            assert value is None or true is None or value >= true or value == one.limit_milliseconds * 1000
            assert value is None or one.met == (value <= one.limit_milliseconds * 1000)


@given(st.lists(a_record(), max_size=24), slos)
def test_what_was_written_merges_as_what_was_measured(records, limits):
    parts = parts_of(records, limits, 3)
    sent = [decode(encode(part)) for part in parts]
    for found, exact in zip(merge(sent, 3).rates, merge(parts, 3).rates, strict=True):
        for name in (*SUMMED, "violations", "good_tokens_interval", "slos_met"):
            assert getattr(found, name) == getattr(exact, name)


RECORD = RequestRecord(0, 1, 2, Ending.COMPLETED, 10, 20, array("I", [10]), 5)
LIMITS = [SLO(metric=Metric.TTFT, milliseconds=1)]


def two(**second):
    one, other = parts_of([RECORD] * 4, LIMITS, 2)
    return [one, other.model_copy(update=second)]


@pytest.mark.parametrize(
    ("parts", "generators", "said"),
    [
        (two()[:1], 2, "no result of generator 1 of 2"),
        (two(generator=0), 2, "no result of generator 1 of 2"),
        (two(generator=None), 2, "no result of generator 1 of 2"),
        ([*two(), two()[0]], 2, "results of generators 0, 0, 1 instead of 2"),
        (two(rates=two()[1].rates[:1]), 2, "generators measured different rates: 50 %, 50 %+100 %"),
        (
            two(rates=[rate.model_copy(update={"requests_per_minute": 7}) for rate in two()[1].rates]),
            2,
            "generators offered different loads at 50 %",
        ),
        (
            two(rates=[rate.model_copy(update={"slos": []}) for rate in two()[1].rates]),
            2,
            "generators offered different loads at 50 %",
        ),
    ],
)
def test_parts_that_do_not_belong_together(parts, generators, said):
    with pytest.raises(PartsError, match=f"^{said.replace('+', '[+]')}$"):
        merge(parts, generators)


def test_a_dead_server_is_dead_for_all():
    fault = ServerFault(kind=ServerFaultKind.SERVER_GONE, at=NOW, detail="refused")
    merged = merge(two(rates=two()[1].rates[:1], fault=fault), 2)
    assert merged.fault == fault
    assert [rate.rate_percent for rate in merged.rates] == [50]


def test_the_first_fault_counts_with_what_any_generator_saw_of_the_servers_work():
    early = ServerFault(kind=ServerFaultKind.SERVER_GONE, at=NOW, detail="refused")
    busy = ServerActivity(requests_running=9)
    late = early.model_copy(update={"at": NOW + timedelta(seconds=3), "activity": busy})
    one, other = two()
    merged = merge([one.model_copy(update={"fault": late}), other.model_copy(update={"fault": early})], 2)
    assert merged.fault == early.model_copy(update={"activity": busy})


def test_times_are_told_from_the_first_start():
    one, other = two(started_at=NOW + timedelta(seconds=2))
    times = {"began_milliseconds": 100, "ended_milliseconds": 900}
    timed = [
        part.model_copy(update={"warmup_requests": 3, "rates": [rate.model_copy(update=times) for rate in part.rates]})
        for part in (one, other)
    ]
    merged = merge(timed, 2)
    assert merged.warmup_requests == 6
    assert {(rate.began_milliseconds, rate.ended_milliseconds) for rate in merged.rates} == {(100, 2900)}


def test_blocks_of_something_else_are_passed_over():
    one, other = two()
    odd = TimeBlocks(rate_percent=50, columns=[[1, 2]])
    merged = merge([one, other.model_copy(update={"blocks": [odd, other.blocks[1]]})], 2)
    assert merged.rates[0].good_tokens_interval.low == 2 * one.rates[0].good_tokens_interval.low


def test_one_invalid_part_makes_all_of_it_invalid():
    assert merge(two(invalid="it was late"), 2).invalid == "generator 1: it was late"


def test_every_field_of_a_rate_is_merged():
    """A new one has to be thought about here and in measure/merge.py."""
    same = {"rate_percent", "requests_per_minute", "duration_milliseconds"}
    of_their_own = {
        "began_milliseconds",
        "ended_milliseconds",
        "violations",
        "latencies",
        "slos",
        "dispatch_lag_p99_microseconds",
        "good_tokens_interval",
    }
    of_the_first = {"server"}
    of_whole_loads_only = {"server_view", "good_tokens_at_most", "users", "lower_bounds"}
    assert {*SUMMED, *same, *of_their_own, *of_the_first, *of_whole_loads_only} == set(RateMeasurement.model_fields)
    counters = ServerCounters(preemptions=3)
    one, other = two()
    one = one.model_copy(update={"rates": [rate.model_copy(update={"server": counters}) for rate in one.rates]})
    assert [rate.server for rate in merge([other, one], 2).rates] == [counters] * 2
    assert merge([one, other], 2).rates[0].violations == Violations()
