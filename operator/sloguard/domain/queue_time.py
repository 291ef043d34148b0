"""Holds a QueueTime SLO against what the server's histogram tells of it: the client cannot see the server's queue.

The histogram leaves an interval: the SLO is met where it surely is, broken where it surely is, and else undecided,
which counts as not met. vLLM's lowest edge is 300 ms; the histogram's sum decides lower limits where the queue was
short, and `--custom-histogram-buckets` (newer than vLLM 0.19) can put an edge on the limit. A request that failed
counts as slower than any limit, as everywhere.
"""

from collections.abc import Sequence

from sloguard.api.v1alpha1 import SLO, Metric, SLOResult

from .buckets import Buckets
from .distribution import nearest_rank
from .server_view import QUEUE_TIME, ServerWindow


def with_queue_time(
    results: Sequence[SLOResult], slos: Sequence[SLO], window: ServerWindow | None, *, sent: int, completed: int
) -> list[SLOResult]:
    """The results in their order, those of QueueTime taken from the server; undecided where it says nothing."""
    found = None if window is None or window.restarted else window.histograms.get(QUEUE_TIME)
    return [
        hold_queue_time(slo, found, sent=sent, completed=completed) if slo.metric is Metric.QUEUE_TIME else result
        for slo, result in zip(slos, results, strict=True)
    ]


def hold_queue_time(slo: SLO, found: Buckets | None, *, sent: int, completed: int) -> SLOResult:
    """Of all that was sent; only those that completed can be within the limit. None is met where nothing was sent.

    The server may have finished more requests than completed for the client: any of its values may be theirs.
    """
    low, high = (0, completed) if found is None else _within(found, slo.milliseconds / 1000, completed)
    met = sent > 0 and 100 * low >= slo.percentile * sent
    return SLOResult(
        metric=slo.metric,
        percentile=slo.percentile,
        limit_milliseconds=slo.milliseconds,
        measured_microseconds=_at_most(slo, found, sent, completed, met=met),
        met=met,
        within=low,
        of=sent,
        undecided=not met and sent > 0 and 100 * high >= slo.percentile * sent,
    )


def _within(found: Buckets, seconds: float, completed: int) -> tuple[int, int]:
    low, high = found.within(seconds)
    others = max(0, found.count - completed)
    unseen = max(0, completed - found.count)
    return max(0, low - others), min(completed, high + unseen)


def _at_most(slo: SLO, found: Buckets | None, sent: int, completed: int, *, met: bool) -> int | None:
    """The upper edge of the percentile's bucket; the limit itself where the sum proves more than the edges do."""
    rank = nearest_rank(sent, slo.percentile)
    if found is None or rank > completed or not found.count:
        return None
    _, most = found.at_rank(min(rank + max(0, found.count - completed), found.count))
    if most is None:
        return None
    edge = round(most * 1e6)
    return min(edge, slo.milliseconds * 1000) if met else edge
