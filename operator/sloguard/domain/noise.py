"""How much the same configuration differs from itself, and what that means for a difference between two. Pure.

Identical runs of vLLM differ by less than 1 % below saturation and by up to the whole value at it, so noise is
estimated for each configuration at the rate that is compared, from its own repeats alone. Figures are in whatever unit
the study makes large; a configuration that serves nothing has 0.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .t_distribution import quantile, upper_tail

LEAST_NOISE = 0.01
"""Of the mean: no run-to-run difference is taken to be smaller, however alike two or three repeats happen to be."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One configuration's figures.

    `repeats` were made to compare and make up the mean. `earlier` are runs that chose it (the best of a search) or
    that chose what is compared (the first run of production): their figures are biased and count for noise alone,
    which they can only overstate. `grain` is the least step that a figure can make: one request good or not.
    """

    repeats: tuple[float, ...]
    earlier: tuple[float, ...] = ()
    grain: float = 0.0
    dead: bool = False
    """It crashes: it serves nothing, for certain."""

    @property
    def mean(self) -> float:
        """Of the repeats, or before there are any, of the earlier runs."""
        return 0.0 if self.dead else _mean(self.repeats or self.earlier)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the noise."""
        return math.inf if self.dead else len(self.repeats) + len(self.earlier) - 1

    @property
    def noise(self) -> float:
        """Standard deviation of a single run, in the figure's unit."""
        figures = (*self.repeats, *self.earlier)
        if self.dead or not figures:
            return 0.0
        seen = _standard_deviation(figures) if len(figures) > 1 else 0.0
        return max(seen, LEAST_NOISE * abs(self.mean), self.grain)

    @property
    def squared_error(self) -> float:
        """Of the mean."""
        return 0.0 if self.dead else self.noise**2 / max(len(self.repeats), 1)


def _mean(figures: Sequence[float]) -> float:
    return sum(figures) / len(figures)


def _standard_deviation(figures: Sequence[float]) -> float:
    """The statistics module is exact and twenty times slower, which a simulation notices."""
    mean = _mean(figures)
    return math.sqrt(sum((figure - mean) ** 2 for figure in figures) / (len(figures) - 1))


def chance_of(candidate: Sample, baseline: Sample, ratio: float) -> float:
    """The p-value against "the candidate's true mean is at most `ratio` times the baseline's".

    Welch's test: each side has its own noise, with Satterthwaite's degrees of freedom. On the figures themselves and
    not on their logarithms, so that a baseline may serve nothing. 1 where there are too few runs to know the noise.
    """
    t, freedom = _statistic(candidate, baseline, ratio)
    return 1.0 if freedom <= 0 else upper_tail(t, freedom)


def exceeds(candidate: Sample, baseline: Sample, ratio: float, error: float) -> bool:
    """Whether `chance_of` is at most `error`, which has to be under a twentieth: most answers need no distribution."""
    t, freedom = _statistic(candidate, baseline, ratio)
    return freedom > 0 and t > LEAST_T and upper_tail(t, freedom) <= error


LEAST_T = 1.6
"""No t distribution has less than a twentieth above it."""


def _statistic(candidate: Sample, baseline: Sample, ratio: float) -> tuple[float, float]:
    ours, theirs = candidate.squared_error, ratio**2 * baseline.squared_error
    difference = candidate.mean - ratio * baseline.mean
    if min(candidate.freedom, baseline.freedom) <= 0 or not candidate.repeats:
        return 0.0, 0.0
    if ours + theirs <= 0:
        return math.inf if difference > 0 else -math.inf, 1.0
    freedom = (ours + theirs) ** 2 / (ours**2 / candidate.freedom + theirs**2 / baseline.freedom)
    return difference / math.sqrt(ours + theirs), freedom


def prospect(candidate: Sample, baseline: Sample, ratio: float, chance: float, most: int) -> float:
    """How likely the test will pass at `chance` once both have `most` repeats, if they go on as they began.

    By the normal distribution of what the remaining repeats may add to the difference; 1 where the noise is unknown.
    """
    t, freedom = _statistic(candidate, baseline, ratio)
    if freedom <= 0 or math.isinf(t):
        return 1.0 if t >= 0 else 0.0
    now = candidate.squared_error + ratio**2 * baseline.squared_error
    then = sum(
        factor * sample.noise**2 / max(len(sample.repeats), most)
        for factor, sample in ((1.0, candidate), (ratio**2, baseline))
        if not sample.dead
    )
    added = len(candidate.repeats) + len(baseline.repeats)
    freedom_then = round(freedom * max(2 * most, added) / max(added, 1), 1)
    needed = quantile(round(chance, 5), freedom_then) * math.sqrt(then)
    difference = t * math.sqrt(now)
    spread = math.sqrt(max(now - then, 0.0))
    if spread <= 0:
        return float(difference >= needed)
    return math.erfc((needed - difference) / spread / math.sqrt(2)) / 2


@dataclass(frozen=True, slots=True)
class RatioInterval:
    """Candidate over baseline. `high` is infinite where the baseline may well serve nothing."""

    low: float
    high: float


def ratio_interval(candidate: Sample, baseline: Sample, chance: float) -> RatioInterval:
    """Ratios that the test of `chance_of` does not reject at `chance`, on either side (Fieller's interval)."""
    low = _edge(lambda ratio: chance_of(candidate, baseline, ratio) > chance)
    high = _edge(lambda ratio: chance_of(candidate, baseline, ratio) >= 1 - chance)
    return RatioInterval(low, high)


MOST_RATIO = 1e6
"""Past it an improvement has no number."""


def _edge(beyond: Callable[[float], bool]) -> float:
    """The smallest ratio that is beyond, by bisection; infinite where none is."""
    if beyond(0.0):
        return 0.0
    if not beyond(MOST_RATIO):
        return math.inf
    low, high = 0.0, 1.0
    while not beyond(high):
        low, high = high, high * 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if beyond(middle) else (middle, high)
    return high
