"""Stands between an operator and the API server, counts what is written, and kills the operator at chosen writes."""

import asyncio
import contextlib
import json
import ssl
import threading
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from aiohttp import ClientConnectionError, ClientSession, ClientTimeout, TCPConnector, web

from tests.clusters.control_plane import free_ports

Moment = Literal["before", "after"]
Kill = tuple[str, Moment]
"""A write, and whether the operator dies before the API server has it, or after it answered and before that is seen."""

_HOP_BY_HOP = {"connection", "host", "content-length", "transfer-encoding", "keep-alive"}
_MOST_BYTES = 16 * 1024 * 1024


@dataclass
class Proxy:
    """`kill` is called at each of `kills`; where it is not `fatal`, the operator has its answer all the same."""

    access: Path
    """The kubeconfig whose API server is asked."""

    kill: Callable[[], None] = lambda: None
    kills: set[Kill] = field(default_factory=set)
    fatal: bool = True
    writes: list[str] = field(default_factory=list)
    """Those that reached the API server, each with its number among its like: PUT sloguardtrials/s-0-1/status 2."""

    requests: int = 0
    _counts: Counter[str] = field(default_factory=Counter)

    @contextlib.contextmanager
    def running(self, folder: Path) -> Iterator[Path]:
        """The kubeconfig of the way through it. It has a thread of its own."""
        config = json.loads(self.access.read_text())
        cluster = config["clusters"][0]["cluster"]
        (port,) = free_ports(1)
        upstream, authority = cluster["server"], b64decode(cluster["certificate-authority-data"]).decode()
        config["clusters"][0]["cluster"] = {"server": f"http://127.0.0.1:{port}"}
        own = folder / "through-proxy.kubeconfig"
        own.write_text(json.dumps(config))
        loop, ready = asyncio.new_event_loop(), threading.Event()
        stop = asyncio.Event()

        async def serve() -> None:
            connector = TCPConnector(ssl=ssl.create_default_context(cadata=authority), limit=0)
            async with ClientSession(upstream, connector=connector, timeout=ClientTimeout(total=None)) as session:
                app = web.Application(client_max_size=_MOST_BYTES)
                app.router.add_route("*", "/{path:.*}", partial(self._pass_on, session))
                # A watch of an operator that is gone must end, too.
                runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
                await runner.setup()
                await web.TCPSite(runner, "127.0.0.1", port).start()
                ready.set()
                await stop.wait()
                await runner.cleanup()
            # Connections with TLS are closed a moment after their session.
            await asyncio.sleep(0.1)

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
        thread.start()
        assert ready.wait(30)
        try:
            yield own
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(30)
            loop.close()

    async def _pass_on(self, session: ClientSession, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        body = await request.read()
        kind = _write(request, body)
        point = f"{kind} {self._counts[kind] + 1}"
        if kind and self._dies((point, "before")):
            return _dropped(request)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        async with session.request(request.method, request.path_qs, data=body or None, headers=headers) as answer:
            given = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP | {"content-encoding"}}
            if not kind:
                response = web.StreamResponse(status=answer.status, headers=given)
                with contextlib.suppress(ConnectionError, ClientConnectionError):
                    await response.prepare(request)
                    async for chunk in answer.content.iter_any():
                        await response.write(chunk)
                    await response.write_eof()
                return response
            content = await answer.read()
        self._counts[kind] += 1
        self.writes.append(point)
        if self._dies((point, "after")):
            return _dropped(request)
        return web.Response(status=answer.status, headers=given, body=content)

    def _dies(self, kill: Kill) -> bool:
        if kill not in self.kills:
            return False
        self.kills.discard(kill)
        self.kill()
        return self.fatal


def _dropped(request: web.Request) -> web.Response:
    """No answer: the connection is closed."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _write(request: web.Request, body: bytes) -> str:
    """Method and object, without what differs from run to run; nothing for a read, and for the Lease.

    The Lease is renewed by the clock. Events are named after the study's UID; their reason has to do.
    """
    if request.method == "GET" or "/leases" in request.path:
        return ""
    _, _, place = request.path.partition("/namespaces/")
    _, _, place = place.partition("/")
    if request.method != "POST":
        return f"{request.method} {place}"
    told = json.loads(body)
    return f"POST {place}/{told['reason'] if place == 'events' else told['metadata']['name']}"
