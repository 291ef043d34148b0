"""What a server's counters grew by over a window, from its samples at the window's two ends (and between them).

Sums run over all engines of all servers that were sampled. Where a counter went down, its engine was started anew, and
with it all the other counters, also those that have passed their old value by then: each grew by what it has now. What
was counted between the last sample and the restart is lost.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from .buckets import Buckets, merged

BUCKET, SUM = "_bucket", "_sum"
COUNTERS = ("_total", BUCKET, SUM)
"""How the names of what only grows end; gauges go up and down."""
EDGE_LABEL = "le"


Labels = tuple[tuple[str, str], ...]
"""Names and values, in the order of the names."""


class Series(NamedTuple):
    """A sample's name and its labels."""

    name: str
    labels: Labels = ()

    def without_edge(self) -> Labels:
        return tuple(label for label in self.labels if label[0] != EDGE_LABEL)

    @property
    def edge(self) -> float:
        """Of a histogram's bucket; not a number where it has none."""
        told = next((value for name, value in self.labels if name == EDGE_LABEL), "nan")
        try:
            return float(told)
        except ValueError:
            return math.nan


Samples = Mapping[Series, float]
"""One scrape."""

Point = tuple[float, float]
"""Seconds since 1970, and the value."""

Timeline = Mapping[Series, Sequence[Point]]
"""Each series' samples in their order in time."""


@dataclass(frozen=True, slots=True)
class Increments:
    """Growth by series. `restarted` counts how often an engine began anew: then it is the least growth."""

    grown: Mapping[Series, float]
    restarted: int = 0

    def counter(self, name: str) -> int | None:
        """Over all engines; None where no server has it, or where one of them began anew."""
        return None if self.restarted else self.at_least(name)

    def at_least(self, name: str) -> int | None:
        """Over all engines, restarts included; None where no server has it."""
        values = [value for series, value in self.grown.items() if series.name == name]
        return round(sum(values)) if values else None

    def histogram(self, name: str) -> Buckets | None:
        """Over all engines; None where a server does not have it, or where its buckets make no sense."""
        by_engine: dict[Labels, dict[float, float]] = defaultdict(dict)
        sums: dict[Labels, float] = {}
        for series, value in self.grown.items():
            if series.name == name + BUCKET:
                by_engine[series.without_edge()][series.edge] = value
            elif series.name == name + SUM:
                sums[series.labels] = value
        parts = [_buckets(counted, sums.get(engine)) for engine, counted in by_engine.items()]
        return merged([part for part in parts if part is not None]) if all(parts) else None


def between(before: Samples, after: Samples) -> Increments:
    """From two scrapes of one server. A series that the first lacks began at 0, as those of a new engine do."""
    return over_time({series: ((0.0, before.get(series, 0.0)), (1.0, value)) for series, value in after.items()})


def over_time(timeline: Timeline) -> Increments:
    """From each series' samples, of which the first and the last bound the window."""
    counters = {series: points for series, points in timeline.items() if _counts(series, points)}
    restarts: dict[Labels, set[float]] = defaultdict(set)
    for series, points in counters.items():
        restarts[_engine_of(series)].update(_falls(series, points))
    grown = {series: _growth(points, restarts[_engine_of(series)]) for series, points in counters.items()}
    return Increments(grown, sum(map(len, restarts.values())))


def _counts(series: Series, points: Sequence[Point]) -> bool:
    return series.name.endswith(COUNTERS) and len(points) > 1 and all(math.isfinite(value) for _, value in points)


def _falls(series: Series, points: Sequence[Point]) -> Iterable[float]:
    """When a value was first seen to be less than before. A sum may fall by rounding alone; whole counts do not."""
    if series.name.endswith(SUM):
        return ()
    return (at for (_, earlier), (at, later) in pairwise(points) if later < earlier)


def _growth(points: Sequence[Point], restarts: Iterable[float]) -> float:
    steps = pairwise(points)
    return sum(
        later if any(begun < at <= ended for at in restarts) else max(0.0, later - earlier)
        for (begun, earlier), (ended, later) in steps
    )


_ENGINE_LABELS = frozenset({"engine", "instance", "pod", "namespace"})


def _engine_of(series: Series) -> Labels:
    return tuple(label for label in series.labels if label[0] in _ENGINE_LABELS)


def _buckets(counted: Mapping[float, float], total: float | None) -> Buckets | None:
    """None unless the counts ascend with their edges, up to an infinite one."""
    edges = sorted(counted)
    cumulative = tuple(round(counted[edge]) for edge in edges)
    if not edges or edges[-1] != math.inf or any(map(math.isnan, edges)):
        return None
    if cumulative[0] < 0 or any(_falling(cumulative)):
        return None
    return Buckets(tuple(edges[:-1]), cumulative, total)


def _falling(counts: Sequence[int]) -> Iterable[bool]:
    return (later < earlier for earlier, later in pairwise(counts))
