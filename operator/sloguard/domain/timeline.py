"""Raw samples over time, as Prometheus keeps them: which of them bound a window, and what grew between those.

Growth is taken between samples that were really scraped. Nothing is extrapolated to the window's edges, as PromQL's
increase() does: what a histogram counted there is not known, and would make false requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import isfinite
from statistics import median

from .increments import Increments, Point, Series, Timeline, over_time
from .server_view import OPEN_GAUGES, ServerWindow, window_of

CLOCK_SKEW_SECONDS = 1.0
"""How far Prometheus' clock may be from the load's."""

GAP_FACTOR = 2.5
"""Scrapes that are so many times further apart than usual were missed."""


@dataclass(frozen=True, slots=True)
class Covered:
    """A window as samples bound it: from the first one used to the last, which may be more or less than was asked for.

    `gaps` counts the scrapes' pauses that are much longer than usual: a restart within one goes unseen. `open_after`
    requests were under way when it ended.
    """

    window: ServerWindow
    increments: Increments
    first: float
    last: float
    servers: int
    gaps: int = 0
    open_after: int = 0

    @property
    def seconds(self) -> float:
        return self.last - self.first


class NotCoveredError(Exception):
    """The samples do not bound the window; the message says what is missing. `later` says that it may still come."""

    def __init__(self, message: str, *, later: bool = False) -> None:
        super().__init__(message)
        self.later = later


def bracketed(timeline: Timeline, start: datetime, end: datetime) -> Covered:
    """From the last sample before the window to the first one after it, in every series.

    Raises:
        NotCoveredError: there are no such samples.

    """
    begun, ended = start.timestamp() - CLOCK_SKEW_SECONDS, end.timestamp() + CLOCK_SKEW_SECONDS
    chosen: dict[Series, Sequence[Point]] = {}
    for series, points in timeline.items():
        before = [index for index, (at, _) in enumerate(points) if at <= begun]
        after = [index for index, (at, _) in enumerate(points) if at >= ended]
        if not before:
            raise NotCoveredError(f"no sample of {series.name} from before {start:%H:%M:%S}")
        if not after:
            raise NotCoveredError(f"no sample of {series.name} from after {end:%H:%M:%S} yet", later=True)
        chosen[series] = points[before[-1] : after[0] + 1]
    return _covered(chosen)


def observed(timeline: Timeline, start: datetime, end: datetime) -> Covered:
    """Between the samples that there are within the window: of servers that came or went, as long as they were seen.

    Raises:
        NotCoveredError: no series has two of them.

    """
    first, last = start.timestamp(), end.timestamp()
    return _covered({series: [p for p in points if first <= p[0] <= last] for series, points in timeline.items()})


def _covered(chosen: Timeline) -> Covered:
    several = {series: points for series, points in chosen.items() if len(points) > 1}
    if not several:
        raise NotCoveredError("no series of vLLM's with two samples")
    increments = over_time(several)
    return Covered(
        window=window_of(increments, _under_way(chosen, 0)),
        increments=increments,
        first=min(points[0][0] for points in several.values()),
        last=max(points[-1][0] for points in several.values()),
        servers=len({_server(series) for series in several}),
        gaps=max(_gaps(points) for points in several.values()),
        open_after=_under_way(chosen, -1),
    )


def _under_way(chosen: Timeline, position: int) -> int:
    """Requests that the servers had at their first sample or at their last."""
    gauges = [points[position][1] for series, points in chosen.items() if points and series.name in OPEN_GAUGES]
    return round(sum(value for value in gauges if isfinite(value)))


_SERVER_LABELS = ("instance", "pod")


def _server(series: Series) -> tuple[tuple[str, str], ...]:
    return tuple(label for label in series.labels if label[0] in _SERVER_LABELS)


def _gaps(points: Sequence[Point]) -> int:
    pauses = [later - earlier for (earlier, _), (later, _) in pairwise(points)]
    usual = median(pauses)
    return sum(pause > GAP_FACTOR * usual for pause in pauses)
