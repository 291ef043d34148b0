"""The same seed makes the same load; arrivals keep their rate and their window."""

from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import (
    Arrival,
    ArrivalPattern,
    Burst,
    ClosedLoop,
    LengthBucket,
    LengthDistribution,
    PromptFormat,
    Prompts,
    Replay,
    SharedPrefix,
    TokenLengths,
    TraceEntry,
    Workload,
)
from sloguard.measure.requests import RequestFactory

rates = st.integers(1, 3000)


def even(rate):
    return Arrival(pattern=ArrivalPattern.CONSTANT, requests_per_minute=rate)


def random(rate):
    return Arrival(pattern=ArrivalPattern.POISSON, requests_per_minute=rate)


def bursts(rate, more, period, duty):
    burst = Burst(requests_per_minute=rate + more, period_seconds=period, duty_percent=duty)
    return Arrival(pattern=ArrivalPattern.BURST, requests_per_minute=rate, burst=burst)


def gamma(rate, burstiness):
    return Arrival(pattern=ArrivalPattern.GAMMA, requests_per_minute=rate, burstiness_percent=burstiness)


def users(count):
    return Arrival(pattern=ArrivalPattern.CLOSED_LOOP, closed_loop=ClosedLoop(users=count))


def recorded(times, time_percent, rate_percent):
    entries = [
        TraceEntry(
            at_milliseconds=at,
            prompt_tokens=at % 50 + 1,
            output_tokens=at % 7 + 1,
            prefix_group=at % 3 or None,
            prefix_tokens=at % 31 + 1 if at % 3 else None,
        )
        for at in times
    ]
    replay = Replay(time_percent=time_percent, rate_percent=rate_percent)
    return Arrival(pattern=ArrivalPattern.TRACE, trace=entries, replay=replay)


arrivals = st.one_of(
    st.builds(even, rates),
    st.builds(random, rates),
    st.builds(bursts, rates, rates, st.integers(1, 30), st.integers(1, 99)),
    st.builds(gamma, rates, st.integers(1, 1000)),
    st.builds(
        recorded,
        # The first is due at once, whatever the scale: a trace that never begins is no workload.
        st.lists(st.integers(0, 20_000), max_size=20).map(lambda times: [0, *times]),
        st.integers(10, 300),
        st.integers(1, 300),
    ),
)
buckets = [LengthBucket(min=3), LengthBucket(min=7, max=15, weight=5)]
lengths = st.sampled_from(
    [
        TokenLengths(mean=10, stddev=5, min=1, max=20),
        TokenLengths(distribution=LengthDistribution.LOG_NORMAL, mean=10, stddev=20, max=30),
        TokenLengths(distribution=LengthDistribution.UNIFORM, min=5, max=12),
        TokenLengths(distribution=LengthDistribution.EMPIRICAL, buckets=buckets),
    ]
)
percents = st.integers(1, 300)
durations = st.integers(1, 20)


def factory(arrival, seed=1):
    length = TokenLengths(mean=5)
    return RequestFactory(
        Workload(arrival=arrival, prompt_tokens=length, output_tokens=length, seed=seed, duration_seconds=30), model="m"
    )


@settings(deadline=None)
@given(arrivals, percents, durations, st.integers(0, 2**31 - 1))
def test_due_times_ascend_within_the_window_at_the_offered_rate(arrival, percent, seconds, seed):
    def due():
        requests = factory(arrival, seed).stream("x", percent=percent, duration_seconds=seconds)
        return [request.due_seconds for request in requests]

    times = due()
    assert all(before <= after for before, after in pairwise(times))
    assert all(0 <= time < seconds + 1e-9 for time in times)
    offered = factory(arrival).offered_per_minute(percent, seconds) * seconds / 60
    assert len(times) == pytest.approx(max(1, offered) if arrival.trace is None else offered, abs=1 + seconds / 120)
    assert times == due()


@settings(deadline=None)
@given(
    st.one_of(arrivals, st.builds(users, st.integers(1, 50))),
    lengths,
    lengths,
    st.sampled_from(PromptFormat),
    st.sampled_from([1, 10, 30]),
    st.integers(0, 2**31 - 1),
    st.integers(0, 100),
)
def test_same_seed_same_bytes(arrival, prompt, output, form, percent, seed, shared):
    workload = Workload(
        arrival=arrival,
        prompt_tokens=prompt,
        output_tokens=output,
        shared_prefix=SharedPrefix(tokens=5, percent=shared),
        prompts=Prompts(format=form),
        seed=seed,
    )

    def plan():
        requests = RequestFactory(workload, model="m").stream("100", percent=percent, duration_seconds=3)
        # A closed loop's stream has no end; which part of it is sent is up to the server.
        return [(request.due_seconds, request.body()) for request in islice(requests, 500)]

    assert plan() == plan()
