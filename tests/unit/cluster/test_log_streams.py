"""Logs are followed over HTTP as an API server gives them, through breaks, restarts and ends."""

import asyncio
import contextlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.aio import client

from sloguard.api.v1alpha1 import CrashClass
from sloguard.cluster import log_streams
from sloguard.cluster.api import Api, UnreachableNodeError
from sloguard.cluster.evidence import container_of, evidence_of
from sloguard.cluster.log_streams import Followed, LogStream, LogStreams, nanoseconds
from sloguard.cluster.server_log import server_log
from sloguard.domain.crash import classify
from tests.unit.cluster.objects import pod, running, terminated, waiting

T0 = 1_772_452_800
FIRST_DEATH = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
SECOND_DEATH = "OSError: [Errno 98] Address already in use"


def stamp(seconds, nanos=0):
    return datetime.fromtimestamp(T0 + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{nanos:09}Z"


@dataclass
class Cluster:
    """The part of an API server and a kubelet that logs need: one pod's container, its starts and what each wrote."""

    starts: list = field(default_factory=lambda: [[]])
    pod: dict = field(default_factory=lambda: pod(running(stamp(0))))
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    streams: set = field(default_factory=set)
    asked: list = field(default_factory=list)
    most_at_once: int = 0
    refuses: int = 0
    gone: bool = False

    async def write(self, *lines):
        """Each a time and a text."""
        async with self.changed:
            self.starts[-1] += [f"{at} {text}\n" for at, text in lines]
            self.changed.notify_all()

    async def restart(self, status, *lines):
        async with self.changed:
            self.starts.append([f"{at} {text}\n" for at, text in lines])
            self.pod = status
            self.changed.notify_all()

    async def disconnect(self):
        """As an API server that is killed."""
        async with self.changed:
            while self.streams:
                self.streams.pop().abort()
            self.changed.notify_all()

    async def until(self, holds):
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110 - what is waited for is another task of the program
                await asyncio.sleep(0.01)

    async def pods(self, request):
        found = [] if self.gone else [self.pod]
        assert request.query["fieldSelector"] == "metadata.name=p"
        return web.json_response({"items": found})

    async def log(self, request):
        self.asked.append(dict(request.query))
        if self.refuses:
            return web.json_response({"message": "container is waiting to start"}, status=self.refuses)
        if "follow" not in request.query:
            which = -2 if request.query["previous"] == "true" else -1
            return web.Response(text="" if self.gone else "".join(x[31:] for x in self.starts[which]))
        since = request.query.get("sinceTime", "")
        assert since.endswith("Z") or not since
        response = web.StreamResponse()
        await response.prepare(request)
        self.streams.add(request.transport)
        self.most_at_once = max(self.most_at_once, len(self.streams))
        try:
            with contextlib.suppress(ConnectionError):
                await self._stream(request.transport, response, self.starts[-1], since[:19])
        finally:
            self.streams.discard(request.transport)
        return response

    async def _stream(self, transport, response, lines, since):
        sent = 0
        while transport in self.streams:
            fresh, sent = [x for x in lines[sent:] if x[:19] >= since], len(lines)
            for text in fresh:
                middle = len(text) // 2  # lines do not come whole
                await response.write(text[:middle].encode())
                await response.write(text[middle:].encode())
            async with self.changed:
                if lines is not self.starts[-1]:
                    return
                if len(lines) == sent and transport in self.streams:
                    await self.changed.wait()


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(log_streams, "SETTLE_SECONDS", 0.05)
    monkeypatch.setattr(log_streams, "REFUSED_SECONDS", 0.01)


@pytest.fixture
async def cluster(unused_tcp_port, monkeypatch, quick):  # noqa: ARG001 - before any stream
    one = Cluster()
    app = web.Application()
    app.router.add_get("/api/v1/namespaces/prod/pods", one.pods)
    app.router.add_get("/api/v1/namespaces/prod/pods/{name}/log", one.log)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()

    async def config():
        client.Configuration.set_default(client.Configuration(host=f"http://127.0.0.1:{unused_tcp_port}"))

    monkeypatch.setattr("sloguard.cluster.api._load_config", config)
    yield one
    await one.disconnect()
    await runner.cleanup()


@pytest.fixture
async def api(cluster):  # noqa: ARG001 - it has to listen first
    async with Api() as one:
        yield one


@pytest.fixture
async def streams(api):
    one = LogStreams(api, most=2)
    yield one
    await one.stop()


OF = Followed("prod", "p", "uid-p", "vllm")


def text_of(streams, uid="uid-p", **more):
    kept = streams.kept(uid, **more)
    return "" if kept is None else kept.text


async def test_a_broken_stream_goes_on_where_it_broke(cluster, streams):
    """Also within one nanosecond: nothing twice, nothing lost."""
    streams.follow(OF)
    await cluster.write((stamp(1, 5), "one"), (stamp(2, 7), "two"), (stamp(2, 7), "three"))
    await cluster.until(lambda: "three" in text_of(streams))
    await cluster.disconnect()
    await cluster.write((stamp(2, 7), "four"), (stamp(2, 8), "five"))
    await cluster.until(lambda: "five" in text_of(streams))
    assert text_of(streams) == "one\ntwo\nthree\nfour\nfive\n"
    assert [q.get("sinceTime") for q in cluster.asked] == [None, stamp(2)[:19] + "Z"]


async def test_the_first_death_decides_though_the_container_crashed_twice(cluster, streams, api):
    streams.follow(OF)
    await cluster.write((stamp(1), "loading"), (stamp(5), FIRST_DEATH))
    await cluster.until(lambda: FIRST_DEATH in text_of(streams))
    first = terminated(1, "Error", since=stamp(0), until=stamp(5)[:19] + "Z")
    await cluster.restart(pod(running(stamp(6)), last=first, restarts=1), (stamp(6, 9), "loading again"))
    second = terminated(1, "Error", since=stamp(6), until=stamp(7)[:19] + "Z")
    twice = pod(waiting("CrashLoopBackOff"), last=second, restarts=2)
    await cluster.restart(twice, (stamp(6), "loading again"), (stamp(7), SECOND_DEATH))
    serving = container_of(twice, "vllm")
    log = await server_log(api, "prod", twice, serving, "vllm", streams)
    assert log.text == f"loading\n{FIRST_DEATH}\n"
    seen = evidence_of(twice, serving, [], log.text, became_ready=False, gaps=log.gaps)
    assert classify(seen).class_ is CrashClass.CUDA_OUT_OF_MEMORY
    without = await server_log(api, "prod", twice, serving, "vllm", None)
    assert FIRST_DEATH not in without.text, "the API has it no more"


async def test_what_the_next_start_wrote_is_not_taken_for_the_first_ones(cluster, streams):
    """The pod's status may tell of a restart later than its log does."""
    streams.follow(OF)
    await cluster.write((stamp(1), "one"))
    await cluster.until(lambda: "one" in text_of(streams))
    await cluster.restart(pod(running(stamp(0))), (stamp(9), "of the next"))
    await cluster.until(lambda: "of the next" in text_of(streams))
    ended = terminated(1, "Error", since=stamp(0), until=stamp(5)[:19] + "Z")
    cluster.pod = pod(running(stamp(8)), last=ended, restarts=1)
    await cluster.disconnect()
    await cluster.until(lambda: text_of(streams) == "one\n")


async def test_a_deleted_pods_log_is_what_was_kept(cluster, streams, api):
    streams.follow(OF)
    await cluster.write((stamp(1), FIRST_DEATH))
    await cluster.until(lambda: FIRST_DEATH in text_of(streams))
    cluster.gone = True
    await cluster.disconnect()
    leaving = pod(terminated(1, "Error"), deleted=stamp(3))
    assert (await server_log(api, "prod", leaving, container_of(leaving, "vllm"), "vllm", streams)).text == (
        f"{FIRST_DEATH}\n"
    )
    await cluster.until(lambda: all(task.done() for task in streams._streams._tasks.values()))
    streams.keep(("prod", "s"), ["uid-p"])
    streams.keep(("prod", "s"), [])
    assert streams.kept("uid-p") is None


async def test_while_the_api_has_the_log_that_is_read(cluster, streams, api):
    streams.follow(OF)
    await cluster.write((stamp(1), "one"), (stamp(2), FIRST_DEATH))
    await cluster.until(lambda: FIRST_DEATH in text_of(streams))
    ended = pod(terminated(1, "Error"))
    await server_log(api, "prod", ended, container_of(ended, "vllm"), "vllm", streams)
    assert "follow" not in cluster.asked[-1]


async def test_a_node_that_cannot_be_asked_leaves_what_was_kept(cluster, streams, api):
    streams.follow(OF)
    await cluster.write((stamp(1), FIRST_DEATH))
    await cluster.until(lambda: FIRST_DEATH in text_of(streams))
    cluster.refuses = 500
    just = pod(terminated(1, "Error", until=datetime.now(UTC).isoformat()))
    log = await server_log(api, "prod", just, container_of(just, "vllm"), "vllm", streams)
    assert log.text == f"{FIRST_DEATH}\n"
    assert "waiting to start" in log.unreachable
    with pytest.raises(UnreachableNodeError):
        await server_log(api, "prod", just, container_of(just, "vllm"), "vllm", None)


async def test_a_log_that_is_refused_is_given_up(cluster, streams):
    cluster.refuses = 400
    streams.follow(OF)
    await cluster.until(lambda: all(task.done() for task in streams._streams._tasks.values()))
    assert len(cluster.asked) == log_streams.REFUSALS
    assert streams.kept("uid-p") is None


async def test_connections_are_bounded_and_the_next_one_has_its_turn(cluster, streams):
    for number in range(4):
        streams.follow(Followed("prod", "p", f"uid-{number}", "vllm"))
    await cluster.write((stamp(1), "one"))
    await cluster.until(lambda: len(cluster.streams) == 2 and text_of(streams, "uid-1"))
    assert streams.kept("uid-2") is None
    streams.keep(("prod", "s"), ["uid-0", "uid-1"])
    streams.keep(("prod", "s"), ["uid-1"])
    await cluster.until(lambda: text_of(streams, "uid-2"))
    assert cluster.most_at_once <= 3, "the connection that was given up may take a moment to close"


async def test_to_follow_twice_is_to_follow_once(cluster, streams):
    streams.follow(OF)
    streams.follow(OF)
    await cluster.until(lambda: cluster.asked)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(cluster.until(lambda: len(cluster.asked) > 1), 0.2)
    assert len(cluster.asked) == 1


@pytest.mark.parametrize(
    ("said", "seconds", "nanos"),
    [
        ("2026-03-02T12:00:00Z", 0, 0),
        ("2026-03-02T12:00:01.5Z", 1, 500_000_000),
        ("2026-03-02T14:00:01.000000007+02:00", 1, 7),
        ("2026-03-02T12:00:01.123456789123Z", 1, 123_456_789),
    ],
)
def test_times_of_the_kubelet(said, seconds, nanos):
    base = int(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp())
    assert nanoseconds(said) == (base + seconds) * 10**9 + nanos


@pytest.mark.parametrize("said", ["", "INFO", "12:00:00", "2026-03-02T12:00:00", "2026-13-02T12:00:00Z", "(APIServer"])
def test_what_is_no_time(said):
    assert nanoseconds(said) is None


TIMES = st.lists(st.integers(0, 3_000_000_000).map(lambda ns: ns - ns % 250_000_000), max_size=30).map(sorted)


@given(TIMES, st.lists(st.integers(0, 30), max_size=4).map(sorted))
def test_wherever_a_stream_breaks_every_line_is_taken_once(times, breaks):
    """The API gives again all that was written in the last line's second and later."""
    lines = [f"{stamp(*divmod(ns, 10**9))} {number}" for number, ns in enumerate(times)]
    stream = LogStream(OF)
    for end in [*breaks, len(lines)]:
        stream.taken_up()
        since = stream.since[:19]
        for line in lines[:end]:
            if line[:19] >= since:
                stream.take(line)
    assert stream.kept().text.split() == [str(number) for number in range(len(lines))]


def test_two_writers_that_are_out_of_order_lose_nothing():
    stream = LogStream(OF)
    for at in (5, 4, 6):
        stream.take(f"{stamp(1, at)} at {at}")
    assert stream.kept().text == "at 5\nat 4\nat 6\n"
