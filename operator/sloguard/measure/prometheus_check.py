"""Holds a load's figures against what Prometheus scraped of its server meanwhile."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import SLO, LoadResult, RateMeasurement, ServerSource, ServerView
from sloguard.domain.cross_check import both, compare
from sloguard.domain.increments import Timeline
from sloguard.domain.timeline import Covered, bracketed

from .prometheus import Prometheus

MARGIN = timedelta(minutes=5)
"""Before the load and after it, to find scrapes that bound it: Prometheus' own idea of how old a sample may be."""


async def checked(prometheus: Prometheus, selector: str, result: LoadResult, slos: Sequence[SLO]) -> LoadResult:
    """The result with Prometheus' view of each rate.

    Raises:
        PrometheusError: it gave no answer.
        NotCoveredError: its scrapes do not bound a rate, or do not yet.

    """
    timeline = await prometheus.samples(selector, result.started_at - MARGIN, result.finished_at + MARGIN)
    return result.model_copy(update={"rates": [_checked(timeline, result, rate, slos) for rate in result.rates]})


def _checked(timeline: Timeline, result: LoadResult, rate: RateMeasurement, slos: Sequence[SLO]) -> RateMeasurement:
    began, ended = _times(result, rate)
    covered = bracketed(timeline, began, ended)
    others = [other for other in result.rates if other is not rate and _overlaps(covered, result, other)]
    first = min(_times(result, other)[0] for other in result.rates)
    warm_up = result.warmup_requests if covered.first < first.timestamp() else 0
    seen = compare(rate, covered.window, slos, also_sent=warm_up + sum(other.sent for other in others))
    return rate.model_copy(update={"server_view": _merged(rate.server_view, seen)})


def _merged(direct: ServerView | None, seen: ServerView | None) -> ServerView | None:
    if seen is None:
        return direct
    return both(direct, seen.model_copy(update={"source": ServerSource.PROMETHEUS}))


def _overlaps(covered: Covered, result: LoadResult, rate: RateMeasurement) -> bool:
    began, ended = _times(result, rate)
    return began.timestamp() < covered.last and ended.timestamp() > covered.first


def _times(result: LoadResult, rate: RateMeasurement) -> tuple[datetime, datetime]:
    """A result of an earlier version says only when all rates ran."""
    began, ended = rate.began_milliseconds, rate.ended_milliseconds
    if began is None or ended is None:
        return result.started_at, result.finished_at
    return result.started_at + timedelta(milliseconds=began), result.started_at + timedelta(milliseconds=ended)
