"""Sends one request and says how it ended. Everything that can go wrong becomes an ending; nothing is raised."""

import asyncio
import errno
from dataclasses import dataclass
from time import perf_counter_ns

import aiohttp
from yarl import URL

from sloguard.domain.goodput import Ending, RequestRecord

from .sse import ENGINE_DEAD, CompletionStream, StreamBrokenError, StreamError

ERROR_BODY_LIMIT_BYTES = 16 * 1024
CONNECT_TIMEOUT_SECONDS = 10.0
AFTER_DONE_SECONDS = 1.0
"""How long the end of the connection's answer is awaited after the end mark, so that the connection can be reused."""

KEEP_ALIVE_SECONDS = 2.0
"""Below the 5 s after which uvicorn (and so vLLM) closes an idle connection: a request must not race with that."""

OWN_ERRNOS = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
"""No connection for want of our own files, ports or memory: the generator's fault, never the server's."""

DETAIL_LIMIT = 200


@dataclass(frozen=True, slots=True)
class Observation:
    """What one answer says about the server (or about us) beyond its own request."""

    answered: bool = False
    refused: bool = False
    engine_dead: bool = False
    own_fault: str | None = None
    detail: str = ""


def open_session() -> aiohttp.ClientSession:
    """Any number of connections, kept alive, without cookies, proxies or compression."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=("Accept-Encoding", "User-Agent"),
        headers={"Content-Type": "application/json"},
    )


@dataclass(eq=False, slots=True)
class Exchange:
    """One request on its way. Its clock started at `clock_ns`; `stream` is what has come of the answer."""

    record: RequestRecord
    clock_ns: int
    stream: CompletionStream

    @property
    def unanswered(self) -> bool:
        """Nothing is known yet of how it ends."""
        return self.record.ending is Ending.UNFINISHED


class CompletionClient:
    """Streams completions of one server. `last_token_ns` is when a token last came, in any answer."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, path: str = "/v1/completions") -> None:
        self.last_token_ns = 0
        self._session = session
        self._url = URL(f"{base_url}{path}")

    async def send(self, body: bytes, exchange: Exchange) -> Observation:
        """Fills the record in. A cancelled call leaves it as it is."""
        record = exchange.record
        try:
            return await self._stream(body, exchange)
        except StreamError as error:
            record.ending = Ending.SERVER_ERROR
            record.detail = str(error)
            return Observation(answered=True, engine_dead=error.engine_dead, detail=record.detail)
        except aiohttp.ClientConnectorError as error:
            return _not_connected(record, error)
        except aiohttp.ConnectionTimeoutError as error:
            return _not_connected(record, error)
        except (StreamBrokenError, aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: a header or chunk so long or malformed that aiohttp refuses it.
            record.ending = Ending.CUT_OFF
            record.detail = f"{type(error).__name__}: {error}"[:DETAIL_LIMIT]
            return Observation(detail=record.detail)

    async def _stream(self, body: bytes, exchange: Exchange) -> Observation:
        async with self._session.post(self._url, data=body, allow_redirects=False) as response:
            if response.status != 200:
                return await _rejected(response, exchange.record)
            stream, content = exchange.stream, response.content
            while not stream.done:
                data = await content.readany()
                if not data:
                    stream.finish(perf_counter_ns())
                    break
                stream.feed(data, perf_counter_ns())
                self.last_token_ns = max(self.last_token_ns, stream.last_ns)
            _settle(exchange)
            if stream.done and not content.at_eof():
                await _read_to_end(content)
        return Observation(answered=True)


def _settle(exchange: Exchange) -> None:
    """Completed means: ended by its mark, with at least the tokens that were asked for by the server's own count."""
    stream, record = exchange.stream, exchange.record
    if not stream.done:
        record.detail = "the stream ended without its end mark"
    elif stream.tokens is None:
        record.detail = "the stream ended without its usage"
    elif stream.tokens < record.wanted_tokens:
        record.detail = f"{stream.tokens} tokens instead of {record.wanted_tokens}"
    elif not stream.first_ns:
        record.detail = "the stream held no token"
    else:
        record.ending = Ending.COMPLETED
        record.ttft_microseconds = (stream.first_ns - exchange.clock_ns) // 1000
        record.e2e_microseconds = (stream.last_ns - exchange.clock_ns) // 1000
        record.gaps_microseconds = stream.gaps_microseconds
        # Of a text, how many tokens it is only the server knows.
        record.prompt_tokens = stream.prompt_tokens or record.prompt_tokens
        return
    record.ending = Ending.CUT_OFF


async def _read_to_end(content: aiohttp.StreamReader) -> None:
    """One more read usually is the end; a server that goes on sending loses the connection instead."""
    try:
        async with asyncio.timeout(AFTER_DONE_SECONDS):
            await content.readany()
    except (TimeoutError, aiohttp.ClientError, OSError):
        return


async def _rejected(response: aiohttp.ClientResponse, record: RequestRecord) -> Observation:
    body = await _bounded(response.content)
    record.ending = Ending.CLIENT_ERROR if 400 <= response.status < 500 else Ending.SERVER_ERROR
    record.detail = f"HTTP {response.status}: {body[:DETAIL_LIMIT].decode(errors='replace')}"[:DETAIL_LIMIT]
    return Observation(answered=True, engine_dead=ENGINE_DEAD in body, detail=record.detail)


async def _bounded(content: aiohttp.StreamReader) -> bytes:
    body = b""
    while len(body) < ERROR_BODY_LIMIT_BYTES:
        data = await content.readany()
        if not data:
            break
        body += data
    return body


def _not_connected(record: RequestRecord, error: OSError) -> Observation:
    record.ending = Ending.REFUSED
    record.detail = str(error)[:DETAIL_LIMIT]
    if error.errno in OWN_ERRNOS:
        return Observation(own_fault=f"the load generator could not open a connection: {error.strerror}")
    return Observation(refused=True, detail=record.detail)
