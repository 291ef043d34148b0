"""A small vLLM-like server whose answers each test chooses, on a real socket."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

from sloguard.api.v1alpha1 import SLO, Arrival, ArrivalPattern, Metric, TokenLengths, TraceEntry, Workload
from sloguard.measure.request import LoadRequest

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

DONE = b"data: [DONE]\n\n"
ENGINE_DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


def data(message, **dumps):
    return b"data: " + json.dumps(message, **({"separators": (",", ":")} | dumps)).encode() + b"\n\n"


def message(**fields):
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m"} | fields


def chunk(text="a"):
    """As vLLM 0.24 sends it: compact JSON."""
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": None, "stop_reason": None}
    return data(message(choices=[choice]))


def usage(tokens):
    return data(message(choices=[], usage={"prompt_tokens": 8, "completion_tokens": tokens}))


def streams(*parts):
    """An answer that streams these bytes; DELAY_SECONDS are numbers between them; ABORT breaks the connection."""

    async def answer(request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            if part is ABORT:
                request.transport.abort()
                return response
            await (response.write(part) if isinstance(part, bytes) else asyncio.sleep(part))
        return response

    return answer


ABORT = object()


def replies(status, body, **headers):
    async def answer(_request):
        return web.Response(status=status, body=body, headers=headers)

    return answer


async def well(request):
    """Every token in a chunk of its own, then usage and end mark."""
    wanted = (await request.json())["max_tokens"]
    return await streams(*[chunk()] * wanted, usage(wanted), DONE)(request)


NOT_FOUND = replies(404, b"")
EMPTY = replies(200, b"")
ONE_MODEL = replies(200, b'{"object": "list", "data": [{"id": "tiny", "object": "model"}]}')


@dataclass
class FakeServer:
    answer: Answer = well
    metrics: Answer = NOT_FOUND
    models: Answer = ONE_MODEL
    health: Answer = EMPTY
    bodies: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    test_server: TestServer | None = None
    url: str = ""

    async def start(self):
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/completions", self._complete)
        for path in ("/v1/models", "/health", "/metrics"):
            app.router.add_get(path, self._get)
        self.test_server = TestServer(app)
        await self.test_server.start_server(shutdown_timeout=0.01)
        self.url = str(self.test_server.make_url("")).rstrip("/")

    async def die(self):
        """As a killed process does: connections break and new ones are refused."""
        for site in list(self.test_server.runner.sites):
            await site.stop()
        for connection in self.test_server.runner.server.connections:
            connection.force_close()

    async def stop(self):
        await self.test_server.close()

    async def _get(self, request):
        answer = {"/v1/models": self.models, "/health": self.health, "/metrics": self.metrics}[request.path]
        return await answer(request)

    async def _complete(self, request):
        self.bodies.append(await request.read())
        self.asked.set()
        return await self.answer(request)


GENEROUS = (
    SLO(metric=Metric.TTFT, milliseconds=30_000),
    SLO(metric=Metric.ITL, milliseconds=30_000),
    SLO(metric=Metric.TPOT, milliseconds=30_000),
    SLO(metric=Metric.E2E, milliseconds=60_000),
)


def a_workload(*, lag_floor=60_000, **changes):
    """20 requests within a tenth of a second. The lag floor is high: test machines are busy, and lag has own tests."""
    fields = {
        "arrival": Arrival(
            pattern=ArrivalPattern.TRACE,
            trace=[TraceEntry(at_milliseconds=5 * index, prompt_tokens=8, output_tokens=4) for index in range(20)],
        ),
        "prompt_tokens": TokenLengths(mean=8, max=8),
        "output_tokens": TokenLengths(mean=4, max=4),
        "warmup_seconds": 0,
        "duration_seconds": 1,
        "drain_seconds": 1,
        "dispatch_lag_floor_milliseconds": lag_floor,
    }
    return Workload(**fields | changes)


def a_request(server, *, slos=GENEROUS, model=None, **changes):
    return LoadRequest(
        url=server.url,
        model=model,
        workload=a_workload(**changes),
        slos=list(slos),
    )
