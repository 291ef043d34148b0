"""Intervals from the server's histograms contain what the client counts exactly, on 10,000 simulated runs."""

from itertools import accumulate, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import SLO, Metric
from sloguard.domain.buckets import Buckets, merged
from sloguard.domain.cross_check import compare, percentile_bounds
from sloguard.domain.distribution import Distribution, nearest_rank
from sloguard.domain.goodput import Ending, tally
from sloguard.domain.increments import Increments, Series, between, over_time
from sloguard.domain.queue_time import with_queue_time
from sloguard.domain.server_view import HISTOGRAMS, view
from tests.property.histogram_world import a_case

RUNS = 10_000
PART = RUNS // 10


def contains(low, exact, high):
    return low <= exact and (high is None or exact <= high)


@pytest.mark.parametrize("part", range(10))
def test_the_clients_figures_are_within_the_servers_intervals(part):
    narrow = 0
    for seed in range(part * PART, (part + 1) * PART):
        case = a_case(seed)
        client = case.client
        seen = compare(client, case.window, case.slos)
        assert (seen is None) == (case.window.finished is None), seed
        if seen is None:
            continue
        assert contains(seen.good_low, client.good, seen.good_high), seed
        assert contains(seen.good_tokens_low, client.good_tokens, seen.good_tokens_high), seed
        assert client.completed <= seen.requests, seed
        assert seen.disagreements == [], seed
        narrow += client.completed > 0 and seen.good_high - seen.good_low < client.completed
    assert narrow > PART / 4, "an interval that always holds everything would say nothing"


def test_what_the_server_finished_is_within_its_intervals():
    for seed in range(RUNS, RUNS + 1000):
        case = a_case(seed)
        seen = view(case.window, case.slos)
        if seen is None:
            continue
        truth = tally(case.finished, case.slos)
        assert seen.requests == truth.sent, seed
        assert contains(seen.good_low, truth.good, seen.good_high), seed
        assert contains(seen.good_tokens_low, truth.good_tokens, seen.good_tokens_high), seed
        assert (seen.prompt_tokens, seen.output_tokens) == (truth.prompt_tokens, truth.output_tokens), seed


def test_shares_and_percentiles_of_a_drained_window():
    for seed in range(500):
        case = a_case(seed, failures=False, others=False)
        seen = view(case.window, case.slos)
        if seen is None or not case.records:
            continue
        for bounds in seen.slos:
            values = values_of(case.records, bounds.metric)
            limit = next(slo.milliseconds for slo in case.slos if slo.metric is bounds.metric) * 1000
            assert bounds.count == len(values), seed
            assert contains(bounds.within_low, sum(value <= limit for value in values), bounds.within_high), seed
            if values:
                exact = Distribution.of(values).at_percentile(bounds.percentile)
                # TPOT is rounded up to a whole microsecond
                assert contains(bounds.low_microseconds, exact, bounds.high_microseconds), seed


def values_of(records, metric):
    if metric is Metric.ITL:
        return [gap for record in records for gap in record.gaps_microseconds]
    several = [record for record in records if metric is not Metric.TPOT or record.wanted_tokens > 1]
    return [record.latency_microseconds(metric, 100) for record in several]


@given(st.integers(0, 1_000_000))
def test_any_seed(seed):
    case = a_case(seed)
    client = case.client
    seen = compare(client, case.window, case.slos)
    if seen is not None:
        assert contains(seen.good_low, client.good, seen.good_high)
        assert contains(seen.good_tokens_low, client.good_tokens, seen.good_tokens_high)
        assert seen.disagreements == []


values = st.lists(st.floats(0, 100, allow_nan=False), max_size=30)
edge_lists = st.lists(st.floats(0.01, 90), min_size=1, max_size=6, unique=True).map(sorted)


def buckets_of(told, edges, *, with_sum=True):
    counts = tuple(sum(value <= edge for value in told) for edge in edges)
    return Buckets(tuple(edges), (*counts, len(told)), sum(told) if with_sum else None)


@given(values, edge_lists, st.floats(0.001, 120), st.booleans())
def test_counts_within_any_limit(told, edges, limit, with_sum):
    low, high = buckets_of(told, edges, with_sum=with_sum).within(limit)
    assert low <= sum(value <= limit for value in told) <= high


@given(values.filter(bool), edge_lists, st.integers(1, 100))
def test_percentiles_lie_between_two_edges(told, edges, percentile):
    rank = nearest_rank(len(told), percentile)
    low, high = buckets_of(told, edges).at_rank(rank)
    assert contains(low, sorted(told)[rank - 1], high)


@given(st.lists(st.integers(0, 200), max_size=30), edge_lists, st.data())
def test_sums_of_some_of_the_values(told, edges, data):
    found = buckets_of(told, edges)
    number = data.draw(st.integers(0, len(told)))
    ordered = sorted(told)
    assert found.smallest(number) <= sum(ordered[:number])
    assert found.largest(number) >= sum(ordered[len(told) - number :])


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=20), st.integers(0, 5), edge_lists, st.integers(1, 100))
def test_interpolated_percentiles_of_some_of_the_values(microseconds, others, edges, percentile):
    """The client's are some of those that the server has; which ones, it does not know."""
    everything = [*(value / 1e6 for value in microseconds), *range(others)]
    low, high = percentile_bounds(buckets_of(everything, edges), percentile, len(microseconds))
    exact = Distribution.of(microseconds).interpolated(percentile)
    assert low - 0.5 <= exact <= high + 0.5


@given(values, values, edge_lists, edge_lists)
def test_engines_with_other_edges_are_merged_on_those_that_both_have(first, second, edges, more):
    parts = [buckets_of(first, edges), buckets_of(second, sorted({*edges, *more}))]
    together = merged(parts)
    assert together.edges == tuple(edges)
    assert together.cumulative == buckets_of(first + second, edges).cumulative


def at_times(values):
    return [(float(at), float(value)) for at, value in enumerate(values)]


@given(st.lists(st.integers(0, 5), min_size=2, max_size=10))
def test_a_counter_that_went_down_was_started_anew(steps):
    told = over_time({Series("vllm:prompt_tokens_total"): at_times(steps)})
    assert told.restarted == sum(later < earlier for earlier, later in pairwise(steps))
    assert over_time({Series("vllm:num_requests_running"): at_times(steps)}).restarted == 0


@given(st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=4), min_size=2, max_size=4), st.integers(0, 20))
def test_growth_over_restarts_is_what_was_counted_and_seen(runs, others):
    """Each run counts up from 0, and so does a second counter of the engine that soon overtakes itself."""
    first = [total for run in runs for total in accumulate(run)]
    second = [total * 3 + others for run in runs for total in accumulate(run)]
    told = over_time({Series("a_total"): at_times(first), Series("b_total"): at_times(second)})
    if told.restarted == len(runs) - 1:
        seen = [sum(run) for run in runs]
        assert told.at_least("a_total") == sum(seen) - runs[0][0]
        assert told.at_least("b_total") == sum(3 * one + others for one in seen) - 3 * runs[0][0] - others
    if told.restarted:
        assert told.counter("a_total") is None
        assert told.counter("b_total") is None


def test_growth_does_not_depend_on_what_was_counted_before():
    for seed in range(200):
        case = a_case(seed)
        shifted = {series: value + 1000 for series, value in case.before.items()}
        later = {series: value + 1000 for series, value in case.after.items()}
        if case.before.keys() == case.after.keys():
            whole, other = between(case.before, case.after), between(shifted, later)
            name = HISTOGRAMS[Metric.E2E]
            assert counts_of(whole, name) == counts_of(other, name), seed


def counts_of(told: Increments, name):
    found = told.histogram(name)
    return found and found.cumulative


def test_a_verdict_on_queue_time_is_certain_or_undecided():
    verdicts = set()
    for seed in range(1500):
        case = a_case(seed)
        random = Random(seed)
        percentile, milliseconds = random.choice([50, 90, 99]), random.choice([1, 100, 300, 700])
        slo = SLO(metric=Metric.QUEUE_TIME, percentile=percentile, milliseconds=milliseconds)
        sent, client = len(case.records), case.client
        queued = [of for ending, of in case.queues if ending is Ending.COMPLETED]
        within = sum(of <= slo.milliseconds * 1000 for of in queued)
        exact = sent > 0 and 100 * within >= slo.percentile * sent
        (held,) = with_queue_time([client.slos[0]], [slo], case.window, sent=sent, completed=client.completed)
        assert held.within <= within, seed
        if not held.undecided:
            assert held.met == exact, seed
        if held.met:
            assert held.measured_microseconds <= slo.milliseconds * 1000
        verdicts.add((held.met, held.undecided))
    assert verdicts == {(True, False), (False, False), (False, True)}


def test_a_limit_on_an_edge_is_exact():
    for seed in range(500):
        case = a_case(seed, failures=False, others=False)
        seen = view(case.window, [SLO(metric=Metric.TTFT, percentile=50, milliseconds=250)])
        if seen is not None:
            assert seen.good_low == seen.good_high
