"""What live traffic says of a server, by its own histograms alone: a measurement whose figures are lower bounds. Pure.

Nobody knows each request, so a joint figure is an interval (domain.server_view), and its lower end is what is compared:
a candidate never wins by what might be. An SLO is met where the histogram leaves no doubt, as with QueueTime.

* Requests are those that ended between the window's scrapes; those under way at its ends belong to neither side. Each
  SLO is held over the values of its own histogram: first tokens, gaps or answers that came within the window.
* A request that vLLM ended as aborted or in error has failed: not good, and slower than any limit. Versions of vLLM
  differ on whether its histograms hold such a request too; the two counts tell.
* vLLM 0.32 counts no end at all of a request whose client went away (v1/engine/output_processor.py, abort_requests).
  A first token that has no end, and is not of a request still under way, tells of at least so many that vanished.
* What vanished before its first token, or was turned away before vLLM took it (HTTP 4xx, no connection), leaves no
  trace in the server's metrics.
"""

from collections.abc import Sequence

from sloguard.api.v1alpha1 import SLO, Metric, RateMeasurement, ServerSource, SLOResult, Violations

from .buckets import Buckets
from .distribution import nearest_rank
from .increments import Increments
from .server_view import REQUESTS, view
from .timeline import Covered

LEAST_REQUESTS = 20
"""Of fewer, every figure would be chance."""

LEAST_COVERED_PERCENT = 50
"""Of the window, between its first scrape and its last."""

REASON, FAILED = "finished_reason", frozenset({"abort", "error"})
RATE_PERCENT = 100
"""Live traffic has one rate: that of comparison."""


class NotMeasuredError(Exception):
    """Nothing can be said of the server, and it is not to blame; the message says what is missing."""


def live_measurement(seen: Covered, slos: Sequence[SLO], seconds: int) -> RateMeasurement:
    """Of a window that should have lasted so long.

    Raises:
        NotMeasuredError: there was too little traffic, or it was seen for too short, or the counters say nothing.

    """
    finished = seen.window.finished
    if 100 * seen.seconds < LEAST_COVERED_PERCENT * seconds:
        raise NotMeasuredError(
            f"Prometheus scraped the pod over {seen.seconds:.0f} of {seconds} s; let it scrape more often, or raise "
            "workload.durationSeconds or warmupSeconds"
        )
    if seen.window.restarted:
        raise NotMeasuredError("the server's counters began anew within the window")
    if finished is None:
        raise NotMeasuredError("Prometheus has no request histograms of vLLM's for this pod")
    counted = max(finished, seen.increments.at_least(REQUESTS) or 0)
    ended = counted + _vanished(seen, counted)
    if ended + seen.open_after < LEAST_REQUESTS:
        raise NotMeasuredError(
            f"{ended} requests ended within {seen.seconds:.0f} s and {seen.open_after} were under way, and figures are "
            f"taken from {LEAST_REQUESTS} or more"
        )
    return _measured(seen, slos, ended, completed=min(finished, counted - _failed(seen.increments)))


def _vanished(seen: Covered, counted: int) -> int:
    """At least so many requests had their first token here, and neither ended nor are under way."""
    begun = seen.window.latencies(Metric.TTFT)
    return 0 if begun is None else max(0, begun.count - counted - seen.open_after)


def _failed(increments: Increments) -> int:
    ends = ((dict(series.labels), grown) for series, grown in increments.grown.items() if series.name == REQUESTS)
    return round(sum(grown for labels, grown in ends if labels.get(REASON) in FAILED))


def _measured(seen: Covered, slos: Sequence[SLO], ended: int, *, completed: int) -> RateMeasurement:
    told = view(seen.window, slos, completed)
    if told is None or told.good_low is None or told.good_tokens_low is None:
        raise NotMeasuredError("Prometheus has no request_generation_tokens of this pod, in which goodput is counted")
    return RateMeasurement(
        rate_percent=RATE_PERCENT,
        requests_per_minute=round(ended * 60 / seen.seconds),
        duration_milliseconds=round(seen.seconds * 1000),
        sent=ended,
        completed=completed,
        good=told.good_low,
        prompt_tokens=told.prompt_tokens or 0,
        output_tokens=told.output_tokens or 0,
        good_tokens=told.good_tokens_low,
        violations=Violations(slow=completed - told.good_low, cut_off=ended - completed),
        slos=[
            _held(slo, seen.window.latencies(slo.metric), among=told.requests - completed, beside=ended - told.requests)
            for slo in slos
        ],
        server_view=told.model_copy(update={"source": ServerSource.PROMETHEUS}),
        lower_bounds=True,
    )


def _held(slo: SLO, found: Buckets | None, *, among: int, beside: int) -> SLOResult:
    """Failed requests are among the histogram's values or beside them. With gaps, each counts as one that is too long:
    whose gaps are whose is not known. A first token may be of any of them: taking them off is then the safer side.
    """
    undecided = SLOResult(
        metric=slo.metric, percentile=slo.percentile, limit_milliseconds=slo.milliseconds, met=False, undecided=True
    )
    if found is None:
        return undecided
    if slo.metric is Metric.ITL:
        among, beside = 0, among + beside
    elif slo.metric is Metric.TTFT:
        among, beside = among + beside, 0
    low, high = found.within(slo.milliseconds / 1000)
    within, of = max(0, low - among), found.count + beside
    met = of > 0 and 100 * within >= slo.percentile * of
    return undecided.model_copy(
        update={
            "measured_microseconds": _at_most(slo, found, nearest_rank(of, slo.percentile) + among, met=met),
            "met": met,
            "undecided": not met and of > 0 and 100 * high >= slo.percentile * of,
            "within": within,
            "of": of,
        }
    )


def _at_most(slo: SLO, found: Buckets, rank: int, *, met: bool) -> int | None:
    """The upper edge of that value's bucket; the limit itself where the histogram's sum proves more."""
    _, most = found.at_rank(rank) if rank <= found.count else (0.0, None)
    edge = None if most is None else round(most * 1e6)
    limit = slo.milliseconds * 1000
    return min(edge or limit, limit) if met else edge
