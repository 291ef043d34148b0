"""/metrics comes from a server that may be broken or hostile."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sloguard.domain.increments import Series, between
from sloguard.measure import scrape as scrape_module
from sloguard.measure.client import open_session
from sloguard.measure.scrape import NAMES, counters, parse, scrape
from sloguard.simulator.metrics import Metrics
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


PROMPTS = "vllm:prompt_tokens_total"
QUEUE = "vllm:request_queue_time_seconds"


@pytest.mark.parametrize(
    ("text", "samples"),
    [
        ("", {}),
        (f"{PROMPTS} 7", {(PROMPTS, ()): 7}),
        (f"{PROMPTS} 7 1700000000000\r\n", {(PROMPTS, ()): 7}),
        (f'{PROMPTS} 1e3\n{PROMPTS}{{a="}}"}} 2\n', {(PROMPTS, ()): 1000, (PROMPTS, (("a", "}"),)): 2}),
        (f'{PROMPTS}{{b="x", a="\\"",}} 3\n', {(PROMPTS, (("a", '\\"'), ("b", "x"))): 3}),
        (f"{PROMPTS} NaN\n", {}),
        (f"{PROMPTS} +Inf\n", {}),
        (f"{PROMPTS} seven\n", {}),
        (f"{PROMPTS}{{ 7\nvllm:num_preemptions_total 2\n", {("vllm:num_preemptions_total", ()): 2}),
        (f"{PROMPTS}{{a=b}} 7\n", {}),
        (f"{PROMPTS}\n", {}),
        (f"{PROMPTS}_by_source 4\n", {}),
        ("other_total 4\n\x00\ufffd\n", {}),
        (
            'vllm:request_queue_time_seconds_bucket{le="+Inf"} 4',
            {("vllm:request_queue_time_seconds_bucket", (("le", "+Inf"),)): 4},
        ),
    ],
)
def test_lines(text, samples):
    assert parse(text) == samples


def test_vllms_own_page_is_read_as_the_official_parser_reads_it():
    """The page of the stand-in is written by prometheus_client, as vLLM's is."""
    metrics = Metrics("a model", 4096)
    for seconds in (0.004, 0.3, 90.0):
        metrics.ttft.observe(seconds)
        metrics.itl.observe(seconds)
        metrics.e2e.observe(seconds)
    text = metrics.exposition().decode()
    official = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in NAMES
    }
    assert len(official) > 100
    assert parse(text) == official


def test_differences():
    assert counters(None) is None
    preempted, prompted = Series("vllm:num_preemptions_total"), Series(PROMPTS)
    assert counters(between({preempted: 1.0}, {})) is None
    grown = counters(between({preempted: 1.0}, {preempted: 3.0, prompted: 9.0}))
    assert (grown.preemptions, grown.prompt_tokens) == (2, 9)
    assert counters(between({preempted: 3.0}, {preempted: 1.0})) is None


def test_one_engine_that_began_anew_makes_the_sum_unknown():
    one, other = (Series(PROMPTS, (("engine", number),)) for number in "01")
    grown = between({one: 100.0, other: 50.0}, {one: 10.0, other: 900.0})
    assert grown.restarted == 1
    assert counters(grown) is None
