"""A rate that is lost already is ended, and its figures say that they are bounds."""

import asyncio

from sloguard.api.v1alpha1 import SLO, Arrival, ArrivalPattern, Metric
from sloguard.measure.load import run_load
from tests.unit.measure.fake_server import a_request, well

HALF_A_SECOND = (SLO(metric=Metric.TTFT, milliseconds=500),)
PLANNED = 60
WANTED = 4


def drowning(after):
    """Answers so many requests, and lets the others wait."""
    answered = 0

    async def answer(request):
        nonlocal answered
        answered += 1
        if answered > after:
            await asyncio.sleep(60)
        return await well(request)

    return answer


def a_rate(server, *, stop=True, sweep=(100,)):
    """Ten requests a second for six seconds."""
    arrival = Arrival(pattern=ArrivalPattern.CONSTANT, requests_per_minute=600)
    request = a_request(server, slos=HALF_A_SECOND, arrival=arrival, duration_seconds=6, sweep_percent=list(sweep))
    return request.model_copy(update={"stop_when_hopeless": stop})


async def test_it_ends_when_more_than_half_are_lost(server):
    server.answer = drowning(after=1)
    result = await run_load(a_rate(server, sweep=(100, 150, 200)))
    (rate,) = result.rates
    assert rate.censored
    assert not rate.slos_met
    assert rate.sent == PLANNED == rate.good + rate.violations.total
    assert len(server.bodies) < PLANNED, "some were never sent"
    assert rate.violations.unfinished > PLANNED / 2 - 1, "those that were late when it ended"
    assert (rate.good, rate.good_tokens) == (1, WANTED)
    assert rate.good_tokens_at_most == rate.good_tokens + WANTED * rate.violations.spared
    assert rate.good_tokens_interval is None, "bounds are no estimate"
    assert result.saved_seconds >= 2 * 6, "the higher rates at the least"
    assert (result.fault, result.invalid) == (None, None)


async def test_only_where_it_may_be_ended(server):
    server.answer = drowning(after=1)
    result = await run_load(a_rate(server, stop=False))
    (rate,) = result.rates
    assert (len(server.bodies), rate.violations.spared, rate.good_tokens_at_most) == (PLANNED, 0, None)
    assert not rate.censored


async def test_a_rate_that_can_still_end_well_is_left_alone(server):
    server.answer = drowning(after=40)
    (rate,) = (await run_load(a_rate(server))).rates
    assert (rate.good, rate.violations.spared) == (40, 0)


async def test_the_warm_up_is_never_judged(server):
    server.answer = drowning(after=0)
    request = a_rate(server)
    workload = request.workload.model_copy(update={"warmup_seconds": 1, "drain_seconds": 1})
    (rate,) = (await run_load(request.model_copy(update={"workload": workload}))).rates
    assert rate.sent == PLANNED
