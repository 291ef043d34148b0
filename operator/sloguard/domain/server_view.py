"""The same figures as the client's, from the server's own histograms: as intervals, since only marginals are known.

Which requests are meant: those that the server finished within the window. Failed ones are in none of its histograms.

* With `p_i` the share within limit i of k limits, the share within all of them lies between max(0, sum p_i - (k-1)) and
  min p_i; the same is done here in whole requests.
* TTFT is counted at a request's first token, everything else at its end. Where requests were under way when the window
  began, some of its ends have their first token before it; and some first tokens have no end within it.
* vLLM's ITL is each gap between two of the engine's steps, pooled over all requests. What one request made of them is
  not known: every gap over the limit may have spoilt a request of its own.
* A client's request that failed may have been finished by the server all the same. `completed` says how many the client
  saw to their end; those, and no others, can be good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf, isfinite

from sloguard.api.v1alpha1 import SLO, Metric, ServerView, SLOBounds

from .buckets import Buckets
from .distribution import nearest_rank
from .increments import Increments, Samples

HISTOGRAMS: Mapping[Metric, str] = {
    Metric.TTFT: "vllm:time_to_first_token_seconds",
    Metric.ITL: "vllm:inter_token_latency_seconds",
    Metric.TPOT: "vllm:request_time_per_output_token_seconds",
    Metric.E2E: "vllm:e2e_request_latency_seconds",
    Metric.QUEUE_TIME: "vllm:request_queue_time_seconds",
}
QUEUE_TIME = HISTOGRAMS[Metric.QUEUE_TIME]
PROMPT_LENGTHS = "vllm:request_prompt_tokens"
OUTPUT_LENGTHS = "vllm:request_generation_tokens"
REQUESTS = "vllm:request_success_total"
"""Requests that ended, by finished_reason: whatever the reason, each was asked for."""
OPEN_GAUGES = ("vllm:num_requests_running", "vllm:num_requests_waiting")

FAMILIES = (*HISTOGRAMS.values(), PROMPT_LENGTHS, OUTPUT_LENGTHS)
"""Every histogram that a view is made of."""

AT_THE_END = (HISTOGRAMS[Metric.E2E], OUTPUT_LENGTHS, PROMPT_LENGTHS, QUEUE_TIME)
"""Each has one value for every request that ended."""


@dataclass(frozen=True, slots=True)
class ServerWindow:
    """A server over a window: its histograms, as far as it has them. `open_before` requests, at the most, were under
    way when it began. `restarted` counts engines whose counters began anew within it.
    """

    histograms: Mapping[str, Buckets]
    open_before: int = 0
    restarted: int = 0

    @property
    def finished(self) -> int | None:
        """Requests that ended in the window; None where no histogram tells."""
        counts = (self.histograms[name].count for name in AT_THE_END if name in self.histograms)
        return next(counts, None)

    def latencies(self, metric: Metric) -> Buckets | None:
        return self.histograms.get(HISTOGRAMS[metric])


def window_of(increments: Increments, open_before: int = 0) -> ServerWindow:
    found = {name: increments.histogram(name) for name in FAMILIES}
    known = {name: buckets for name, buckets in found.items() if buckets is not None}
    return ServerWindow(known, open_before, increments.restarted)


def under_way(samples: Samples) -> int:
    """Requests that the server had at that moment, waiting ones included."""
    gauges = [value for series, value in samples.items() if series.name in OPEN_GAUGES and isfinite(value)]
    return round(sum(gauges))


def view(window: ServerWindow, slos: Sequence[SLO], completed: int | None = None) -> ServerView | None:
    """Bounds on everything that the histograms say something about; None where they say nothing.

    After a restart of the counters nothing but that is told.
    """
    finished = window.finished
    if window.restarted:
        return ServerView(requests=finished or 0, restarts=window.restarted)
    if finished is None:
        return None
    good = good_requests(window, slos, finished, completed)
    tokens = good_tokens(window.histograms.get(OUTPUT_LENGTHS), finished, good)
    return ServerView(
        requests=finished,
        prompt_tokens=_total(window.histograms.get(PROMPT_LENGTHS)),
        output_tokens=_total(window.histograms.get(OUTPUT_LENGTHS)),
        good_low=good[0],
        good_high=good[1],
        good_tokens_low=tokens and tokens[0],
        good_tokens_high=tokens and tokens[1],
        slos=[bounds for slo in slos if (bounds := slo_bounds(window, slo)) is not None],
    )


def good_requests(
    window: ServerWindow, slos: Sequence[SLO], finished: int, completed: int | None = None
) -> tuple[int, int]:
    """The least and the most requests within every limit. A metric that the server lacks bounds nothing."""
    # As for the client, time in the queue is no part of which requests are good.
    marginals = [within_limit(window, slo, finished) for slo in slos if slo.metric is not Metric.QUEUE_TIME]
    low = max(0, sum(low for low, _ in marginals) - (len(marginals) - 1) * finished) if marginals else finished
    high = min((high for _, high in marginals), default=finished)
    if completed is not None:
        low, high = low - max(0, finished - completed), min(high, completed)
    return max(0, min(low, high)), high


def within_limit(window: ServerWindow, slo: SLO, finished: int) -> tuple[int, int]:
    """Of the finished requests, the least and the most that keep one SLO's limit."""
    found = window.latencies(slo.metric)
    if found is None:
        return 0, finished
    if slo.metric is Metric.ITL:
        return _within_by_gaps(window, found, slo, finished)
    low, high = found.within(slo.milliseconds / 1000)
    absent = max(0, finished - found.count)
    if slo.metric is Metric.TPOT:
        # A single token has no gap, and so keeps every limit.
        return min(low + absent, finished), min(high + absent, finished)
    # Ends whose first token came before the window, and first tokens whose end does not belong to it.
    early = max(absent, window.open_before) if slo.metric is Metric.TTFT else absent
    foreign = max(0, found.count - finished + early)
    return max(0, low - foreign), min(finished, high + early)


def _within_by_gaps(window: ServerWindow, gaps: Buckets, slo: SLO, finished: int) -> tuple[int, int]:
    """A request keeps an ITL limit when at most (100 - percentile) percent of its own gaps are over it."""
    low, high = gaps.within(slo.milliseconds / 1000)
    spoilt_at_most = gaps.count - low + window.open_before
    lengths = window.histograms.get(OUTPUT_LENGTHS)
    begun = window.latencies(Metric.TTFT)
    own = begun is not None and lengths is not None and begun.count == lengths.count == finished
    if window.open_before or not own:
        # Gaps of requests that did not end here, or began elsewhere, are among them.
        return max(0, finished - spoilt_at_most), finished
    assert lengths is not None, "looked at above"
    tolerated = (100 - slo.percentile) * gaps.count // 100
    longest = lengths.at_rank(lengths.count)[1] if lengths.count else None
    excess = gaps.count - high - tolerated
    # A request that is spoilt takes no more gaps over the limit than it has gaps.
    spoilt_at_least = ceil(excess / max(1.0, longest - 1)) if longest and excess > 0 else int(excess > 0)
    return max(0, finished - spoilt_at_most), max(0, finished - spoilt_at_least)


def good_tokens(lengths: Buckets | None, finished: int, good: tuple[int, int]) -> tuple[int, int] | None:
    """The least and the most output tokens that so many good requests can have; None where lengths are not known."""
    if lengths is None or lengths.count != finished:
        return None
    low, high = good
    least, most = lengths.smallest(low), lengths.largest(high)
    if lengths.total is not None:
        bad_at_most = lengths.largest(finished - low)
        least = max(least, ceil(lengths.total - bad_at_most - 0.5)) if bad_at_most < inf else least
        most = min(most, lengths.total - lengths.smallest(finished - high))
    return (max(0, least), floor(most + 0.5)) if most < inf else None


def slo_bounds(window: ServerWindow, slo: SLO) -> SLOBounds | None:
    """Of the server's own values (requests, or gaps for ITL): how many are within the limit, and the percentile."""
    found = window.latencies(slo.metric)
    if found is None:
        return None
    low, high = found.within(slo.milliseconds / 1000)
    least, most = found.at_rank(nearest_rank(found.count, slo.percentile)) if found.count else (0.0, None)
    return SLOBounds(
        metric=slo.metric,
        percentile=slo.percentile,
        count=found.count,
        within_low=low,
        within_high=high,
        low_microseconds=round(least * 1e6),
        high_microseconds=None if most is None else round(most * 1e6),
    )


def _total(lengths: Buckets | None) -> int | None:
    return None if lengths is None or lengths.total is None else round(lengths.total)
