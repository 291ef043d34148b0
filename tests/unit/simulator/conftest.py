"""A simulator as its users run it: a child process with a port of its own."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sloguard.simulator.serve import main

COMMAND = [sys.executable, "-m", "sloguard.simulator"]
FAST = ["--profile", "tiny", "--startup-scale", "0.002"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Ended:
    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


@dataclass
class Streamed:
    status: int
    chunks: list[dict[str, Any]] = field(default_factory=list)
    body: dict[str, Any] = field(default_factory=dict)
    done: bool = False
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def texts(self) -> list[str]:
        return [chunk["choices"][0].get("text", "") for chunk in self.chunks if chunk.get("choices")]


class Server:
    """A running simulator and a client for it."""

    def __init__(self, arguments: tuple[str, ...], log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        command = [*COMMAND, "some/model", "--host", "127.0.0.1", "--port", str(self.port), *FAST, *arguments]
        with log.open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def wait_ready(self, session: aiohttp.ClientSession) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}:\n{self.log}")
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with session.get(f"{self.url}/health") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.03)
        raise AssertionError(f"not ready:\n{self.log}")

    async def stream(self, session: aiohttp.ClientSession, path: str = "/v1/completions", **body: Any) -> Streamed:
        async with session.post(self.url + path, json={"stream": True, **body}) as answer:
            result = Streamed(answer.status, headers=dict(answer.headers))
            if answer.status != 200:
                result.body = await answer.json()
                return result
            async for line in answer.content:
                if line == b"data: [DONE]\n":
                    result.done = True
                elif line.startswith(b"data: "):
                    result.chunks.append(json.loads(line[6:]))
            return result

    async def samples(self, session: aiohttp.ClientSession) -> dict[str, float]:
        """Every sample of /metrics summed over labels, but buckets and creation times."""
        async with session.get(f"{self.url}/metrics") as answer:
            text = await answer.text()
        totals: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if not sample.name.endswith(("_bucket", "_created")):
                    totals[sample.name] = totals.get(sample.name, 0.0) + sample.value
        return totals

    async def wait_running(self, session: aiohttp.ClientSession) -> None:
        for _ in range(500):
            if (await self.samples(session))["vllm:num_requests_running"]:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("nothing runs")

    async def wait_end(self) -> int:
        return await asyncio.to_thread(self.process.wait, 20)  # a thread cannot be given up, so it must end itself

    def close(self) -> None:
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def run_to_end(capsys) -> Callable[..., Ended]:
    """A start that fails, in this process: it ends before there is a server."""

    def run(*arguments: str) -> Ended:
        code = main(["some/model", "--port", str(free_port()), *FAST, *arguments])
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)) as client:
        yield client


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def launch(*arguments: str) -> Server:
        servers.append(Server(arguments, tmp_path / f"server{len(servers)}.log"))
        return servers[-1]

    yield launch
    for server in servers:
        server.close()
