"""What a server's counters grew by over a window, from its samples at the window's two ends (and between them).

Sums run over all engines of all servers that were sampled. A counter that went down was started anew: what it counted
between its last sample and that is lost.
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


class Series(NamedTuple):
    """A sample's name and its labels in the order of their names."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def without_edge(self) -> tuple[tuple[str, str], ...]:
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


@dataclass(frozen=True, slots=True)
class Increments:
    """Growth by series. `restarted` counts how often an engine's counters went down: then it is the least growth.

    `fell` names the counters that did.
    """

    grown: Mapping[Series, float]
    restarted: int = 0
    fell: frozenset[str] = frozenset()

    def counter(self, name: str) -> int | None:
        """Over all engines; None where no server has it, or where one of them began anew."""
        values = [value for series, value in self.grown.items() if series.name == name]
        return round(sum(values)) if values and name not in self.fell else None

    def histogram(self, name: str) -> Buckets | None:
        """Over all engines; None where a server does not have it, or where its buckets make no sense."""
        by_engine: dict[tuple[tuple[str, str], ...], dict[float, float]] = defaultdict(dict)
        sums: dict[tuple[tuple[str, str], ...], float] = {}
        for series, value in self.grown.items():
            if series.name == name + BUCKET:
                by_engine[series.without_edge()][series.edge] = value
            elif series.name == name + SUM:
                sums[series.labels] = value
        parts = [_buckets(counted, sums.get(engine)) for engine, counted in by_engine.items()]
        return merged([part for part in parts if part is not None]) if all(parts) else None


def between(before: Samples, after: Samples) -> Increments:
    """From two scrapes of one server. A series that the first lacks began at 0, as those of a new engine do."""
    return over_time({series: (before.get(series, 0.0), value) for series, value in after.items()})


def over_time(samples: Mapping[Series, Sequence[float]]) -> Increments:
    """From each series' values in their order in time, of which the first and the last bound the window."""
    grown: dict[Series, float] = {}
    restarts: dict[tuple[tuple[str, str], ...], int] = {}
    fell: set[str] = set()
    for series, values in samples.items():
        if not series.name.endswith(COUNTERS) or len(values) < 2 or not all(map(math.isfinite, values)):
            continue
        grown[series] = sum(later - earlier if later >= earlier else later for earlier, later in pairwise(values))
        falls = sum(later < earlier for earlier, later in pairwise(values))
        # A sum of values may fall by rounding alone; whole counts do not.
        if falls and not series.name.endswith(SUM):
            fell.add(series.name)
            engine = _engine_of(series)
            restarts[engine] = max(restarts.get(engine, 0), falls)
    return Increments(grown, sum(restarts.values()), frozenset(fell))


_ENGINE_LABELS = frozenset({"engine", "instance", "pod", "namespace"})


def _engine_of(series: Series) -> tuple[tuple[str, str], ...]:
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
