"""A trace within a window: scaling of time and rate, groups that share their beginning, lengths that are clipped."""

import json

import pytest

from sloguard.api.v1alpha1 import Arrival, ArrivalPattern, Replay, TokenLengths, TraceEntry
from sloguard.measure.requests import RequestFactory
from sloguard.measure.trace import needed_seconds, recorded, replayed
from tests.unit.measure.fake_server import a_workload


def entries(*milliseconds, **fields):
    sizes = {"prompt_tokens": 100, "output_tokens": 10} | fields
    return [TraceEntry(at_milliseconds=at, **sizes) for at in milliseconds]


def workload_of(trace, replay=None, **changes):
    arrival = Arrival(pattern=ArrivalPattern.TRACE, trace=trace, replay=replay)
    return a_workload(
        **{"prompt_tokens": None, "output_tokens": None, "duration_seconds": 10} | changes, arrival=arrival
    )


def due(trace, percent=100, seconds=10, **replay):
    workload = workload_of(trace, Replay(**replay), duration_seconds=seconds)
    return [each.at_seconds for each in replayed(recorded(trace), workload, percent, seconds, "seed")]


TRACE = entries(4000, 0, 1000, 1000, 9999)


def test_a_trace_is_replayed_once_in_order_of_time():
    assert due(TRACE) == pytest.approx([0, 1, 1, 4, 9.999])


def test_a_rate_of_the_sweep_squeezes_or_stretches_the_times():
    assert due(TRACE, 200) == pytest.approx([0, 0.5, 0.5, 2, 4.9995])
    assert due(TRACE, 50) == pytest.approx([0, 2, 2, 8])
    factory = RequestFactory(workload_of(TRACE), model="m")
    assert factory.offered_per_minute(50, 10) == 24


def test_time_can_be_scaled_and_a_part_be_chosen():
    assert due(TRACE, time_percent=50) == pytest.approx([0, 0.5, 0.5, 2, 4.9995])
    assert due(TRACE, from_seconds=1) == pytest.approx([0, 0, 3, 8.999])
    assert due(TRACE, 200, from_seconds=1, time_percent=400) == pytest.approx([0, 0, 6])


def test_half_the_rate_is_half_of_the_requests_at_their_own_times():
    all_of_them = [10 * index for index in range(1000)]
    half = due(entries(*all_of_them), rate_percent=50)
    assert len(half) == 500
    assert {round(1000 * at) for at in half} < set(all_of_them)
    assert half == sorted(half)
    assert 150 < sum(at < 5 for at in half) < 350, "from all over the window"


def test_a_higher_rate_puts_copies_between_a_request_and_the_next():
    times = due(entries(0, 1000, 8000), rate_percent=300)
    assert len(times) == 9
    assert {0, 1, 8} <= set(times)
    assert [sum(low <= at < high for at in times) for low, high in ((0, 1), (1, 8), (8, 10))] == [3, 3, 3]
    assert len(due(entries(0, 1000, 8000), rate_percent=150)) == 5, "4.5 round to an even split of the remainder"


def test_no_more_of_a_trace_is_needed_than_some_window_shows():
    replay = Replay(from_seconds=100, time_percent=50)
    workload = workload_of(entries(100_000), replay, sweep_percent=[50, 100, 200], warmup_seconds=90)
    assert needed_seconds(workload) == 100 + max(10 * 200 / 50, 90 * 50 / 50)


def test_lengths_are_clipped_to_what_the_workload_allows():
    trace = entries(0, prompt_tokens=5000, output_tokens=1) + entries(1, prompt_tokens=50, output_tokens=900)
    limits = {"prompt_tokens": TokenLengths(mean=100, max=2000), "output_tokens": TokenLengths(mean=9, min=2, max=64)}
    workload = workload_of(trace, **limits)
    requests = list(RequestFactory(workload, model="m").stream("100", percent=100, duration_seconds=10))
    assert [(each.prompt_tokens, each.output_tokens) for each in requests] == [(2000, 2), (50, 64)]
    assert workload.longest_request_tokens == 2002
    assert workload_of(trace).longest_request_tokens == 5001


def prompts(trace, name="100", **changes):
    stream = RequestFactory(workload_of(trace, **changes), model="m").stream(name, percent=100, duration_seconds=10)
    return [json.loads(request.body())["prompt"] for request in stream]


def test_a_group_shares_as_many_tokens_as_it_says():
    a, b, alone, other = prompts(
        entries(0, prefix_group=1, prefix_tokens=30)
        + entries(1, prefix_group=1, prefix_tokens=30, prompt_tokens=77)
        + entries(2)
        + entries(3, prefix_group=2, prefix_tokens=30)
    )
    assert a[:30] == b[:30]
    assert len({tuple(each[30:77]) for each in (a, b, alone, other)}) == 4
    assert len({tuple(each[:30]) for each in (a, alone, other)}) == 3


@pytest.mark.parametrize("shorter", range(1, 12))
def test_turns_of_a_talk_repeat_all_that_was_said(shorter):
    first, second = prompts(entries(0, prefix_group=1, prompt_tokens=shorter) + entries(1, prefix_group=1))
    assert len(first) == shorter
    assert second[:shorter] == first


def test_a_group_finds_nothing_of_an_earlier_rate_in_the_cache():
    trace = entries(0, prefix_group=1)
    assert prompts(trace, "50") != prompts(trace, "100") == prompts(trace, "100")
