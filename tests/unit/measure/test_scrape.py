"""/metrics comes from a server that may be broken or hostile."""

import asyncio

import pytest

from sloguard.measure import scrape as scrape_module
from sloguard.measure.client import open_session
from sloguard.measure.scrape import difference, parse, scrape
from tests.unit.measure.fake_server import replies, streams


async def counts_of(server):
    async with open_session() as session:
        return await scrape(session, server.url)


@pytest.mark.parametrize(
    "answer",
    [replies(500, b""), replies(404, b""), replies(302, b"", Location="/metrics"), replies(200, b"x" * 9_000_000)],
    ids=["500", "404", "redirect", "9 MB"],
)
async def test_nothing_useful(server, answer):
    server.metrics = answer
    assert await counts_of(server) is None


async def test_slow_answers_are_given_up(server, monkeypatch):
    monkeypatch.setattr(scrape_module, "TIMEOUT_SECONDS", 0.1)
    server.metrics = streams(b"vllm:prompt_tokens_total 1\n", 10.0)
    assert await asyncio.wait_for(counts_of(server), 5) is None


async def test_server_is_gone(server):
    await server.stop()
    assert await counts_of(server) is None


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("", {}),
        ("vllm:prompt_tokens_total 7", {"prompt_tokens": 7}),
        ("vllm:prompt_tokens_total 7 1700000000000\r\n", {"prompt_tokens": 7}),
        ('vllm:prompt_tokens_total 1e3\nvllm:prompt_tokens_total{a="}"} 2\n', {"prompt_tokens": 1002}),
        ("vllm:prompt_tokens_total NaN\n", {}),
        ("vllm:prompt_tokens_total +Inf\n", {}),
        ("vllm:prompt_tokens_total{ 7\nvllm:num_preemptions_total 2\n", {"preemptions": 2}),
        ("vllm:prompt_tokens_total\n", {}),
        ("vllm:prompt_tokens_total_by_source 4\n", {}),
        ("other_total 4\n\x00\ufffd\n", {}),
    ],
)
def test_lines(text, counts):
    assert parse(text) == counts


def test_differences():
    assert difference(None, {}) is None
    assert difference({"preemptions": 1.0}, {}) is None
    assert difference({"preemptions": 1.0}, {"preemptions": 3.0, "prompt_tokens": 9.0}).preemptions == 2
