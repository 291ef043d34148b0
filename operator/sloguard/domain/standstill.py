"""Whether generation stood still, from samples of the server's own signs of life. Pure."""

from collections.abc import Sequence
from itertools import pairwise

from .increments import Point, Timeline
from .server_view import OPEN_GAUGES

STANDSTILL_SECONDS = 25.0
"""Longer than any step of a working engine: a batch of 262,144 prompt tokens takes an H100 about ten seconds. Short
enough that a trial has ended 30 s after its engine stood still.
"""

LEAST_SAMPLES = 3
"""Of one silence: between two that are far apart nobody knows what the server did."""

GENERATED = "vllm:generation_tokens_total"
STEPS, KV_USAGE = "vllm:iteration_tokens_total_count", "vllm:kv_cache_usage_perc"
SIGNS = (GENERATED, STEPS, "vllm:prompt_tokens_total", KV_USAGE)
"""They change with the engine's steps; the fill of its KV cache even while a long prompt is computed piece by piece."""


def standstill_since(timeline: Timeline, limit_seconds: float = STANDSTILL_SECONDS) -> float | None:
    """When the last sign of life was seen, in seconds since 1970, of a server that had requests at the end.

    None where it lives, has nothing to do, or was not looked at long and often enough to say.
    """
    since = last_sign(timeline)
    if since is None or not _has_work(timeline):
        return None
    signs = _signs(timeline)
    last = max(points[-1][0] for points in signs)
    looks = max(sum(at >= since for at, _ in points) for points in signs)
    return since if last - since >= limit_seconds and looks >= LEAST_SAMPLES else None


def last_sign(timeline: Timeline) -> float | None:
    """When anything last changed, or was first seen, in seconds since 1970; None where nothing was seen."""
    signs = _signs(timeline)
    changes = (
        max((at for (_, was), (at, now) in pairwise(points) if was != now), default=points[0][0]) for points in signs
    )
    return max(changes, default=None)


def _signs(timeline: Timeline) -> list[Sequence[Point]]:
    return [points for series, points in timeline.items() if series.name in SIGNS and points]


def _has_work(timeline: Timeline) -> bool:
    return any(series.name in OPEN_GAUGES and points and points[-1][1] > 0 for series, points in timeline.items())
