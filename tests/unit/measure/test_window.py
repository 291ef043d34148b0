"""Each way in which a server can misbehave ends as the kind of violation that it is, and no request is lost."""

import asyncio
import itertools
import time
from collections import Counter

import pytest

from sloguard.api.v1alpha1 import ServerFaultKind
from sloguard.domain.goodput import Ending
from sloguard.measure import window as window_module
from sloguard.measure.client import CompletionClient, Observation, open_session
from sloguard.measure.fault import FaultWatch
from sloguard.measure.pulse import Pulse
from sloguard.measure.requests import PlannedRequest
from sloguard.measure.window import Patience, Window
from tests.unit.measure.fake_server import ABORT, DONE, ENGINE_DEAD, chunk, data, message, replies, streams, usage

BODY = b'{"model":"m","prompt":[1],"max_tokens":4,"stream":true}'
WANTED = 4


def planned(count=4, *, apart_seconds=0.0, wanted=WANTED, body=lambda: BODY):
    return [PlannedRequest(index * apart_seconds, 8, wanted, body) for index in range(count)]


def a_window(session, url, watch, **patience):
    client = CompletionClient(session, url)
    return Window(client, watch, Pulse(session, url, client, watch), Patience(**{"drain_seconds": 5.0} | patience))


async def run_against(url, requests, **patience):
    watch = FaultWatch()
    async with open_session() as session:
        records = await a_window(session, url, watch, **patience).run(iter(requests))
    return records, watch


async def endings(server, requests=None, **patience):
    records, watch = await run_against(server.url, requests or planned(), **patience)
    return Counter(record.ending for record in records), watch


WELL_ENOUGH = {
    "a token a chunk": [chunk(), chunk(), chunk(), chunk(), usage(4), DONE],
    "all in one write": [chunk() * 4 + usage(4) + DONE],
    "split anywhere": [bytes([byte]) for byte in chunk() * 4 + usage(4) + DONE],
    "carriage returns": [(chunk() * 4 + usage(4) + DONE).replace(b"\n", b"\r\n")],
    "spaced JSON": [data(message(choices=[{"index": 0, "text": "a"}]), separators=(", ", ": ")), usage(4), DONE],
    "no space after data": [(chunk() * 4 + usage(4) + DONE).replace(b"data: ", b"data:")],
    "comments and other fields": [b": ping\n\nevent: x\nid: 1\n\n", chunk(), usage(4), DONE],
    "usage in the last token's chunk": [
        chunk(),
        data(message(choices=[{"text": "b"}], usage={"completion_tokens": 4})),
        DONE,
    ],
    "end mark without line feed": [chunk(), usage(4), DONE.rstrip()],
    "more tokens than wanted": [chunk(), usage(4000), DONE],
    "text that looks like an error": [chunk('{"error": "usage":{ data: [DONE]\n\n'), usage(4), DONE],
    "goes on after its end mark": [chunk(), usage(4), DONE, b": still here\n", 0.05, chunk()],
}


@pytest.mark.parametrize("parts", WELL_ENOUGH.values(), ids=WELL_ENOUGH.keys())
async def test_completed(server, parts):
    server.answer = streams(*parts)
    records, watch = await run_against(server.url, planned())
    assert [record.ending for record in records] == [Ending.COMPLETED] * 4, records[0].detail
    assert all(0 < record.ttft_microseconds <= record.e2e_microseconds for record in records)
    assert watch.fault is None


CUT_OFF = {
    "no end mark": [chunk(), usage(4)],
    "nothing at all": [],
    "no usage": [chunk(), DONE],
    "fewer tokens than wanted": [chunk(), usage(3), DONE],
    "no token": [usage(4), DONE],
    "negative usage": [chunk(), usage(-4), DONE],
    "absurd usage": [chunk(), usage(10**30), DONE],
    "usage that is no number": [chunk(), usage("4"), DONE],
    "usage that is a truth": [chunk(), usage(True), DONE],
    "connection reset in the stream": [chunk(), 0.01, ABORT],
    "not JSON": [b"data: {{{\n\n", usage(4), DONE],
    "not an object": [b"data: [1]\n\n", usage(4), DONE],
    "nested without end": [b"data: " + b"[" * 50_000 + b"\n\n", usage(4), DONE],
    "not even text": [b"data: \xff\xfe\n\n", DONE],
    "noise": [bytes(range(256)) * 100, DONE],
    "a line of 1 MB": [b"data: " + b"x" * 1_000_000 + b"\n\n", usage(4), DONE],
    "a line of 1 MB without an end": [b"x" * 1_000_000, 5.0],
    "more chunks than max_tokens allows": [chunk() * 1000, 5.0],
    "a web page": [b"<html><body>Welcome to nginx!</body></html>"],
}


@pytest.mark.parametrize("parts", CUT_OFF.values(), ids=CUT_OFF.keys())
async def test_cut_off(server, parts):
    server.answer = streams(*parts)
    counted, watch = await endings(server)
    assert counted == {Ending.CUT_OFF: 4}
    assert watch.fault is None


UNFINISHED = {
    "says nothing": [5.0],
    "stalls": [chunk(), 5.0],
    "a byte at a time": [part for byte in chunk() for part in (bytes([byte]), 0.05)],
    "comments for ever": [part for _ in range(200) for part in (b": ping\n\n", 0.02)],
}


@pytest.mark.parametrize("parts", UNFINISHED.values(), ids=UNFINISHED.keys())
async def test_unfinished(server, parts):
    server.answer = streams(*parts)
    counted, watch = await endings(server, drain_seconds=0.2)
    assert counted == {Ending.UNFINISHED: 4}
    assert watch.fault is None


@pytest.fixture
def impatient(monkeypatch):
    """Limits are looked after every hundredth of a second, not every second."""
    monkeypatch.setattr(window_module, "LOOK_SECONDS", 0.01)


@pytest.mark.parametrize("parts", UNFINISHED.values(), ids=UNFINISHED.keys())
@pytest.mark.usefixtures("impatient")
async def test_timed_out(server, parts):
    server.answer = streams(*parts)
    counted, watch = await endings(server, request_seconds=0.2)
    assert counted == {Ending.TIMED_OUT: 4}
    assert watch.fault is None


@pytest.mark.usefixtures("impatient")
async def test_stalled(server):
    server.answer = streams(chunk(), 5.0)
    records, watch = await run_against(server.url, planned(), silence_seconds=0.1)
    assert [(record.ending, record.detail) for record in records] == [(Ending.STALLED, "nothing came for 0.1 s")] * 4
    assert watch.fault is None


@pytest.mark.usefixtures("impatient")
async def test_a_request_in_the_queue_is_not_stalled(server):
    server.answer = streams(0.4, chunk(), usage(4), DONE)
    counted, _ = await endings(server, silence_seconds=0.1)
    assert counted == {Ending.COMPLETED: 4}


@pytest.mark.usefixtures("impatient")
async def test_what_is_given_up_makes_room_for_nobody_else(server):
    """The others go on: only those over their time are closed."""
    numbers = itertools.count()

    async def every_other(request):
        parts = [chunk(), 5.0] if next(numbers) % 2 else [chunk(), 0.3, usage(4), DONE]
        return await streams(*parts)(request)

    server.answer = every_other
    counted, _ = await endings(server, planned(20), request_seconds=1.0)
    assert counted == {Ending.COMPLETED: 10, Ending.TIMED_OUT: 10}


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        (replies(400, b'{"error":{"message":"too long"}}'), Ending.CLIENT_ERROR),
        (replies(404, b""), Ending.CLIENT_ERROR),
        (replies(429, b"x" * 1_000_000), Ending.CLIENT_ERROR),
        (replies(500, b"Internal Server Error"), Ending.SERVER_ERROR),
        (replies(503, b""), Ending.SERVER_ERROR),
        (replies(302, b"", Location="/v1/completions"), Ending.SERVER_ERROR),
        (streams(chunk(), data({"error": {"message": "oops", "code": 400}}), DONE), Ending.SERVER_ERROR),
        (streams(chunk(), data({"object": "error", "message": "oops"}), DONE), Ending.SERVER_ERROR),
    ],
)
async def test_errors(server, answer, ending):
    server.answer = answer
    counted, watch = await endings(server)
    assert counted == {ending: 4}
    assert watch.fault is None


MALFORMED = {
    "closes at once": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "a header of 1 MB": b"HTTP/1.1 200 OK\r\nA: " + b"x" * 1_000_000 + b"\r\n\r\n",
    "a bad chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n" + chunk(),
    "a length that is not kept": b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + chunk() + usage(4),
    "an encoding that is not true": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x00zzzz",
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_http_is_cut_off(answer):
    async def reply(reader, writer):
        await reader.readuntil(BODY)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as raw:
        port = raw.sockets[0].getsockname()[1]
        records, watch = await run_against(f"http://127.0.0.1:{port}", planned())
    assert [record.ending for record in records] == [Ending.CUT_OFF] * 4
    assert watch.fault is None


@pytest.mark.parametrize(
    "answer",
    [
        replies(500, f'{{"error":{{"message":"{ENGINE_DEAD}"}}}}'.encode()),
        streams(chunk(), data({"error": {"message": ENGINE_DEAD}}), DONE),
    ],
    ids=["status", "stream"],
)
async def test_a_dead_engine_ends_the_window_at_once(server, answer):
    server.answer = answer
    counted, watch = await endings(server, planned(50, apart_seconds=60.0))
    assert watch.fault.kind is ServerFaultKind.ENGINE_DEAD
    assert "EngineCore encountered an issue" in watch.fault.detail
    assert counted[Ending.SERVER_ERROR] == 1
    assert counted.total() == 50


async def test_a_server_that_is_gone_ends_the_window_at_once(server):
    await server.stop()
    counted, watch = await endings(server, planned(2) + planned(50, apart_seconds=60.0))
    assert watch.fault.kind is ServerFaultKind.SERVER_GONE
    assert counted[Ending.REFUSED] >= 2
    assert set(counted) <= {Ending.REFUSED, Ending.UNFINISHED}
    assert counted.total() == 52


async def test_answers_between_refusals_mean_that_the_server_lives():
    watch = FaultWatch()
    for _ in range(3):
        watch.observe(Observation(refused=True))
        watch.observe(Observation(answered=True))
    assert watch.fault is None


async def test_server_killed_in_the_middle(server):
    """Streams that are open break, later requests are refused, and every one is counted."""
    server.answer = streams(chunk(), 0.01, ABORT)

    async def kill():
        await server.asked.wait()
        await server.stop()

    killing = asyncio.create_task(kill())
    counted, watch = await endings(server, planned(100, apart_seconds=0.01))
    await killing
    assert watch.fault.kind is ServerFaultKind.SERVER_GONE
    assert counted[Ending.REFUSED] >= 2
    assert counted[Ending.COMPLETED] == 0
    assert counted.total() == 100


async def test_several_tokens_in_a_chunk_share_one_gap(server):
    server.answer = streams(chunk("ab"), 0.02, chunk("cd"), usage(4), DONE)
    records, _ = await run_against(server.url, planned(1))
    (record,) = records
    assert len(record.gaps_microseconds) == 1
    assert record.tpot_microseconds == pytest.approx(record.gaps_microseconds[0] / 3, abs=2)


async def test_the_clock_starts_when_a_request_is_due(server):
    """The generator itself sleeps through the due time; that wait is in the latency and in the lag."""

    def slow_body():
        time.sleep(0.06)
        return BODY

    server.answer = streams(chunk(), usage(4), DONE)
    (record,) = (await run_against(server.url, planned(1, body=slow_body)))[0]
    assert record.lag_microseconds >= 39_000
    assert record.ttft_microseconds >= record.lag_microseconds


async def test_slow_answers_do_not_hold_back_later_requests(server):
    """Open loop: the tenth request is at the server while the first is still open."""
    arrived = 0
    all_here = asyncio.Event()

    async def wait_for_the_others(request):
        nonlocal arrived
        arrived += 1
        if arrived == 300:
            all_here.set()
        await all_here.wait()
        return await streams(chunk(), usage(4), DONE)(request)

    server.answer = wait_for_the_others
    counted, _ = await endings(server, planned(300))
    assert counted == {Ending.COMPLETED: 300}


async def test_connections_are_kept(server):
    ports = set()

    async def note(request):
        ports.add(request.transport.get_extra_info("peername"))
        return await streams(chunk(), usage(4), DONE)(request)

    server.answer = note
    counted, _ = await endings(server, planned(10, apart_seconds=0.03))
    assert counted == {Ending.COMPLETED: 10}
    assert len(ports) < 10


async def test_no_task_is_left(server):
    server.answer = streams(chunk(), 5.0)
    before = asyncio.all_tasks()
    await endings(server, drain_seconds=0.05)
    await server.stop()
    assert {task for task in asyncio.all_tasks() - before if "Window" in repr(task.get_coro())} == set()


async def test_a_mistake_of_ours_is_raised(server):
    def broken():
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError, match="bug"):
        await endings(server, planned(body=broken))


async def test_cancelling_a_window_closes_what_is_open(server):
    server.answer = streams(chunk(), 5.0)
    watch = FaultWatch()
    async with open_session() as session:
        window = a_window(session, server.url, watch)
        running = asyncio.create_task(window.run(iter(planned())))
        await server.asked.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert not window._open
