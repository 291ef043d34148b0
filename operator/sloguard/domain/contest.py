"""Which repeats a decision needs next, and when it is made: the statistical gate. Pure.

Candidates are contested one after the other, the search's best first. Choosing among the best by repeats beforehand
(screening, successive elimination, OCBA) found no more of the best for what it cost: tests/bench/gate.py compares.
Repeats come in blocks: in the n-th block the candidate is repeated for the n-th time, and so is each baseline that it
is not yet clearly better than. After each block it wins, is given up, or goes on:

* It **wins** when Welch's test (`domain/noise.py`) says of every baseline that the candidate is better by the minimum.
  Both tests have to pass, so that each may be made at the whole error (an intersection-union test).
* It is **given up** when it cannot hold the SLOs that a baseline holds, or will hardly win even with all its repeats.
* The error is spent over the looks at one candidate and over the candidates, so that looking early and trying the
  next one do not add up to more than ERROR (Bonferroni's bound; tests/bench/gate.py simulates the whole).

The figure of a candidate is that of its repeats, never the one that chose it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from .noise import Sample, exceeds, prospect

ERROR = 0.05
"""The chance that what is recommended is not better than both baselines by the minimum, at most."""

NOMINAL_ERROR = 0.04
"""What the tests are made at in sum: Welch's errs a little more than it says where one side is much the noisier."""

NEXT_SHARE = 0.75
"""Of the error that is left goes to the candidate that is contested next.

The first is the likeliest; a half or 0.6 for it found fewer of the best and let more pass that are none.
"""

LEAST_ERROR = 0.001
"""Below it no further candidate is contested: that makes three, and those that crash before they could have won."""

SLO_SHARE = 0.2
"""Of a candidate's error goes to the claim that it holds SLOs which a baseline breaks; then it need not serve more."""

LEAST_LOG_NOISE = 0.05
"""Of a latency over its limit, as a logarithm; percentiles of identical runs differ at least so much."""

HOPELESS = 0.1
"""A candidate whose prospect falls below this is given up."""

LEAST_REPEATS = 2
"""Of a winner, unless the study wants fewer."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a configuration: its figure, and how its worst SLO did, measured over limit (1 just holds).

    `offered_ratio` is the same at 100 % of the rate, where higher rates are compared.
    """

    figure: float
    slo_ratio: float = 0.0
    offered_ratio: float = 0.0
    crashed: bool = False


@dataclass(frozen=True, slots=True)
class Arm:
    """A configuration in the contest. `earlier` are its runs before any repeat: the search's, or the baseline's first.

    `grain` is the least step of a figure, one request more or less; a `dead` one crashed and is not repeated.
    """

    name: str
    earlier: tuple[Run, ...] = ()
    repeats: tuple[Run, ...] = ()
    grain: float = 0.0
    dead: bool = False

    @property
    def runs(self) -> tuple[Run, ...]:
        """Those that its figure is made of: the repeats, or what there is before them."""
        return self.repeats or self.earlier

    @property
    def sample(self) -> Sample:
        """Of the figures."""
        repeats, earlier = ([run.figure for run in runs] for runs in (self.repeats, self.earlier))
        return Sample(tuple(repeats), tuple(earlier), self.grain, self.dead)

    @property
    def headroom(self) -> Sample:
        """Logarithm of limit over measured, of the worst SLO: above 0 it holds."""
        repeats, earlier = (
            [-math.log(max(run.slo_ratio, 1e-6)) for run in runs] for runs in (self.repeats, self.earlier)
        )
        return Sample(tuple(repeats), tuple(earlier), LEAST_LOG_NOISE)

    @property
    def slos_met(self) -> bool:
        """Over its runs, where figures are compared."""
        return _hold([run.slo_ratio for run in self.runs])

    @property
    def serves_offered(self) -> bool:
        """Over its runs, at 100 % of the rate."""
        return _hold([run.offered_ratio for run in self.runs])

    def up_to(self, repeats: int) -> "Arm":
        """As it was known after so many repeats."""
        return replace(self, repeats=self.repeats[:repeats])


def _hold(ratios: Sequence[float]) -> bool:
    """On average and in most of the runs, so that one that is over by a hair is no verdict and one far over is."""
    return sum(ratios) <= len(ratios) and 2 * sum(ratio <= 1 for ratio in ratios) > len(ratios)


@dataclass(frozen=True, slots=True)
class Terms:
    """What has to be shown and with how much: a `ratio` of 1.05 is 5 % better."""

    ratio: float
    repeats: int
    baseline_repeats: int

    @property
    def _first(self) -> int:
        return min(LEAST_REPEATS, self.repeats)

    def may_win(self, block: int) -> bool:
        """After so many repeats of the candidate; only such a look spends error."""
        return block >= self._first

    def chance(self, error: float, block: int) -> float:
        """Of the candidate's error, what the look after this block may use: more, the more is known."""
        looks = self.repeats - self._first + 1
        return error * 2 * max(block - self._first + 1, 1) / (looks * (looks + 1))


@dataclass(frozen=True, slots=True)
class Ledger:
    """What contests have used up: `counts` of baselines' repeats that were looked at, and error."""

    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    spent: float = 0.0

    @property
    def next_error(self) -> float:
        """What the next candidate may spend."""
        return (NOMINAL_ERROR - self.spent) * NEXT_SHARE

    @property
    def over(self) -> bool:
        """So little is left that nothing could be shown with it."""
        return self.next_error < LEAST_ERROR

    def used(self, baseline: Arm) -> int:
        """Repeats that were looked at."""
        return self.counts.get(baseline.name, 0)

    def after(self, repeated: Iterable[Arm]) -> "Ledger":
        """With one more repeat of each of these."""
        return replace(self, counts={**self.counts, **{b.name: self.used(b) + 1 for b in repeated}})


class Standing(Enum):
    """Of a candidate; and where it was given up, why."""

    OPEN = "open"
    WON = "won"
    CRASHED = "crashed"
    SLO_BROKEN = "an SLO broken that a baseline holds"
    HOPELESS = "will hardly be shown"
    UNPROVEN = "not shown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """On one candidate after `block` blocks, the last of which was looked at with an error of `chance`.

    `wanted` names the arms that the block under way still lacks. `against` is the baseline that it was given up for.
    `after` is what the next contest begins with.
    """

    standing: Standing
    block: int
    chance: float
    after: Ledger
    wanted: tuple[str, ...] = ()
    against: str = ""

    @property
    def given_up(self) -> bool:
        return self.standing not in {Standing.OPEN, Standing.WON}


def contest(candidate: Arm, baselines: Sequence[Arm], ledger: Ledger, terms: Terms) -> Verdict:
    """Go through the blocks as they were made, as far as they are."""
    error = ledger.next_error
    for block in range(1, terms.repeats + 1):
        chance = terms.chance(error, block)
        if any(run.crashed for run in candidate.repeats[:block]):
            looks = sum(terms.chance(error, look) for look in range(1, block) if terms.may_win(look))
            return Verdict(Standing.CRASHED, block, chance, replace(ledger, spent=ledger.spent + looks))
        before = candidate.up_to(block - 1)
        repeated = [b for b in baselines if _needs(b, ledger.used(b), before, terms, chance)]
        wanted = [b.name for b in repeated if len(b.repeats) <= ledger.used(b)]
        if len(candidate.repeats) < block:
            wanted.append(candidate.name)
        if wanted:
            return Verdict(Standing.OPEN, block - 1, chance, ledger, tuple(wanted))
        ledger = ledger.after(repeated)
        known = [b.up_to(ledger.used(b)) for b in baselines]
        standing, against = _look(candidate.up_to(block), known, terms, error, block)
        if standing is not Standing.OPEN:
            return Verdict(standing, block, chance, replace(ledger, spent=ledger.spent + error), against=against)
    raise AssertionError("the last look decides")


def _needs(baseline: Arm, count: int, before: Arm, terms: Terms, chance: float) -> bool:
    """Whether it is repeated in this block: first in any case, then until it is beaten or has had its share."""
    if baseline.dead or count >= min(len(before.repeats) + 1, terms.baseline_repeats):
        return False
    return not (count and before.repeats and better(before, baseline.up_to(count), terms.ratio, chance))


def _look(candidate: Arm, baselines: Sequence[Arm], terms: Terms, error: float, block: int) -> tuple[Standing, str]:
    """The decision after a block, and the baseline that is in the way."""
    behind = next((b for b in baselines if _falls_behind(candidate, b, terms.repeats)), None)
    if behind is not None:
        return Standing.SLO_BROKEN, behind.name
    chance, last = terms.chance(error, block), terms.chance(error, terms.repeats)
    unbeaten = [b for b in baselines if not better(candidate, b, terms.ratio, chance)]
    if block == terms.repeats and unbeaten:
        return Standing.UNPROVEN, unbeaten[0].name
    if not unbeaten and terms.may_win(block):
        return Standing.WON, ""
    prospects = {b.name: _prospect(candidate, b, terms, last) for b in unbeaten}
    worst = min(prospects, key=lambda name: prospects[name], default="")
    return (Standing.HOPELESS, worst) if worst and prospects[worst] < HOPELESS else (Standing.OPEN, "")


def better(candidate: Arm, baseline: Arm, ratio: float, error: float) -> bool:
    """Shown to be, by the figures, or by holding SLOs that the baseline breaks at a figure that is no lower."""
    if _breaks_what_is_held(candidate, baseline) or candidate.sample.mean <= 0:
        return False
    if exceeds(candidate.sample, baseline.sample, ratio, error * (1 - SLO_SHARE)):
        return True
    return _holds_more(candidate, baseline) and _has_more_headroom(candidate, baseline, error * SLO_SHARE)


def _breaks_what_is_held(candidate: Arm, baseline: Arm) -> bool:
    return baseline.slos_met > candidate.slos_met or baseline.serves_offered > candidate.serves_offered


def _holds_more(candidate: Arm, baseline: Arm) -> bool:
    return candidate.slos_met > baseline.slos_met and candidate.sample.mean >= baseline.sample.mean


def _has_more_headroom(candidate: Arm, baseline: Arm, error: float) -> bool:
    return baseline.dead or exceeds(candidate.headroom, baseline.headroom, 1.0, error)


def _falls_behind(candidate: Arm, baseline: Arm, most: int) -> bool:
    """It breaks what the baseline holds, and its remaining repeats cannot change that."""
    kinds = ((baseline.slos_met, "slo_ratio"), (baseline.serves_offered, "offered_ratio"))
    return any(held and not _may_hold([getattr(run, kind) for run in candidate.repeats], most) for held, kind in kinds)


def _may_hold(ratios: Sequence[float], most: int) -> bool:
    """Once there are as many as there may be, if all the others are perfect."""
    return _hold([*ratios, *([0.0] * (most - len(ratios)))])


def _prospect(candidate: Arm, baseline: Arm, terms: Terms, error: float) -> float:
    """Of winning over this baseline, by whichever way looks better."""
    by_figures = prospect(candidate.sample, baseline.sample, terms.ratio, error * (1 - SLO_SHARE), terms.repeats)
    if not _holds_more(candidate, baseline):
        return by_figures
    by_slos = prospect(candidate.headroom, baseline.headroom, 1.0, error * SLO_SHARE, terms.repeats)
    return max(by_figures, by_slos)
