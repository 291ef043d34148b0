"""Generation that stands still is a fault; work that is slow, unseen or over is none."""

import asyncio
import itertools
from datetime import UTC, datetime

import pytest

from sloguard.api.v1alpha1 import ServerActivity, ServerFaultKind
from sloguard.domain.goodput import Ending
from sloguard.measure import pulse as pulse_module
from sloguard.measure import scrape
from sloguard.measure import window as window_module
from sloguard.measure.client import CompletionClient, open_session
from sloguard.measure.fault import FaultWatch
from sloguard.measure.load import run_load
from sloguard.measure.pulse import Pulse
from sloguard.measure.window import Patience, Window
from tests.unit.measure.fake_server import DONE, NOT_FOUND, a_request, chunk, replies, streams, usage
from tests.unit.measure.test_window import planned


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A hundredth of the usual times."""
    monkeypatch.setattr(pulse_module, "SILENCE_SECONDS", 0.05)
    monkeypatch.setattr(pulse_module, "STANDSTILL_SECONDS", 0.3)
    monkeypatch.setattr(pulse_module, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(window_module, "LOOK_SECONDS", 0.01)


def signs(tokens, steps=0, usage=0.5):
    return (
        "# TYPE vllm:generation_tokens_total counter\n"
        f'vllm:generation_tokens_total{{engine="0",model_name="m"}} {tokens}\n'
        f'vllm:iteration_tokens_total_count{{engine="0",model_name="m"}} {steps}\n'
        f'vllm:kv_cache_usage_perc{{engine="0",model_name="m"}} {usage}\n'
        f'vllm:num_requests_waiting{{engine="0",model_name="m"}} {tokens}\n'
    ).encode()


STILL = replies(200, signs(7))


def growing(**fields):
    """Each time it is asked, these figures have grown by one."""
    numbers = itertools.count()

    async def answer(request):
        number = next(numbers)
        grown = {name: value + number for name, value in fields.items()}
        return await replies(200, signs(**{"tokens": 7} | grown))(request)

    return answer


async def run(server, requests, *, drain_seconds=1.0):
    watch = FaultWatch()
    async with open_session() as session:
        client = CompletionClient(session, server.url)
        pulse = Pulse(session, server.url, client, watch)
        await pulse.begin()
        records = await Window(client, watch, pulse, Patience(drain_seconds=drain_seconds)).run(iter(requests))
    return [record.ending for record in records], watch.fault


def working(running, waiting, usage):
    return (
        signs(7, usage=usage)
        + (
            f'vllm:num_requests_running{{engine="0"}} {running}\nvllm:num_requests_running{{engine="1"}} 2\n'
            f'vllm:num_requests_waiting{{engine="1"}} {waiting}\n'
        ).encode()
    )


@pytest.mark.parametrize(
    ("page", "activity"),
    [
        (working(30, 5, 0.93), ServerActivity(requests_running=32, requests_waiting=12, kv_cache_usage_percent=93)),
        (signs(7), None),
    ],
)
async def test_a_server_that_dies_has_said_before_what_it_did(server, monkeypatch, page, activity):
    monkeypatch.setattr(pulse_module, "SILENCE_SECONDS", 60.0)
    monkeypatch.setattr(pulse_module, "ACTIVITY_SECONDS", 0.01)
    server.metrics = replies(200, page)
    server.answer = streams(chunk(), 0.3, chunk())
    watch = FaultWatch()
    async with open_session() as session:
        client = CompletionClient(session, server.url)
        pulse = Pulse(session, server.url, client, watch)
        await pulse.begin()
        watch.activity = None
        await Window(client, watch, pulse, Patience(drain_seconds=1.0)).run(iter(planned(2)))
        server.metrics = NOT_FOUND
        await pulse.look(working=True)
    watch.conclude(ServerFaultKind.SERVER_GONE, "connection refused", datetime.now(UTC))
    assert watch.fault.activity == activity


HANGS = {
    "before the first token": [5.0],
    "after some tokens": [chunk(), 0.1, chunk(), 5.0],
    "and sends comments": [part for _ in range(200) for part in (b": ping\n\n", 0.02)],
}


@pytest.mark.parametrize("parts", HANGS.values(), ids=HANGS.keys())
async def test_a_hang_ends_the_window_and_says_when_tokens_stopped(server, parts):
    server.metrics, server.answer = STILL, streams(*parts)
    before = datetime.now(UTC)
    endings, fault = await run(server, planned(4) + planned(50, apart_seconds=60.0), drain_seconds=60.0)
    assert fault.kind is ServerFaultKind.GENERATION_STALLED
    assert fault.detail.startswith("requests are open and no token has been generated for")
    assert before <= fault.at <= datetime.now(UTC)
    assert (datetime.now(UTC) - fault.at).total_seconds() >= 0.3
    assert len(endings) == 54
    assert Ending.COMPLETED not in endings


async def test_a_server_that_does_not_even_tell_its_counters_any_more_stands_still(server, monkeypatch):
    monkeypatch.setattr(scrape, "TIMEOUT_SECONDS", 0.1)
    asked = itertools.count()

    async def once(request):
        return await (STILL(request) if next(asked) == 0 else asyncio.sleep(60))

    server.metrics, server.answer = once, streams(chunk(), 5.0)
    _, fault = await run(server, planned(4), drain_seconds=60.0)
    assert fault.kind is ServerFaultKind.GENERATION_STALLED


async def test_a_hang_is_noticed_though_the_drain_ends_before(server):
    server.metrics, server.answer = STILL, streams(chunk(), 5.0)
    endings, fault = await run(server, planned(4), drain_seconds=0.1)
    assert fault.kind is ServerFaultKind.GENERATION_STALLED
    assert endings == [Ending.UNFINISHED] * 4


async def test_what_completes_after_the_drain_is_unfinished_all_the_same(server):
    server.metrics, server.answer = STILL, streams(chunk(), 0.2, usage(4), DONE)
    endings, fault = await run(server, planned(4), drain_seconds=0.1)
    assert fault is None
    assert endings == [Ending.UNFINISHED] * 4


@pytest.mark.parametrize(
    "metrics",
    [growing(tokens=0), growing(steps=0), growing(usage=0.1), NOT_FOUND, replies(200, b"python_info 1\n")],
    ids=["tokens for others", "steps", "a long prompt", "no metrics", "not vLLM's metrics"],
)
async def test_no_hang(server, metrics):
    server.metrics, server.answer = metrics, streams(chunk(), 1.0, usage(4), DONE)
    endings, fault = await run(server, planned(4), drain_seconds=5.0)
    assert fault is None
    assert endings == [Ending.COMPLETED] * 4


async def test_tokens_of_any_stream_are_a_sign_of_life(server):
    numbers = itertools.count()

    async def one_flows(request):
        flowing = [part for _ in range(20) for part in (chunk(), 0.05)]
        parts = [*flowing, usage(20), DONE] if next(numbers) == 0 else [1.1, chunk(), usage(20), DONE]
        return await streams(*parts)(request)

    server.metrics, server.answer = STILL, one_flows
    endings, fault = await run(server, planned(3, wanted=20), drain_seconds=5.0)
    assert fault is None
    assert endings.count(Ending.COMPLETED) >= 1


async def test_nothing_to_do_is_no_hang(server):
    """Half a second passes between the two."""
    server.metrics = STILL
    endings, fault = await run(server, planned(2, apart_seconds=0.5))
    assert fault is None
    assert endings == [Ending.COMPLETED] * 2


async def test_a_working_server_is_asked_now_and_then(server, monkeypatch):
    """With no token for a moment it is asked as well, which a busy machine brings about by itself."""

    async def asked_every(seconds):
        monkeypatch.setattr(pulse_module, "ACTIVITY_SECONDS", seconds)
        asked = itertools.count()

        async def counts(request):
            next(asked)
            return await STILL(request)

        server.metrics = counts
        await run(server, planned(40, apart_seconds=0.01))
        return next(asked)

    seldom = await asked_every(3600.0)
    assert seldom >= 1
    assert await asked_every(0.0) > 2 * seldom


async def test_a_hang_ends_the_sweep(server):
    server.metrics, server.answer = STILL, streams(chunk(), 5.0)
    result = await run_load(a_request(server, sweep_percent=[100, 200]))
    assert result.fault.kind is ServerFaultKind.GENERATION_STALLED
    (rate,) = result.rates
    assert rate.sent == rate.violations.unfinished == 20
