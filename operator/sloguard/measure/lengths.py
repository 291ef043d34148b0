"""Token counts drawn from a distribution: pure, and the same for the same generator."""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from math import exp, log, log1p, sqrt
from random import Random

from sloguard.api.v1alpha1 import LengthDistribution, TokenLengths

Draw = Callable[[Random], int]


def drawing(lengths: TokenLengths) -> Draw:
    """A function that draws one count; what falls outside [min, max] takes the nearest bound."""
    match lengths.distribution:
        case LengthDistribution.NORMAL:
            return _normal(lengths)
        case LengthDistribution.LOG_NORMAL:
            return _log_normal(lengths)
        case LengthDistribution.UNIFORM:
            return lambda rng: rng.randint(lengths.min, lengths.max)
        case LengthDistribution.EMPIRICAL:
            return _empirical(lengths)


RARE_DEVIATIONS = 4.0
"""Of a normal distribution: one draw in 30,000 lies beyond."""


def longest_drawn(lengths: TokenLengths) -> int:
    """The longest that is to be reckoned with. A tail without an end is cut where a draw in 30,000 lies beyond."""
    match lengths.distribution:
        case LengthDistribution.NORMAL:
            return lengths.clipped(round((lengths.mean or 0) + RARE_DEVIATIONS * lengths.stddev))
        case LengthDistribution.LOG_NORMAL:
            log_mean, log_stddev = _of_logarithms(lengths)
            return lengths.clipped(round(exp(log_mean + RARE_DEVIATIONS * log_stddev)))
        case LengthDistribution.UNIFORM | LengthDistribution.EMPIRICAL:
            return lengths.longest


def _normal(lengths: TokenLengths) -> Draw:
    mean, stddev = lengths.mean or 0, lengths.stddev
    return lambda rng: lengths.clipped(round(rng.gauss(mean, stddev)))


def _log_normal(lengths: TokenLengths) -> Draw:
    log_mean, log_stddev = _of_logarithms(lengths)
    return lambda rng: lengths.clipped(round(exp(rng.gauss(log_mean, log_stddev))))


def _of_logarithms(lengths: TokenLengths) -> tuple[float, float]:
    """`mean` and `stddev` are of the counts themselves; those of their logarithms follow by the moments' formulae."""
    mean = lengths.mean or 1
    log_variance = log1p((lengths.stddev / mean) ** 2)
    return log(mean) - log_variance / 2, sqrt(log_variance)


def _empirical(lengths: TokenLengths) -> Draw:
    buckets = [(bucket.min, bucket.max or bucket.min) for bucket in lengths.buckets or []]
    ends = list(accumulate(bucket.weight for bucket in lengths.buckets or []))

    def draw(rng: Random) -> int:
        low, high = buckets[bisect_right(ends, rng.randrange(ends[-1]))]
        return lengths.clipped(rng.randint(low, high))

    return draw
