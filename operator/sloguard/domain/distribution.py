"""Percentiles of counted whole numbers, with room for values beyond any limit."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from itertools import accumulate
from math import ceil, floor


def nearest_rank(count: int, percentile: int) -> int:
    """The 1-based rank of a percentile among `count` sorted values: the smallest that covers that share of them."""
    return max(1, -(-percentile * count // 100))


class Distribution:
    """Microseconds and how often each was seen, so that millions of gaps take the memory of the distinct ones.

    `infinite` values, those of failed requests, lie above all others.
    """

    def __init__(self, counts: Mapping[int, int], infinite: int = 0) -> None:
        self.counts = counts
        self._values = sorted(counts)
        self._cumulative = list(accumulate(counts[value] for value in self._values))
        self.finite = self._cumulative[-1] if self._cumulative else 0
        self.infinite = infinite

    @classmethod
    def of(cls, values: Iterable[int], infinite: int = 0) -> "Distribution":
        counts: dict[int, int] = {}
        for value in values:
            counts[value] = counts.get(value, 0) + 1
        return cls(counts, infinite)

    @property
    def total(self) -> int:
        """The sum of the finite values."""
        return sum(value * count for value, count in self.counts.items())

    def within(self, limit: int) -> int:
        """How many values are at most this."""
        place = bisect_right(self._values, limit)
        return self._cumulative[place - 1] if place else 0

    def at_percentile(self, percentile: int) -> int | None:
        """Nearest rank over all values; None where it falls on an infinite one or there are none.

        It is within a limit exactly when at least `percentile` percent of all values are.
        """
        rank = nearest_rank(self.finite + self.infinite, percentile)
        return self._at(rank - 1) if rank <= self.finite else None

    def interpolated(self, percentile: int) -> int | None:
        """Over the finite values, linear between neighbours: numpy's default, which `vllm bench serve` reports."""
        if not self.finite:
            return None
        position = (self.finite - 1) * percentile / 100
        below, above = self._at(floor(position)), self._at(ceil(position))
        return round(below + (above - below) * (position - floor(position)))

    def _at(self, index: int) -> int:
        return self._values[bisect_right(self._cumulative, index)]
