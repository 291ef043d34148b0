"""Intervals hold what was measured."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import SLO, Metric
from sloguard.domain.confidence import sum_blocks, wilson, with_intervals
from sloguard.domain.goodput import Ending, RequestRecord
from sloguard.domain.measured_rate import measured_rate

SECONDS = 10
slos = st.lists(
    st.builds(SLO, metric=st.sampled_from(Metric), percentile=st.integers(1, 100), milliseconds=st.integers(1, 5)),
    min_size=1,
    max_size=4,
)


@st.composite
def a_record(draw):
    gaps = array("I", draw(st.lists(st.integers(0, 5000), max_size=4)))
    due = draw(st.integers(0, SECONDS * 1_000_000))
    ending = draw(st.sampled_from([Ending.COMPLETED] * 3 + [Ending.REFUSED, Ending.UNFINISHED]))
    record = RequestRecord(due_microseconds=due, prompt_tokens=1, wanted_tokens=len(gaps) + 1, ending=ending)
    if record.completed:
        record.gaps_microseconds = gaps
        record.ttft_microseconds = draw(st.integers(0, 5000))
        record.e2e_microseconds = record.ttft_microseconds + sum(gaps)
    return record


def measured(records, limits):
    milliseconds = SECONDS * 1000
    return measured_rate(records, limits, rate_percent=100, requests_per_minute=1, duration_milliseconds=milliseconds)


@given(st.lists(a_record(), max_size=30), slos)
def test_blocks_sum_to_what_was_counted(records, limits):
    blocks, whole = sum_blocks(records, limits, SECONDS, 100), measured(records, limits)
    offered, good, *of_slos = map(sum, blocks.columns)
    assert offered == sum(record.wanted_tokens for record in records)
    assert good == whole.good_tokens
    assert of_slos == [count for slo in whole.slos for count in (slo.within, slo.of)]


@given(st.lists(a_record(), min_size=1, max_size=30), slos)
def test_intervals_hold_what_was_measured(records, limits):
    found = with_intervals(measured(records, limits), sum_blocks(records, limits, SECONDS, 100))
    offered = sum(record.wanted_tokens for record in records)
    assert 0 <= found.good_tokens_interval.low <= found.good_tokens <= found.good_tokens_interval.high <= offered
    assert found.good_tokens_interval.low < found.good_tokens_interval.high
    for slo in found.slos:
        share = slo.share_interval_basis_points
        assert (share is None) == (slo.of == 0)
        if share is not None:
            assert 0 <= share.low <= 10_000 * slo.within / slo.of <= share.high <= 10_000


def test_nothing_sent_has_no_interval():
    limits = [SLO(metric=Metric.TTFT, milliseconds=1)]
    found = with_intervals(measured([], limits), sum_blocks([], limits, SECONDS, 100))
    assert found.good_tokens_interval is None
    assert found.slos[0].share_interval_basis_points is None


def test_wilson():
    """Wilson (1927); the figures are those of Newcombe (1998), table I."""
    for good, of, expected in ((81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611))):
        assert [round(end, 4) for end in wilson(good / of, of)] == list(expected)
