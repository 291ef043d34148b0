"""How long prompts and answers are."""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .base import Model
from .rules import Rule

UNBOUNDED_TOKENS = 1_000_000


class LengthDistribution(StrEnum):
    """How token counts spread; each is clipped to [min, max].

    Normal: around mean, by stddev (0: all alike). LogNormal: the same mean and stddev, with a long tail, as prompts of
    people have it. Uniform: every count from min to max alike. Empirical: as counted, in buckets.
    """

    NORMAL = "Normal"
    LOG_NORMAL = "LogNormal"
    UNIFORM = "Uniform"
    EMPIRICAL = "Empirical"


AROUND_A_MEAN = frozenset({LengthDistribution.NORMAL, LengthDistribution.LOG_NORMAL})


def _bucket_out_of_order(bucket: "LengthBucket") -> tuple[object, ...] | None:
    return None if bucket.max is None or bucket.min <= bucket.max else (bucket.min, bucket.max)


class LengthBucket(Model):
    """A share of the token counts: `weight` of the sum of all weights, evenly spread from min to max."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.max) || self.min <= self.max",
            message="min %s is above max %s; swap them",
            values=("self.min", "self.max"),
            broken=_bucket_out_of_order,
            path=".min",
        ),
    )

    min: int = Field(ge=1, le=UNBOUNDED_TOKENS)
    max: int | None = Field(default=None, ge=1, le=UNBOUNDED_TOKENS, description="As min, if absent: a single value.")
    weight: int = Field(default=1, ge=1, le=1_000_000_000)


def _mean_missing(lengths: "TokenLengths") -> tuple[object, ...] | None:
    missing = lengths.distribution in AROUND_A_MEAN and lengths.mean is None
    return (lengths.distribution.value,) if missing else None


def _mean_unused(lengths: "TokenLengths") -> tuple[object, ...] | None:
    unused = lengths.distribution not in AROUND_A_MEAN and (lengths.mean is not None or lengths.stddev > 0)
    return (lengths.distribution.value,) if unused else None


def _end_missing(lengths: "TokenLengths") -> tuple[object, ...] | None:
    return () if lengths.distribution is LengthDistribution.UNIFORM and lengths.max == UNBOUNDED_TOKENS else None


def _buckets_missing(lengths: "TokenLengths") -> tuple[object, ...] | None:
    return () if lengths.distribution is LengthDistribution.EMPIRICAL and not lengths.buckets else None


def _buckets_unused(lengths: "TokenLengths") -> tuple[object, ...] | None:
    unused = lengths.distribution is not LengthDistribution.EMPIRICAL and lengths.buckets
    return (lengths.distribution.value,) if unused else None


def _out_of_order(lengths: "TokenLengths") -> tuple[object, ...] | None:
    if lengths.mean is None or lengths.min <= lengths.mean <= lengths.max:
        return None
    return lengths.min, lengths.mean, lengths.max


def _ends_swapped(lengths: "TokenLengths") -> tuple[object, ...] | None:
    return (lengths.min, lengths.max) if lengths.mean is None and lengths.min > lengths.max else None


class TokenLengths(Model):
    """A distribution of token counts, clipped to [min, max]."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!(self.distribution in ['Normal', 'LogNormal']) || has(self.mean)",
            message="distribution %s needs mean; add it, or choose Uniform or Empirical",
            values=("self.distribution",),
            broken=_mean_missing,
            path=".mean",
        ),
        Rule(
            cel="self.distribution in ['Normal', 'LogNormal'] || (!has(self.mean) && self.stddev == 0)",
            message="mean and stddev have no effect with distribution %s; remove them, or choose Normal or LogNormal",
            values=("self.distribution",),
            broken=_mean_unused,
            path=".distribution",
        ),
        Rule(
            cel=f"self.distribution != 'Uniform' || self.max < {UNBOUNDED_TOKENS}",
            message="distribution Uniform takes every count from min to max; add max",
            broken=_end_missing,
            path=".max",
        ),
        Rule(
            cel="self.distribution != 'Empirical' || (has(self.buckets) && self.buckets.size() > 0)",
            message="distribution Empirical needs buckets, such as {min: 100, max: 199, weight: 3}; add them",
            broken=_buckets_missing,
            path=".buckets",
        ),
        Rule(
            cel="self.distribution == 'Empirical' || !has(self.buckets) || self.buckets.size() == 0",
            message="buckets are given but distribution is %s; set distribution to Empirical or remove buckets",
            values=("self.distribution",),
            broken=_buckets_unused,
            path=".buckets",
        ),
        Rule(
            cel="!has(self.mean) || (self.min <= self.mean && self.mean <= self.max)",
            message="min %s, mean %s, max %s are out of order; make them min <= mean <= max",
            values=("self.min", "self.mean", "self.max"),
            broken=_out_of_order,
        ),
        Rule(
            cel="has(self.mean) || self.min <= self.max",
            message="min %s is above max %s; swap them",
            values=("self.min", "self.max"),
            broken=_ends_swapped,
            path=".min",
        ),
    )

    distribution: LengthDistribution = LengthDistribution.NORMAL
    mean: int | None = Field(default=None, ge=1, le=UNBOUNDED_TOKENS)
    stddev: int = Field(default=0, ge=0, le=UNBOUNDED_TOKENS)
    min: int = Field(default=1, ge=1, le=UNBOUNDED_TOKENS)
    max: int = Field(default=UNBOUNDED_TOKENS, ge=1, le=UNBOUNDED_TOKENS)
    buckets: list[LengthBucket] | None = Field(default=None, max_length=64)

    @property
    def longest(self) -> int:
        """No count is above this."""
        if self.distribution is LengthDistribution.EMPIRICAL:
            ends = [bucket.max or bucket.min for bucket in self.buckets or []]
            return self.clipped(max(ends, default=self.max))
        fixed = self.mean is not None and not self.stddev
        return self.mean if fixed and self.mean else self.max

    def clipped(self, tokens: int) -> int:
        """The nearest count that is allowed."""
        return min(max(tokens, self.min), self.max)
