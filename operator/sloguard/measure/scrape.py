"""vLLM's own counters and histograms before and after a rate, from its /metrics.

Names are those of vllm/v1/metrics/loggers.py. Sums run over all engines of the server. What is absent stays None; a
counter that went down was restarted in between and says nothing.
"""

import asyncio
import math
import re
from collections.abc import Iterator, Mapping

import aiohttp

from sloguard.api.v1alpha1 import ServerCounters
from sloguard.domain.increments import Increments, Samples, Series
from sloguard.domain.server_view import FAMILIES, OPEN_GAUGES, REQUESTS
from sloguard.domain.standstill import SIGNS

SIZE_LIMIT_BYTES = 8 * 1024 * 1024
TIMEOUT_SECONDS = 5.0

COUNTERS: Mapping[str, str] = {
    "vllm:num_preemptions_total": "preemptions",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:generation_tokens_total": "generation_tokens",
    "vllm:prefix_cache_queries_total": "prefix_cache_queries_tokens",
    "vllm:prefix_cache_hits_total": "prefix_cache_hits_tokens",
}
NAMES = frozenset(
    {*COUNTERS, *SIGNS, REQUESTS, *OPEN_GAUGES, *(of + part for of in FAMILIES for part in ("_bucket", "_sum"))}
)

# The text format's sample line: a name, labels in braces if there are any, a value, and a time that is passed over.
_LINE = re.compile(
    r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?[ \t]+(?P<value>\S+)(?:[ \t]+-?\d+)?\s*", re.ASCII
)
_LABEL = re.compile(r'\s*([a-zA-Z_]\w*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)', re.ASCII)


async def scrape(session: aiohttp.ClientSession, base_url: str) -> Samples | None:
    """The counters and histograms now, or None where the server does not give them."""
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


def parse(text: str) -> Samples:
    """The samples that are of use; of vLLM's page most are not. A line that makes no sense is passed over."""
    return dict(_samples(text))


def _samples(text: str) -> Iterator[tuple[Series, float]]:
    for line in text.split("\n"):
        if not line.startswith("vllm:") or (found := _LINE.fullmatch(line)) is None or found["name"] not in NAMES:
            continue
        labels = _labels(found["labels"] or "")
        value = _number(found["value"])
        if labels is not None and value is not None:
            yield Series(found["name"], labels), value


def _labels(text: str) -> tuple[tuple[str, str], ...] | None:
    """In the order of their names; None where they are not written as labels are."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        label = _LABEL.match(text, position)
        if label is None:
            return None
        found[label[1]] = label[2]
        position = label.end()
    return tuple(sorted(found.items()))


def _number(text: str) -> float | None:
    """None for what says nothing: NaN, an infinity, or no number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def counters(increments: Increments | None) -> ServerCounters | None:
    """What was counted in between; None where nothing is known at all."""
    if increments is None:
        return None
    grown = {field: increments.counter(name) for name, field in COUNTERS.items()}
    known = {field: value for field, value in grown.items() if value is not None}
    return ServerCounters(**known) if known else None
