"""What a Prometheus histogram tells of the values behind it: between two edges only that they lie there.

All bounds are sound: whatever values the histogram was made of, the exact figure lies within them. The histogram's sum
narrows them: values cannot all lie at the far ends of their buckets when their sum is smaller than that.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import floor, inf

ROUNDING = 1e-6
"""Sums are floating-point: a quotient this far below a whole number is that number."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """`cumulative[i]` values are at most `edges[i]`; its last entry counts all. `total` is their sum, where known.

    Values are not negative. Edges ascend, without the infinite one.
    """

    edges: tuple[float, ...]
    cumulative: tuple[int, ...]
    total: float | None = None

    @property
    def count(self) -> int:
        """How many values there are."""
        return self.cumulative[-1]

    def within(self, limit: float) -> tuple[int, int]:
        """The least and the most values that can be at most `limit`."""
        position = bisect_right(self.edges, limit)
        low = self.cumulative[position - 1] if position else 0
        if position and self.edges[position - 1] == limit:
            return low, low
        high = self.cumulative[position]
        return max(low, high - self._most_above(limit, position)), min(high, low + self._most_below(limit, position))

    def at_rank(self, rank: int) -> tuple[float, float | None]:
        """The least and the greatest that the value of this 1-based rank can be; None where there is no upper edge."""
        position = bisect_left(self.cumulative, rank)
        return self._low(position), self.edges[position] if position < len(self.edges) else None

    def smallest(self, number: int) -> int:
        """The least sum that any `number` of the values can have; the values are whole numbers."""
        return round(_sum_of(number, ((floor(low) + 1 if low else 0, n) for low, _, n in self._spans())))

    def largest(self, number: int) -> float:
        """The greatest sum that any `number` of the values can have; infinite where nothing bounds it."""
        most = _sum_of(number, ((high, n) for _, high, n in reversed([*self._spans()])))
        return most if self.total is None else min(most, self.total)

    def _most_above(self, limit: float, position: int) -> int:
        """In the limit's own bucket: more values above the limit would make a greater sum than there is."""
        if self.total is None:
            return self.count
        spare = self.total - sum(low * n for low, _, n in self._spans())
        return _whole(spare / (limit - self._low(position)))

    def _most_below(self, limit: float, position: int) -> int:
        """In the limit's own bucket: more values below the limit would make a smaller sum than there is."""
        furthest = sum(high * n for _, high, n in self._spans())
        if self.total is None or furthest == inf or position == len(self.edges):
            return self.count
        return _whole((furthest - self.total) / (self.edges[position] - limit))

    def _spans(self) -> Iterator[tuple[float, float, int]]:
        """Each bucket that is not empty: its edges, and how many values it holds."""
        before = 0
        for position, upto in enumerate(self.cumulative):
            if upto > before:
                high = self.edges[position] if position < len(self.edges) else inf
                yield self._low(position), high, upto - before
            before = upto

    def _low(self, position: int) -> float:
        return self.edges[position - 1] if position else 0.0


def merged(parts: Sequence[Buckets]) -> Buckets | None:
    """Several engines as one; of edges that differ, those that all have. None where there is nothing to merge."""
    if not parts:
        return None
    edges = sorted(set[float].intersection(*(set(part.edges) for part in parts)))
    columns = [sum(part.cumulative[part.edges.index(edge)] for part in parts) for edge in edges]
    totals = [part.total for part in parts if part.total is not None]
    total = sum(totals) if len(totals) == len(parts) else None
    return Buckets(tuple(edges), (*columns, sum(part.count for part in parts)), total)


def _sum_of(number: int, groups: Iterable[tuple[float, int]]) -> float:
    """Of the first `number` values, which come in groups of equal ones."""
    total, left = 0.0, number
    for value, size in groups:
        taken = min(left, size)
        if taken:
            total += value * taken
        left -= taken
    return total


def _whole(quotient: float) -> int:
    return max(0, floor(quotient * (1 + ROUNDING) + ROUNDING))
