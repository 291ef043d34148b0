"""The API server's rounds, on a clock of the test's own."""

import pytest

from sloguard.simulator.frontend import ROUNDS_TO_ENGINE, Admitted, Chunk, Frontend
from sloguard.simulator.profiles import Host
from sloguard.simulator.scheduler import Request

HOST = Host(request_seconds=0.004, prompt_token_seconds=0.00001, token_seconds=0.0001, chunk_seconds=0.001)


def request(name="a", prompt=100, output=3):
    return Request(name, range(prompt), output, 0.0)


def rounds(frontend, now=0.0):
    """All events until there is nothing left to do."""
    events = []
    while frontend.has_work:
        events += frontend.round(max(now, frontend.free_seconds))
    return events


def test_a_request_costs_its_length_and_reaches_the_engine_after_some_rounds():
    frontend, one = Frontend(HOST), request()
    frontend.submit(one, 1)
    for _ in range(ROUNDS_TO_ENGINE - 1):
        assert frontend.round(frontend.free_seconds) == []
    assert frontend.round(frontend.free_seconds) == [Admitted(pytest.approx(0.005), one)]
    assert not frontend.has_work


def test_each_token_is_a_chunk_while_rounds_are_shorter_than_steps():
    frontend, one = Frontend(HOST), request()
    frontend.submit(one, 1)
    rounds(frontend)
    chunks = []
    for step in range(3):
        frontend.output([one])
        chunks += [event for event in rounds(frontend, 0.1 * (step + 1)) if isinstance(event, Chunk)]
    assert [(chunk.tokens, chunk.last) for chunk in chunks] == [(1, False), (1, False), (1, True)]
    assert chunks[0].seconds == pytest.approx(0.1 + HOST.token_seconds + HOST.chunk_seconds)


def test_tokens_that_come_during_a_round_share_the_next_chunk():
    frontend, one = Frontend(HOST), request(output=5)
    frontend.submit(one, 1)
    rounds(frontend)
    frontend.output([one])
    frontend.round(0.1)
    for _ in range(4):
        frontend.output([one])
    first, rest = (event for event in rounds(frontend, 0.1) if isinstance(event, Chunk))
    assert (first.tokens, rest.tokens, rest.last) == (1, 4, True)


def test_a_stream_interval_gathers_tokens_but_for_the_first():
    frontend, one = Frontend(HOST), request(output=8)
    frontend.submit(one, 3)
    rounds(frontend)
    sizes = []
    for step in range(8):
        frontend.output([one])
        sizes += [event.tokens for event in rounds(frontend, 0.1 * (step + 1)) if isinstance(event, Chunk)]
    assert sizes == [1, 3, 3, 1]


def test_one_core_does_one_thing_after_the_other():
    frontend = Frontend(HOST)
    answers = [request(str(number)) for number in range(5)]
    for one in answers:
        frontend.submit(one, 1)
    rounds(frontend)
    frontend.output(answers)
    seconds = [event.seconds for event in rounds(frontend, 1.0) if isinstance(event, Chunk)]
    assert seconds == pytest.approx([1.0 + 5 * HOST.token_seconds + n * HOST.chunk_seconds for n in range(1, 6)])


def test_who_has_left_gets_nothing_and_is_not_admitted():
    frontend, stays, leaves, late = Frontend(HOST), request("a"), request("b"), request("c")
    for one in (stays, leaves):
        frontend.submit(one, 1)
    rounds(frontend)
    frontend.submit(late, 1)
    assert frontend.forget(leaves)
    assert not frontend.forget(late)
    frontend.output([stays, leaves])
    events = rounds(frontend, 1.0)
    assert [event.request for event in events if isinstance(event, Chunk)] == [stays]
    assert not [event for event in events if isinstance(event, Admitted)]
