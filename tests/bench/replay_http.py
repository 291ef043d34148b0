"""The same loads to the simulator as its users run it: a process, HTTP, and real time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.bench.replay import PREFIX_TOKENS, Answer, Load, figures_of, flags

if TYPE_CHECKING:
    from collections.abc import Sequence

START_LIMIT_SECONDS = 60.0


def play_over_http(profile: str, config: dict[str, Any], loads: Sequence[Load]) -> list[list[dict[str, Any]]]:
    """Each load's requests, one load after the other, as `replay.Client.play` gives them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "sloguard.simulator", "m", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--profile", profile, "--startup-scale", "0.001", "--load-format", "dummy", *flags(config)]
    command.append("--disable-uvicorn-access-log")
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            return asyncio.run(_play(f"http://127.0.0.1:{port}", loads))
        finally:
            server.terminate()


async def _play(url: str, loads: Sequence[Load]) -> list[list[dict[str, Any]]]:
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await _ready(url, session)
        return [await _load(url, session, load, number << 32) for number, load in enumerate(loads, 1)]


async def _ready(url: str, session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(START_LIMIT_SECONDS):
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get(f"{url}/health") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)


async def _load(url: str, session: aiohttp.ClientSession, load: Load, unique: int) -> list[dict[str, Any]]:
    begun = asyncio.get_running_loop().time()
    tasks: list[asyncio.Task[Answer]] = []
    for due, length, prefixed in zip(load.due, load.prompt_tokens, load.prefixed, strict=True):
        await asyncio.sleep(begun + due - asyncio.get_running_loop().time())
        shared = min(PREFIX_TOKENS, length) if prefixed else 0
        prompt = [*range(shared), *range(unique, unique + length - shared)]
        unique += length
        body = {"prompt": prompt, "max_tokens": load.output_tokens, "ignore_eos": True, "stream": True}
        tasks.append(asyncio.create_task(_request(url, session, body, begun + due)))
    return [figures_of(answer) for answer in await asyncio.gather(*tasks)]


async def _request(url: str, session: aiohttp.ClientSession, body: dict[str, Any], due: float) -> Answer:
    answer, clock = Answer(due), asyncio.get_running_loop().time
    async with session.post(f"{url}/v1/completions", json=body) as response:
        async for line in response.content:
            if line.startswith(b'data: {"'):
                answer.chunks.append(clock())
    answer.tokens, answer.done = body["max_tokens"], True
    return answer
