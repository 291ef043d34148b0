"""Goodput counts every request once, and nothing that makes a request worse makes a figure better."""

from array import array
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import SLO, Metric
from sloguard.domain.distribution import Distribution
from sloguard.domain.goodput import Ending, RequestRecord, hold_slos, is_overwhelmed, summarise, tally

microseconds = st.integers(0, 5000)
slos = st.lists(
    st.builds(SLO, metric=st.sampled_from(Metric), percentile=st.integers(1, 100), milliseconds=st.integers(1, 5)),
    min_size=1,
    max_size=4,
)


@st.composite
def a_record(draw):
    gaps = array("I", draw(st.lists(microseconds, max_size=6)))
    record = RequestRecord(
        due_microseconds=0, prompt_tokens=1, wanted_tokens=len(gaps) + 1, ending=draw(st.sampled_from(Ending))
    )
    if record.completed:
        record.gaps_microseconds = gaps
        record.ttft_microseconds = draw(microseconds)
        record.e2e_microseconds = record.ttft_microseconds + sum(gaps)
    return record


records = st.lists(a_record(), max_size=12)


def slower(record, first, gap):
    """By so much to the first token and in each gap."""
    if not record.completed:
        return record
    gaps = array("I", [value + gap for value in record.gaps_microseconds])
    ttft = record.ttft_microseconds + first
    return replace(record, ttft_microseconds=ttft, gaps_microseconds=gaps, e2e_microseconds=ttft + sum(gaps))


def fails(record, how):
    return replace(record, ending=how, gaps_microseconds=array("I"), ttft_microseconds=0, e2e_microseconds=0)


FAILURES = [ending for ending in Ending if ending not in {Ending.COMPLETED, Ending.SPARED}]


def no_better(before, after, limits):
    assert tally(after, limits).good <= tally(before, limits).good
    assert tally(after, limits).good_tokens <= tally(before, limits).good_tokens
    for was, now in zip(hold_slos(before, limits), hold_slos(after, limits), strict=True):
        assert now.met <= was.met
    assert is_overwhelmed(after, limits) >= is_overwhelmed(before, limits)


@given(records, slos)
def test_sent_is_good_plus_violations(sent, limits):
    counted = tally(sent, limits)
    assert counted.sent == len(sent)
    assert counted.sent == counted.good + counted.violations.total
    assert counted.completed == counted.good + counted.violations.slow
    assert counted.good_tokens <= counted.output_tokens


@given(records, slos, st.data())
def test_a_slower_request_makes_nothing_better(sent, limits, data):
    worse = [slower(record, data.draw(microseconds), data.draw(microseconds)) for record in sent]
    no_better(sent, worse, limits)


@given(records.filter(bool), slos, st.data())
def test_a_failed_request_makes_nothing_better(sent, limits, data):
    place = data.draw(st.integers(0, len(sent) - 1))
    how = data.draw(st.sampled_from(FAILURES))
    no_better(sent, [*sent[:place], fails(sent[place], how), *sent[place + 1 :]], limits)


@given(records, slos)
def test_an_slo_is_met_exactly_when_that_share_is_within_it(sent, limits):
    held_against = hold_slos(sent, limits)
    sent = [record for record in sent if record.ending is not Ending.SPARED]
    for slo, held in zip(limits, held_against, strict=True):
        if slo.metric is not Metric.ITL:
            within = sum(record.keeps(slo) for record in sent)
            assert held.met == (len(sent) > 0 and 100 * within >= slo.percentile * len(sent))
            assert (held.within, held.of) == (within, len(sent))
        assert held.met == (len(sent) > 0 and 100 * held.within >= slo.percentile * held.of)


@given(records)
def test_a_summary_has_the_mean_of_what_it_counts(sent):
    for summary in summarise(sent):
        values = [
            value
            for record in sent
            if record.completed and (record.wanted_tokens > 1 or summary.metric is not Metric.TPOT)
            for value in (
                record.gaps_microseconds
                if summary.metric is Metric.ITL
                else [record.latency_microseconds(summary.metric, 100)]
            )
        ]
        assert (summary.count, summary.sum_microseconds) == (len(values), sum(values))


@given(st.lists(microseconds, min_size=1), st.integers(0, 20), st.integers(1, 100))
def test_percentiles(values, infinite, percentile):
    distribution = Distribution.of(values, infinite)
    found = distribution.at_percentile(percentile)
    needed = percentile * (len(values) + infinite)
    if found is None:
        assert 100 * len(values) < needed
    else:
        assert 100 * sum(value <= found for value in values) >= needed
        assert 100 * sum(value < found for value in values) < needed


@given(st.lists(microseconds, min_size=1), st.integers(1, 100))
def test_interpolated_percentiles_are_numpys(values, percentile):
    assert abs(Distribution.of(values).interpolated(percentile) - np.percentile(values, percentile)) <= 0.5 + 1e-6
