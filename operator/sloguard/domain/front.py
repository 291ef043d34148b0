"""The front of goodput against latency: what no other configuration beats in everything. Pure.

One figure that should be large stands against one ratio for each SLO, measured over limit, that should be small.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    """A configuration: its figure in the objective's unit, and measured over limit of each SLO in the study's order."""

    name: str
    figure: float
    ratios: tuple[float, ...]

    @property
    def tightest(self) -> float:
        """The ratio of the SLO that is nearest to its limit, or farthest beyond it."""
        return max(self.ratios, default=0.0)


def dominates(one: Point, other: Point) -> bool:
    """At least as good in everything, and better in something."""
    pairs = list(zip(one.ratios, other.ratios, strict=True))
    no_worse = one.figure >= other.figure and all(a <= b for a, b in pairs)
    return no_worse and (one.figure > other.figure or any(a < b for a, b in pairs))


def front_of(points: Iterable[Point]) -> list[Point]:
    """Those that none dominates, the highest figure first; equal ones are all on it."""
    front = list[Point]()
    for point in sorted(points, key=lambda p: (-p.figure, p.ratios, p.name)):  # nobody is dominated by a later one
        if not any(dominates(better, point) for better in front):
            front.append(point)
    return front


def thinned(front: Sequence[Point], most: int, kept: Collection[str] = ()) -> list[Point]:
    """At most so many, in their order: the `kept` first, then both ends and the least of each ratio, then evenly."""
    if len(front) <= most:
        return list(front)
    least = [min(front, key=lambda p, i=i: p.ratios[i]) for i in range(len(front[0].ratios))]
    evenly = [front[i * (len(front) - 1) // (most - 1)] for i in range(most)] if most > 1 else []
    wanted = [*(p for p in front if p.name in kept), front[0], front[-1], *least, *evenly]
    names = list(dict.fromkeys(p.name for p in wanted))[:most]
    return [p for p in front if p.name in names]


NOTICEABLE = 0.9
"""Of a latency: what is not lower than this is not worth a sentence."""


def choice(chosen: Point, front: Sequence[Point], slos: Sequence[str]) -> str:
    """Why this one and no other of the front, as a sentence; `slos` are the ratios' names."""
    better = next((p for p in front if p.figure > chosen.figure), None)
    if better is not None:
        more = f"{_percent(better.figure / chosen.figure - 1)} more" if chosen.figure else "more"
        return f"{better.name} gave {more} in the search, which is within noise or was not shown by repeats"
    calmer = [p for p in front if p.name != chosen.name and p.tightest <= NOTICEABLE * chosen.tightest]
    if not calmer or not chosen.figure:
        return f"the highest figure of {len(front)} on the front, and none of the others has noticeably more room"
    other = max(calmer, key=lambda p: (p.figure, -p.tightest))
    where = max(range(len(slos)), key=lambda i: chosen.ratios[i] / max(other.ratios[i], 1e-9))
    return (
        f"the highest figure of {len(front)} on the front, which is the objective while the SLOs hold; {other.name} "
        f"gives {_percent(1 - other.figure / chosen.figure)} less but takes {_percent(other.ratios[where])} of the "
        f"{slos[where]} limit instead of {_percent(chosen.ratios[where])}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
