"""Latency figures of one load, from its requests: the same for recorded and for simulated ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FIGURES = ("ttft_p50", "ttft_p90", "itl_p50", "itl_p99", "tpot_p50", "tpot_p90", "e2e_p50")


def percentile(values: Iterable[float], share: float) -> float | None:
    """Linear between the two nearest ranks; None without values."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def latencies(requests: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """Figures in milliseconds. TTFT counts every request with a first token, all others need a whole answer.

    Recordings keep each request's median and 99th percentile gap between chunks, so ITL is the median of those.
    """
    first = [request for request in requests if request.get("ttft") is not None]
    whole = [request for request in first if not request.get("err")]

    def of(group: list[Mapping[str, Any]], key: str, share: float) -> float | None:
        value = percentile((request[key] for request in group if request.get(key) is not None), share)
        return None if value is None else round(value, 2)

    return {
        "ttft_p50": of(first, "ttft", 0.5),
        "ttft_p90": of(first, "ttft", 0.9),
        "itl_p50": of(whole, "itl50", 0.5),
        "itl_p99": of(whole, "itl99", 0.5),
        "tpot_p50": of(whole, "tpot", 0.5),
        "tpot_p90": of(whole, "tpot", 0.9),
        "e2e_p50": of(whole, "e2e", 0.5),
    }
