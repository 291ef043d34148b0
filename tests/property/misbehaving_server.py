"""A server on a real socket that misbehaves in the ways that it is told, one for each request that it gets."""

import asyncio
import json
import re
import socket
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.unit.measure.fake_server import DONE, ENGINE_DEAD, chunk, usage

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)

RESET, STALL = "reset", "stall"
Part = bytes | float | str
"""Bytes to write, seconds to wait, or what happens to the connection."""


@dataclass(frozen=True)
class Behaviour:
    """What is done with one request. Only a `well` behaved answer may ever count as completed."""

    name: str
    parts: tuple[Part, ...]
    well: bool = False


def framed(data):
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


def stream(name, *parts, well=False, ended=True):
    """As one chunked body; other parts are left as they are."""
    body = [framed(part) if isinstance(part, bytes) else part for part in parts]
    return Behaviour(name, (OK, *body, *([END] if ended else [])), well)


def whole(wanted):
    return chunk() * wanted + usage(wanted) + DONE


def pieces(draw, data, most):
    """Cut anywhere."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=most)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@st.composite
def well(draw, wanted):
    return stream("well", *pieces(draw, whole(wanted), 6), well=True)


@st.composite
def broken_off(draw, wanted):
    """Anywhere before its end mark is complete."""
    data = whole(wanted)
    upto = data[: draw(st.integers(0, len(data) - len(b"]\n\n") - 1))]
    return stream("broken off", *pieces(draw, upto, 3), draw(st.sampled_from([RESET, STALL, b""])), ended=draw(BOOLEAN))


BOOLEAN = st.booleans()
NO_COUNT = st.sampled_from([None, -1, 0, 10**30, True, "4", 1.5, [], {}])


@st.composite
def wrong_usage(draw, wanted):
    said = draw(NO_COUNT | st.integers(0, wanted - 1))
    return stream("wrong usage", chunk() * wanted, b"data: " + said_usage(said), DONE)


def said_usage(said):
    return json.dumps({"choices": [], "usage": {"completion_tokens": said}}).encode() + b"\n\n"


@st.composite
def garbage(draw, wanted):
    """Bytes in the stream that are no completion; what is no line of data has to be passed over."""
    noise = b"data:" + draw(st.sampled_from([b"{", b"\xff\xfe", b"7", b"null", b'"a"', b"[" * 9000]))
    before = draw(st.sampled_from([b"", chunk()]))
    return stream("garbage", before, noise + b"\n\n", usage(wanted), DONE)


@st.composite
def slow_loris(draw, wanted):
    """A byte at a time, and never done."""
    data = draw(st.sampled_from([chunk() * wanted, OK, b": ping\n\n" * 30]))
    bytes_and_pauses = [part for byte in data for part in (bytes([byte]), 0.02)]
    if data == OK:
        return Behaviour("slow-loris", (*bytes_and_pauses[:200], STALL))
    return stream("slow-loris", *bytes_and_pauses[:200], STALL)


@st.composite
def long_line(draw, wanted):
    line = b"data: " + b"x" * 1_000_000 + (b"\n\n" if draw(BOOLEAN) else b"")
    return stream("1 MB line", line, usage(wanted), DONE)


@st.composite
def refused_by_http(draw, _wanted):
    status = draw(st.sampled_from([b"400 Bad Request", b"404 Not Found", b"429 Busy", b"500 Oops", b"503 Later"]))
    body = draw(st.binary(max_size=2000))
    length = len(body) + draw(st.sampled_from([0, 0, 5]))  # a length that is not kept, too
    head = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, length)
    return Behaviour("HTTP status", (head + body, *([RESET] if length > len(body) else [])))


@st.composite
def no_http(draw, _wanted):
    said = draw(
        st.sampled_from([b"", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"x" * 100_000, OK[:20]])
    )
    return Behaviour("no HTTP", (said, draw(st.sampled_from([RESET, STALL]))))


def told(messages):
    return stream("error in the stream", chunk(), b"data: " + json.dumps(messages).encode() + b"\n\n", DONE)


@st.composite
def error_in_stream(draw, _wanted):
    return told(draw(st.sampled_from([{"error": {"message": "oops"}}, {"object": "error"}, {"error": ENGINE_DEAD}])))


@st.composite
def never_ends(draw, wanted):
    """Well as far as it goes, and then more than anybody asked for."""
    more = draw(st.sampled_from([chunk() * 200, b": ping\n\n" * 50, chunk() * (wanted - 1)]))
    return stream("never ends", more, STALL)


def behaviours(wanted):
    bad = [
        broken_off,
        wrong_usage,
        garbage,
        slow_loris,
        long_line,
        refused_by_http,
        no_http,
        error_in_stream,
        never_ends,
    ]
    return st.one_of(well(wanted), *[kind(wanted) for kind in bad])


@dataclass
class MisbehavingServer:
    """Gives each request the next behaviour. After `killed_after` requests it is gone, as if by SIGKILL."""

    behaviours: list[Behaviour]
    killed_after: int | None = None
    served: Counter = field(default_factory=Counter)
    _asked: int = 0
    _connections: list = field(default_factory=list)
    _open: list = field(default_factory=list)

    async def __aenter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        asyncio.get_running_loop().add_reader(self._listener, self._accept)
        return self

    async def __aexit__(self, *_):
        self._kill()
        await asyncio.gather(*self._open, return_exceptions=True)
        for connection in self._connections:  # of those, too, whose task had not begun
            connection.close()

    def _kill(self):
        if self._listener.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        for task in self._open:
            if task is not asyncio.current_task():
                task.cancel()

    def _accept(self):
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        self._connections.append(connection)
        self._open.append(asyncio.create_task(self._serve(connection)))

    async def _serve(self, connection):
        with connection:
            reader = asyncio.StreamReader()
            loop = asyncio.get_running_loop()
            transport, protocol = await loop.connect_accepted_socket(
                lambda: asyncio.StreamReaderProtocol(reader), connection
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
            try:
                while await self._answer(reader, writer):
                    pass
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                transport.abort()
                await asyncio.sleep(0)

    async def _answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        if length is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return True
        await reader.readexactly(int(length[1]))
        number, self._asked = self._asked, self._asked + 1
        if self.killed_after is not None and number >= self.killed_after:
            self._kill()
            return False
        behaviour = self.behaviours[number % len(self.behaviours)]
        self.served[behaviour] += 1
        return await _behave(behaviour, writer)


async def _behave(behaviour, writer):
    for part in behaviour.parts:
        if part == RESET:
            return False
        if part == STALL:
            await asyncio.sleep(60)
        elif isinstance(part, float):
            await asyncio.sleep(part)
        else:
            writer.write(part)
            await asyncio.sleep(0)
            await writer.drain()
    return True
