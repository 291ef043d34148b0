"""Watches a server's live traffic over a window, through Prometheus."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sloguard.api.v1alpha1 import SLO, LoadResult, ServerFault, ServerFaultKind
from sloguard.domain.increments import Timeline
from sloguard.domain.live import NotMeasuredError, live_measurement
from sloguard.domain.standstill import STANDSTILL_SECONDS, standstill_since
from sloguard.domain.timeline import observed

from .prometheus import Prometheus
from .scrape import counters


async def watched(
    prometheus: Prometheus,
    selector: str,
    begins: datetime,
    ends: datetime,
    slos: Sequence[SLO],
    standstill_seconds: float = STANDSTILL_SECONDS,
) -> LoadResult:
    """What scrapes within the window say; invalid where it was too little traffic, with a fault where it stood still.

    Raises:
        PrometheusError: it gave no answer.
        NotCoveredError: it has no two scrapes of the server.

    """
    timeline = await prometheus.samples(selector, begins, ends)
    whole = LoadResult(started_at=begins, finished_at=ends)
    covered = observed(timeline, begins, ends)
    try:
        rate = live_measurement(covered, slos, round((ends - begins).total_seconds()))
    except NotMeasuredError as error:
        return whole.model_copy(update={"fault": _fault(timeline, standstill_seconds), "invalid": str(error)})
    rate = rate.model_copy(update={"server": counters(covered.increments)})
    return whole.model_copy(update={"fault": _fault(timeline, standstill_seconds), "rates": [rate]})


def stood_still(timeline: Timeline, begins: datetime, now: datetime, standstill_seconds: float) -> LoadResult | None:
    """A result that is a fault, where samples say that a server with requests has stood still so long, until now."""
    fault = _fault(timeline, standstill_seconds)
    return None if fault is None else LoadResult(started_at=begins, finished_at=now, fault=fault)


def _fault(timeline: Timeline, standstill_seconds: float) -> ServerFault | None:
    since = standstill_since(timeline, standstill_seconds)
    if since is None:
        return None
    seconds = timedelta(seconds=max(points[-1][0] for points in timeline.values() if points) - since)
    detail = f"requests are open and no token has been generated for {seconds.total_seconds():.0f} s"
    return ServerFault(kind=ServerFaultKind.GENERATION_STALLED, at=datetime.fromtimestamp(since, UTC), detail=detail)
