"""The workload that production serves, from vLLM's counters and length histograms over a window. Pure.

The rate is the growth of request_success, the lengths are those of the histograms. Where a pod began anew within the
window, what it counted since then counts (domain.increments), so that both stay right but for its last seconds.
"""

from datetime import UTC, datetime
from itertools import pairwise

from sloguard.api.v1alpha1 import (
    Arrival,
    ArrivalPattern,
    LengthBucket,
    LengthDistribution,
    ProductionWorkload,
    SeenLengths,
    TokenLengths,
    Workload,
)

from .buckets import Buckets
from .server_view import OUTPUT_LENGTHS, PROMPT_LENGTHS, REQUESTS
from .timeline import Covered

MOST_REQUESTS_PER_MINUTE = 1_000_000
"""That an arrival can have."""

LEAST_REQUESTS = 20
"""Of fewer, lengths would be chance."""


class NoWorkloadError(Exception):
    """Production's counters do not tell a workload; the message says why, and what to do."""


def production_workload(seen: Covered) -> ProductionWorkload:
    """Rate and lengths of the requests that ended between the samples.

    Raises:
        NoWorkloadError: there were too few, or vLLM did not tell their lengths.

    """
    ended = seen.increments.at_least(REQUESTS)
    if ended is None:
        raise NoWorkloadError("Prometheus has no request_success of these pods; see that it keeps vLLM's counters")
    prompts, outputs = (seen.window.histograms.get(name) for name in (PROMPT_LENGTHS, OUTPUT_LENGTHS))
    if prompts is None or outputs is None:
        raise NoWorkloadError("Prometheus has no request_prompt_tokens and request_generation_tokens of these pods")
    if (least := min(ended, prompts.count, outputs.count)) < LEAST_REQUESTS:
        raise NoWorkloadError(
            f"production ended {least} requests in that time, and rate and lengths are taken from {LEAST_REQUESTS} or "
            "more; choose a longer productionMinutes, or another pattern"
        )
    return ProductionWorkload(
        since=datetime.fromtimestamp(seen.first, UTC),
        until=datetime.fromtimestamp(seen.last, UTC),
        requests_per_minute=max(1, round(ended * 60 / seen.seconds)),
        prompt_tokens=_lengths(prompts),
        output_tokens=_lengths(outputs),
    )


def _lengths(found: Buckets) -> list[SeenLengths]:
    """Each bucket that is not empty. The last has no upper edge: its own lower one has to do."""
    edges = [0, *(round(edge) for edge in found.edges)]
    ends = [*edges[1:], edges[-1] + 1]
    counts = [later - earlier for earlier, later in pairwise((0, *found.cumulative))]
    filled = zip(edges, ends, counts, strict=True)
    return [SeenLengths(min=low + 1, max=high, requests=number) for low, high, number in filled if number]


def as_in_production(workload: Workload, seen: ProductionWorkload) -> Workload:
    """The study's workload with production's rate and lengths, within the study's bounds on lengths."""
    update = {
        "arrival": Arrival(
            pattern=ArrivalPattern.POISSON, requests_per_minute=min(seen.requests_per_minute, MOST_REQUESTS_PER_MINUTE)
        ),
        "prompt_tokens": _within(workload.prompt_tokens, seen.prompt_tokens),
        "output_tokens": _within(workload.output_tokens, seen.output_tokens),
    }
    return workload.model_copy(update=update)


def _within(bounds: TokenLengths | None, seen: list[SeenLengths]) -> TokenLengths:
    buckets = [LengthBucket(min=one.min, max=one.max, weight=min(one.requests, 1_000_000_000)) for one in seen]
    lengths = TokenLengths(distribution=LengthDistribution.EMPIRICAL, buckets=buckets)
    return lengths if bounds is None else lengths.model_copy(update={"min": bounds.min, "max": bounds.max})
