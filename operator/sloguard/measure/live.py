"""Watches a server's live traffic over a window, through Prometheus."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sloguard.api.v1alpha1 import SLO, LoadResult, ServerFault, ServerFaultKind
from sloguard.domain.increments import Timeline
from sloguard.domain.live import NotMeasuredError, live_measurement
from sloguard.domain.standstill import standstill_since
from sloguard.domain.timeline import observed

from .prometheus import Prometheus
from .scrape import counters


async def watched(
    prometheus: Prometheus, selector: str, begins: datetime, ends: datetime, slos: Sequence[SLO]
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
        return whole.model_copy(update={"fault": _fault(timeline), "invalid": str(error)})
    rate = rate.model_copy(update={"server": counters(covered.increments)})
    return whole.model_copy(update={"fault": _fault(timeline), "rates": [rate]})


async def stood_still(prometheus: Prometheus, selector: str, begins: datetime, now: datetime) -> LoadResult | None:
    """A result that is a fault, where scrapes say that a server with requests has stood still until now.

    Raises:
        PrometheusError: it gave no answer.

    """
    fault = _fault(await prometheus.samples(selector, begins, now))
    return None if fault is None else LoadResult(started_at=begins, finished_at=now, fault=fault)


def _fault(timeline: Timeline) -> ServerFault | None:
    since = standstill_since(timeline)
    if since is None:
        return None
    seconds = timedelta(seconds=max(points[-1][0] for points in timeline.values() if points) - since)
    detail = f"requests are open and no token has been generated for {seconds.total_seconds():.0f} s"
    return ServerFault(kind=ServerFaultKind.GENERATION_STALLED, at=datetime.fromtimestamp(since, UTC), detail=detail)
