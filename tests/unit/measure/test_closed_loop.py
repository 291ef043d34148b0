"""Users who wait for their answers: never more requests than users, none before the last has ended."""

import asyncio
import json

import pytest

from sloguard.api.v1alpha1 import SLO, Arrival, ArrivalPattern, ClosedLoop, Metric, ServerFaultKind, TokenLengths
from sloguard.domain.goodput import Ending, RequestRecord
from sloguard.measure.closed_loop import elapsed_milliseconds, users_at
from sloguard.measure.load import run_load
from tests.unit.measure.fake_server import DONE, a_request, chunk, replies, streams, usage, well


def loop(users, think_milliseconds=0):
    closed = ClosedLoop(users=users, think_milliseconds=think_milliseconds)
    return Arrival(pattern=ArrivalPattern.CLOSED_LOOP, closed_loop=closed)


class Crowd:
    """A server that knows how many requests are open, and answers each after a while."""

    def __init__(self, answer=well, seconds=0.02):
        self.answer = answer
        self.seconds = seconds
        self.open = self.most = 0

    async def __call__(self, request):
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            await asyncio.sleep(self.seconds)
            return await self.answer(request)
        finally:
            self.open -= 1


async def test_never_more_requests_than_users(server):
    server.answer = crowd = Crowd()
    result = await run_load(a_request(server, arrival=loop(3)))
    (rate,) = result.rates
    assert crowd.most == 3
    assert rate.users == 3
    assert rate.sent == rate.good == len(server.bodies)
    assert 3 < rate.sent <= 3 * 1.02 / 0.02 + 3
    assert rate.duration_milliseconds >= 1000
    assert rate.requests_per_minute == round(rate.sent * 60_000 / rate.duration_milliseconds)


async def test_the_sweep_scales_the_users(server):
    server.answer = Crowd()
    result = await run_load(a_request(server, arrival=loop(4), sweep_percent=[25, 100, 150]))
    assert [(rate.rate_percent, rate.users) for rate in result.rates] == [(25, 1), (100, 4), (150, 6)]
    assert users_at(loop(3), 10) == 1, "somebody has to be there"
    assert users_at(Arrival(requests_per_minute=1), 10) is None


async def test_thinking_takes_its_time(server):
    server.answer = Crowd(seconds=0.0)
    result = await run_load(a_request(server, arrival=loop(1, think_milliseconds=400)))
    assert 2 <= result.rates[0].sent <= 3, "at 0, 0.4 and 0.8 s"


async def test_the_last_answers_are_waited_for_and_their_time_counts(server):
    """A request of 0.6 s is sent at 0 and at 0.6 s; two answers take 1.2 s, not the window's second."""
    server.answer = Crowd(seconds=0.6)
    result = await run_load(a_request(server, arrival=loop(1)))
    (rate,) = result.rates
    assert (rate.sent, rate.good) == (2, 2)
    assert rate.duration_milliseconds >= 1200
    assert rate.goodput_tokens_per_second <= 2 * 4 / 1.2


async def test_what_the_drain_cuts_off_is_unfinished(server):
    server.answer = streams(chunk(), 60.0, usage(4), DONE)
    result = await run_load(a_request(server, arrival=loop(2)))
    (rate,) = result.rates
    assert (rate.sent, rate.violations.unfinished) == (2, 2)


async def test_a_server_that_refuses_at_once_is_not_asked_ever_faster(server):
    server.answer = replies(429, b"")
    result = await run_load(a_request(server, arrival=loop(2)))
    (rate,) = result.rates
    assert (rate.sent, rate.violations.client_error) == (2, 2), "the next would have come after a second"


async def test_a_server_that_dies_ends_the_loop(server):
    server.answer = replies(500, b"EngineCore encountered an issue")
    result = await run_load(a_request(server, arrival=loop(5), duration_seconds=60))
    assert result.fault.kind is ServerFaultKind.ENGINE_DEAD
    (rate,) = result.rates
    assert rate.sent == rate.violations.failed
    assert rate.sent <= 5


@pytest.mark.parametrize("seconds", [0.0, 0.01])
async def test_the_requests_are_the_same_in_the_same_order(server, seconds):
    """However fast the server is, and whoever sends them: as far as they come, all trials send the same."""
    lengths = TokenLengths(mean=20, stddev=10, max=50)
    sent = []
    for _ in range(2):
        server.bodies, server.answer = [], Crowd(seconds=seconds)
        slos = [SLO(metric=Metric.TTFT, milliseconds=30_000)]
        await run_load(a_request(server, arrival=loop(1), slos=slos, prompt_tokens=lengths))
        sent.append(server.bodies)
        seconds += 0.01
    fewer = min(map(len, sent))
    assert fewer > 10
    assert sent[0][:fewer] == sent[1][:fewer]
    assert len({len(json.loads(body)["prompt"]) for body in sent[0]}) > 3


def test_elapsed_time():
    def record(due, e2e, ending=Ending.COMPLETED):
        return RequestRecord(due, 1, 1, ending=ending, e2e_microseconds=e2e)

    assert elapsed_milliseconds([], 2) == 2000
    assert elapsed_milliseconds([record(0, 10)], 2) == 2000
    assert elapsed_milliseconds([record(0, 10), record(1_900_000, 500_001)], 2) == 2401
    assert elapsed_milliseconds([record(1_900_000, 500_001, Ending.CUT_OFF)], 2) == 2000
