"""Whole loads against a real socket: warm-up, sweep, faults, the server's counters."""

import asyncio
import json
import time
from itertools import count

import pytest

from sloguard.api.v1alpha1 import SLO, Arrival, ArrivalPattern, Metric, ServerFaultKind, Violations
from sloguard.measure import load as load_module
from sloguard.measure.load import run_load
from sloguard.measure.request import LoadInputError
from tests.unit.measure.fake_server import DONE, ENGINE_DEAD, a_request, chunk, replies, streams, usage, well


async def test_every_rate_is_measured_in_ascending_order(server):
    seen = []
    arrival = Arrival(pattern=ArrivalPattern.CONSTANT, requests_per_minute=1200)
    request = a_request(server, sweep_percent=[100, 50], arrival=arrival)
    result = await run_load(request, on_rate=lambda rate, records: seen.append((rate.rate_percent, len(records))))
    assert [(rate.rate_percent, rate.sent, rate.requests_per_minute) for rate in result.rates] == [
        (50, 10, 600),
        (100, 20, 1200),
    ]
    assert seen == [(50, 10), (100, 20)]
    assert result.fault is None
    assert result.invalid is None
    for rate in result.rates:
        assert rate.good == rate.completed == rate.sent
        assert rate.slos_met
        assert rate.output_tokens == rate.good_tokens == 4 * rate.sent
        assert rate.prompt_tokens == 8 * rate.sent
        assert rate.goodput_tokens_per_second == 4 * rate.sent


async def test_warm_up_is_sent_and_not_counted(server):
    result = await run_load(a_request(server, warmup_seconds=1))
    assert result.rates[0].sent == 20
    assert len(server.bodies) == 40
    assert not set(server.bodies[:20]) & set(server.bodies[20:])


async def test_same_seed_sends_the_same_bytes(server):
    await run_load(a_request(server))
    first, server.bodies = server.bodies, []
    await run_load(a_request(server))
    assert sorted(server.bodies) == sorted(first), "connections may overtake one another"
    assert len(set(first)) == 20


async def test_the_sweep_ends_after_an_overwhelming_rate(server):
    server.answer = replies(429, b"")
    result = await run_load(a_request(server, sweep_percent=[50, 100]))
    (rate,) = result.rates
    assert rate.rate_percent == 50
    assert rate.violations == Violations(client_error=20)
    assert not rate.slos_met
    assert result.fault is None


async def test_slow_requests_are_violations(server):
    server.answer = streams(chunk(), 0.01, chunk(), usage(4), DONE)
    result = await run_load(a_request(server, slos=[SLO(metric=Metric.E2E, milliseconds=1)]))
    (rate,) = result.rates
    assert (rate.completed, rate.good, rate.good_tokens, rate.violations.slow) == (20, 0, 0, 20)


async def test_a_server_that_dies_is_a_result(server):
    numbers = count()

    async def dies_at_the_tenth(request):
        return await (well if next(numbers) < 10 else replies(500, ENGINE_DEAD.encode()))(request)

    server.answer = dies_at_the_tenth
    result = await run_load(a_request(server, sweep_percent=[100, 200]))
    assert result.fault.kind is ServerFaultKind.ENGINE_DEAD
    assert result.started_at <= result.fault.at <= result.finished_at
    (rate,) = result.rates
    assert rate.sent == 20
    assert rate.sent == rate.good + rate.violations.slow + rate.violations.failed


async def test_a_server_that_dies_during_the_drain_is_noticed(server):
    """Nothing is left to be refused then, so the load asks once more."""
    numbers = count()

    async def last_one_dies(request):
        if next(numbers) < 19:
            return await well(request)
        await server.die()
        return await well(request)

    server.answer = last_one_dies
    result = await run_load(a_request(server))
    assert result.fault.kind is ServerFaultKind.SERVER_GONE
    assert result.rates[0].violations.failed >= 1


async def test_a_server_that_dies_in_the_warm_up_leaves_no_rates(server):
    server.answer = replies(500, ENGINE_DEAD.encode())
    result = await run_load(a_request(server, warmup_seconds=1))
    assert result.rates == []
    assert result.fault.kind is ServerFaultKind.ENGINE_DEAD


async def test_a_server_that_never_was_there(server):
    await server.stop()
    result = await run_load(a_request(server), ready_timeout_seconds=0)
    assert result.fault.kind is ServerFaultKind.SERVER_GONE
    assert "not ready within 0 s" in result.fault.detail


async def test_waits_until_the_server_is_ready(server, monkeypatch):
    monkeypatch.setattr(load_module, "POLL_SECONDS", 0.01)
    asked = count()

    async def later(request):
        return await replies(503 if next(asked) < 3 else 200, b"")(request)

    server.health = later
    result = await run_load(a_request(server))
    assert result.fault is None
    assert next(asked) == 4


@pytest.mark.parametrize("status", [200, 404])
async def test_model_is_asked_of_the_server(server, status):
    server.health = replies(status, b"")
    await run_load(a_request(server))
    assert {json.loads(body)["model"] for body in server.bodies} == {"tiny"}


async def test_model_can_be_given(server):
    await run_load(a_request(server, model="lora-7"))
    assert {json.loads(body)["model"] for body in server.bodies} == {"lora-7"}


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b'{"data": []}', b'{"data": [{"id": 7}]}', b'{"data": [{"id": ""}]}', b"[" * 100_000]
)
async def test_a_server_without_a_model_is_wrong_input(server, answer):
    server.models = replies(200, answer)
    with pytest.raises(LoadInputError, match="name it with --model"):
        await run_load(a_request(server))


async def test_own_lag_makes_a_result_invalid(server):
    """The server shares this test's event loop and blocks it, so the generator is late."""

    async def block(request):
        time.sleep(0.03)  # noqa: ASYNC251 - blocking is what it is about
        return await well(request)

    server.answer = block
    result = await run_load(a_request(server, lag_floor=1, slos=[SLO(metric=Metric.TTFT, milliseconds=1)]))
    assert result.rates[0].dispatch_lag_p99_microseconds > 1000
    assert "more than 1.0 ms" in result.invalid


def counting(server, generated):
    """Two engines; `generated` gives the first one's tokens at each scrape."""
    scrapes = count()

    async def metrics(request):
        at = next(scrapes)
        text = (
            "# TYPE vllm:prompt_tokens_total counter\n"
            f'vllm:prompt_tokens_total{{engine="0",model_name="m"}} {100 + 50 * at}.0\n'
            f'vllm:prompt_tokens_total{{engine="1",model_name="m"}} {10 * at}.0\n'
            f'vllm:num_preemptions_total{{engine="0"}} {3 * at}.0\n'
            f'vllm:generation_tokens_total{{engine="0"}} {generated(at)}.0\n'
        )
        return await replies(200, text.encode())(request)

    server.metrics = metrics


async def test_counters_of_the_server(server):
    counting(server, lambda at: 5 + 7 * at)
    counters = (await run_load(a_request(server))).rates[0].server
    assert (counters.prompt_tokens, counters.preemptions, counters.generation_tokens) == (60, 3, 7)
    assert counters.prefix_cache_hits_tokens is None


async def test_an_engine_that_began_anew_makes_all_its_counters_worthless(server):
    counting(server, lambda at: 5 - at)
    assert (await run_load(a_request(server))).rates[0].server is None


async def test_cancelling_a_load_leaves_nothing_running(server):
    server.answer = streams(chunk(), 5.0)
    loading = asyncio.create_task(run_load(a_request(server)))
    await server.asked.wait()
    loading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loading
