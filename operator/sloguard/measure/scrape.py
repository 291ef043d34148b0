"""vLLM's own counters before and after a rate, from its /metrics.

Names are those of vllm/v1/metrics/loggers.py. Sums run over all engines of the server. What is absent stays None; a
counter that went down was restarted in between and says nothing.
"""

import asyncio
import math
from collections.abc import Iterator, Mapping

import aiohttp

from sloguard.api.v1alpha1 import ServerCounters

SIZE_LIMIT_BYTES = 8 * 1024 * 1024
TIMEOUT_SECONDS = 5.0

COUNTERS: Mapping[str, str] = {
    "vllm:num_preemptions_total": "preemptions",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:generation_tokens_total": "generation_tokens",
    "vllm:prefix_cache_queries_total": "prefix_cache_queries_tokens",
    "vllm:prefix_cache_hits_total": "prefix_cache_hits_tokens",
}

Counts = Mapping[str, float]


async def scrape(session: aiohttp.ClientSession, base_url: str) -> Counts | None:
    """The counters now, or None where the server does not give them."""
    text = await page(session, base_url)
    return None if text is None else parse(text)


async def page(session: aiohttp.ClientSession, base_url: str) -> str | None:
    """The text of /metrics, or None where the server does not give it."""
    try:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            session.get(f"{base_url}/metrics", allow_redirects=False) as response,
        ):
            if response.status != 200:
                return None
            return await _bounded_text(response.content)
    except (aiohttp.ClientError, OSError, ValueError):
        return None


async def _bounded_text(content: aiohttp.StreamReader) -> str | None:
    body = bytearray()
    while data := await content.readany():
        body += data
        if len(body) > SIZE_LIMIT_BYTES:
            return None
    return body.decode(errors="replace")


def parse(text: str) -> Counts:
    """Sums of the counters above. Only their own lines are parsed: vLLM's page has some thousand others."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - costs 50 ms of start-up

    sums: dict[str, float] = {}
    for line in _wanted_lines(text):
        try:
            samples = [sample for family in text_string_to_metric_families(line) for sample in family.samples]
        except (ValueError, IndexError, KeyError):
            continue
        for sample in samples:
            if sample.name in COUNTERS and math.isfinite(sample.value):
                name = COUNTERS[sample.name]
                sums[name] = sums.get(name, 0.0) + sample.value
    return sums


def _wanted_lines(text: str) -> Iterator[str]:
    names = tuple(COUNTERS)
    return (line + "\n" for line in text.split("\n") if line.startswith(names))


def difference(before: Counts | None, after: Counts | None) -> ServerCounters | None:
    """What was counted in between; None where nothing is known at all."""
    if before is None or after is None:
        return None
    grown = {name: round(after[name] - before[name]) for name in after if name in before}
    known = {name: value for name, value in grown.items() if value >= 0}
    return ServerCounters(**known) if known else None
