"""A small vLLM-like server whose answers each test chooses, on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sloguard.api.v1alpha1 import SLO, Arrival, ArrivalPattern, Metric, TokenLengths, Workload
from sloguard.measure.request import LoadRequest

Answer = Callable[["FakeServer", web.Request], Awaitable[web.StreamResponse]]


def chunk(text="a"):
    """As vLLM 0.24 sends it: compact JSON."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": None, "stop_reason": None}
    return data({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]})


def usage(tokens):
    counts = {"prompt_tokens": 8, "total_tokens": 8 + tokens, "completion_tokens": tokens}
    return data({"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [], "usage": counts})


def data(message):
    return b"data: " + json.dumps(message, separators=(",", ":")).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


async def start_stream(request):
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    return response


async def well(server, request):
    """Every token in a chunk of its own, then usage and end mark."""
    wanted = (await request.json())["max_tokens"]
    response = await start_stream(request)
    for _ in range(wanted):
        await response.write(chunk())
        await asyncio.sleep(0)
    await response.write(usage(wanted))
    await response.write(DONE)
    return response


@dataclass
class FakeServer:
    answer: Answer = well
    metrics: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
    bodies: list[bytes] = field(default_factory=list)
    health_status: int = 200
    test_server: TestServer | None = None

    @property
    def url(self):
        return str(self.test_server.make_url("")).rstrip("/")

    async def start(self):
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        self.test_server = TestServer(app)
        await self.test_server.start_server(shutdown_timeout=0.01)

    async def stop(self):
        await self.test_server.close()

    async def _complete(self, request):
        self.bodies.append(await request.read())
        return await self.answer(self, request)

    async def _models(self, _request):
        return web.json_response({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    async def _health(self, _request):
        return web.Response(status=self.health_status)

    async def _metrics(self, request):
        return await self.metrics(request) if self.metrics else web.Response(status=404)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    await fake.start()
    yield fake
    await fake.stop()


def a_workload(**changes):
    fields = {
        "arrival": Arrival(pattern=ArrivalPattern.CONSTANT, requests_per_minute=1200),
        "prompt_tokens": TokenLengths(mean=8, max=8),
        "output_tokens": TokenLengths(mean=4, max=4),
        "warmup_seconds": 0,
        "duration_seconds": 1,
        "drain_seconds": 1,
    }
    return Workload(**fields | changes)


GENEROUS = (
    SLO(metric=Metric.TTFT, milliseconds=30_000),
    SLO(metric=Metric.ITL, milliseconds=30_000),
    SLO(metric=Metric.TPOT, milliseconds=30_000),
    SLO(metric=Metric.E2E, milliseconds=60_000),
)


def a_request(server, *, slos=GENEROUS, lag_floor=60_000, **changes):
    """The lag floor is high: test machines are busy, and lag has tests of its own."""
    return LoadRequest(
        url=server.url, workload=a_workload(**changes), slos=list(slos), dispatch_lag_floor_milliseconds=lag_floor
    )


@pytest.fixture
def request_for():
    return a_request


@pytest.fixture
def workload():
    return a_workload
