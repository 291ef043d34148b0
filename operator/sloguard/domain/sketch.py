"""Histograms with exponential buckets: small, merged without loss, and with a known relative error.

Bucket i holds the values in (base^i, base^(i+1)], base = 2^(2^-scale), as OpenTelemetry's exponential histogram has it
(opentelemetry.io/docs/specs/otel/metrics/data-model, ExponentialHistogram). One scale down, two neighbours become one
bucket, so counts of different scales add up at the lower one, and nothing but the scale is lost. The estimate for a
bucket is the one with the smallest relative error at its worst: 2 * low * high / (low + high), off by at most
(base - 1) / (base + 1); UDDSketch (Epicoco et al., 2020) and DDSketch (Masson et al., 2019) state the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil, floor, log2

from sloguard.api.v1alpha1 import LatencySketch, Metric

from .distribution import nearest_rank

FINEST_SCALE = 7
"""Percentiles within 0.27 %."""

COARSEST_SCALE = 0
"""Percentiles within 33 %: 33 buckets hold everything from a microsecond to two hours."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """Counts of whole numbers from 0 on. `buckets` holds those that are not empty; `infinite` lies above all."""

    scale: int = FINEST_SCALE
    zero: int = 0
    infinite: int = 0
    buckets: Mapping[int, int] = field(default_factory=dict[int, int])

    @classmethod
    def of(cls, counts: Mapping[int, int], infinite: int = 0, *, scale: int = FINEST_SCALE) -> "Sketch":
        """`counts` says how often each value was seen."""
        buckets: dict[int, int] = {}
        for value, count in counts.items():
            if value:
                index = _index(value, scale)
                buckets[index] = buckets.get(index, 0) + count
        return cls(scale, counts.get(0, 0), infinite, buckets)

    @property
    def finite(self) -> int:
        return self.zero + sum(self.buckets.values())

    @property
    def relative_error(self) -> float:
        """How far an estimate may be from the exact value, as a share of that value."""
        base = 2**2.0**-self.scale
        return (base - 1) / (base + 1)

    def at_scale(self, scale: int) -> "Sketch":
        """The same values in fewer buckets; unchanged where the scale is this one or finer."""
        if scale >= self.scale:
            return self
        buckets: dict[int, int] = {}
        for index, count in self.buckets.items():
            wider = index >> (self.scale - scale)
            buckets[wider] = buckets.get(wider, 0) + count
        return Sketch(scale, self.zero, self.infinite, buckets)

    def merged(self, other: "Sketch") -> "Sketch":
        """Both together, at the lower of the two scales: exactly what one sketch of all values would be."""
        scale = min(self.scale, other.scale)
        buckets = dict(self.at_scale(scale).buckets)
        for index, count in other.at_scale(scale).buckets.items():
            buckets[index] = buckets.get(index, 0) + count
        return Sketch(scale, self.zero + other.zero, self.infinite + other.infinite, buckets)

    def with_zeros(self, more: int) -> "Sketch":
        return Sketch(self.scale, self.zero + more, self.infinite, self.buckets)

    def at_percentile(self, percentile: int) -> float | None:
        """Nearest rank over all values; None where it falls on an infinite one or there are none."""
        finite = self.finite
        rank = nearest_rank(finite + self.infinite, percentile)
        return self._estimate(rank) if rank <= finite else None

    def interpolated(self, percentile: int) -> float | None:
        """Over the finite values, linear between neighbours; None where there are none."""
        finite = self.finite
        if not finite:
            return None
        position = (finite - 1) * percentile / 100
        below, above = self._estimate(floor(position) + 1), self._estimate(ceil(position) + 1)
        return below + (above - below) * (position - floor(position))

    def _estimate(self, rank: int) -> float:
        """Of the value with this rank from 1, which must be a finite one."""
        seen = self.zero
        if rank <= seen:
            return 0.0
        for index in sorted(self.buckets):
            seen += self.buckets[index]
            if rank <= seen:
                low = 2.0 ** (index * 2.0**-self.scale)
                return low * (1 + self.relative_error)  # = 2 * low * high / (low + high)
        raise AssertionError("no such rank")


def _index(value: int, scale: int) -> int:
    """log2 is scaled by a power of two, which is exact; so halving an index is what a lower scale gives."""
    return ceil(log2(value) * 2.0**scale) - 1


def stored(sketch: Sketch, rate_percent: int, metric: Metric) -> LatencySketch:
    """As the result of a load has it: all buckets from the first to the last that is not empty."""
    first, last = min(sketch.buckets, default=0), max(sketch.buckets, default=-1)
    return LatencySketch(
        rate_percent=rate_percent,
        metric=metric,
        scale=sketch.scale,
        zero=sketch.zero,
        infinite=sketch.infinite,
        offset=first,
        counts=[sketch.buckets.get(index, 0) for index in range(first, last + 1)],
    )


def read(kept: LatencySketch) -> Sketch:
    """The reverse of `stored`."""
    return Sketch(kept.scale, kept.zero, kept.infinite, dict(_counted(kept)))


def _counted(kept: LatencySketch) -> Iterator[tuple[int, int]]:
    return ((index, count) for index, count in enumerate(kept.counts, start=kept.offset) if count)
