"""A server is ready when a whole request went through it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web

from sloguard.local.readiness import until_ready


@dataclass
class Fake:
    health: list[int] = field(default_factory=lambda: [200])
    models: str = '{"data": [{"id": "m"}]}'
    completion: list[int] = field(default_factory=lambda: [200])
    url: str = ""
    seen: list[object] = field(default_factory=list)

    async def answer_health(self, _request: web.Request) -> web.Response:
        return web.Response(status=self.health.pop(0) if len(self.health) > 1 else self.health[0])

    async def answer_models(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.models)

    async def complete(self, request: web.Request) -> web.Response:
        self.seen.append(await request.json())
        return web.Response(status=self.completion.pop(0) if len(self.completion) > 1 else self.completion[0])


@pytest.fixture
async def fake() -> AsyncIterator[Fake]:
    one = Fake()
    application = web.Application()
    application.router.add_get("/health", one.answer_health)
    application.router.add_get("/v1/models", one.answer_models)
    application.router.add_post("/v1/completions", one.complete)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = site.name
    yield one
    await runner.cleanup()


async def is_ready(fake: Fake, seconds: float = 2.0) -> bool:
    async with aiohttp.ClientSession() as session:
        try:
            await asyncio.wait_for(until_ready(session, fake.url), seconds)
        except TimeoutError:
            return False
    return True


async def test_one_token_of_the_first_model(fake: Fake):
    assert await is_ready(fake)
    assert fake.seen == [{"model": "m", "prompt": [100], "max_tokens": 1}]


async def test_waits_for_health_and_for_the_engine(fake: Fake):
    fake.health = [503, 500, 200]
    fake.completion = [500, 503, 200]
    assert await is_ready(fake)
    assert len(fake.seen) == 3


async def test_refused_request_is_the_loads_matter(fake: Fake):
    fake.completion = [404]
    assert await is_ready(fake)


@pytest.mark.parametrize("models", ["", "{}", '{"data": []}', "[]", '{"data": [1]}', "null"])
async def test_no_model_yet(fake: Fake, models: str):
    fake.models = models
    assert not await is_ready(fake, 0.3)
    assert fake.seen == []


async def test_nobody_listens(fake: Fake):
    fake.url = "http://127.0.0.1:9"
    assert not await is_ready(fake, 0.3)
