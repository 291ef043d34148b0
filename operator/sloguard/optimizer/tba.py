"""TBA: annealing that learns from crashes.

A chain walks from one configuration to the next, first towards fewer broken SLOs, then towards a higher objective.
What it has seen bends its steps: values that kept crashing are left alone for a while, a forest's word on feasibility
counts once it has proved itself on trials it was not shown, and with enough feasible configurations steps are drawn
from where the good ones lie. Rebuilt from the history at each ask.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

import numpy as np

from sloguard.domain.ledger import EMPTY, Ledger
from sloguard.domain.result import Result, Values

from .base import Suggestion, cut, derived_seed, lessons, seen_keys
from .blacklist import Blacklist, blacklist
from .changes import changes
from .crash_predictor import CrashPredictor, study_predictor
from .crash_predictor_veto import Chosen, first_not_vetoed
from .forest import Forest, grown
from .kde import Parzen, places
from .quasi_random import first_unseen
from .rows import Rows, rows
from .scores import Score, crash_violation, pessimistic, scores
from .sequence import point
from .space import Key, Space
from .tba_chain import WORST_FEASIBLE, Chain, energies_of, replayed
from .tba_moves import moves

START = 7
"""Configurations known or under way before the chain walks: production, the defaults and five that cover the space."""

OFFERED_AT_START = 6
"""Points of the cover that the crash predictor may choose from."""

POOL = 40
"""Moves weighed against each other at each ask."""

DRAWS = 40
"""Draws from where good configurations lie, beside the moves."""

OPTIMISM = 1.5
"""Standard deviations between the forecast energy and the one that a configuration is credited with, when hottest."""

CHANCE = 0.5
"""Log-density that chance is worth when the chain is hottest."""

LEAPS = 40
"""Points all over the space, beside the moves, once a surrogate is trusted to tell which of them is worth a leap."""

FEASIBLE_FOR_DENSITY = 8

GOOD_SHARE = 0.25
LEAST_GOOD = 3

TRUSTED_SKILL = 0.1
"""Out of bag; a forest below it is not asked."""

ENERGY_WEIGHT = 8.0
"""Log-density that all of the energy between the best feasible configuration and one that serves nothing is worth."""


@dataclass(frozen=True, slots=True)
class TBA:
    """Crash-aware annealing."""

    space: Space
    seed: int
    ledger: Ledger = EMPTY

    def ask(self, history: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:
        taught = lessons(history)
        seen = seen_keys(self.space, taught, pending)
        if len(seen) < START:
            return self._start(taught, seen)
        return _Step(self, tuple(taught), tuple(pending), seen).suggestion()

    def _start(self, taught: Sequence[Result], seen: frozenset[Key]) -> Suggestion | None:
        """The next point of an even cover that earlier studies do not warn of."""
        offered = list(self._cover(seen))
        if not offered:
            return None
        predictor = study_predictor(self.space, taught, self.ledger, self.seed)
        chosen = first_not_vetoed(self.space, offered, predictor, self.seed, len(taught))
        reason = f"TBA, configuration {len(seen) + 1} of {START} that cover the search space evenly before it anneals"
        return chosen.suggested_for(reason)

    def _cover(self, seen: frozenset[Key]) -> Iterator[Values]:
        for _ in range(OFFERED_AT_START):
            found = first_unseen(self.space, self.seed, seen)
            if found is None:
                return
            yield found[1]
            seen |= {self.space.key(found[1])}


@dataclass(frozen=True)
class _Step:
    """One ask past the start, with all that it rests on."""

    tba: TBA
    taught: tuple[Result, ...]
    pending: tuple[Values, ...]
    seen: frozenset[Key]

    @property
    def space(self) -> Space:
        return self.tba.space

    @cached_property
    def seed(self) -> int:
        return derived_seed(self.tba.seed, len(self.taught), *sorted(self.seen))

    @cached_property
    def known(self) -> list[Score]:
        return scores(self.space, self.taught)

    @cached_property
    def assumed(self) -> list[Score]:
        """Of the trials under way, so that the forests lead a parallel ask elsewhere."""
        ordered = sorted(self.pending, key=self.space.key)
        return [pessimistic(self.known, values) for values in ordered]

    @cached_property
    def feasible(self) -> list[Score]:
        return sorted((score for score in self.known if score.feasible), key=lambda score: score.rank)

    @cached_property
    def chain(self) -> Chain:
        return replayed(self.known, self._worst_violation, START, self.tba.seed)

    @property
    def _worst_violation(self) -> float:
        return crash_violation(max((len(result.violation_ratios) for result in self.taught), default=1) or 1)

    @cached_property
    def bans(self) -> Blacklist:
        return blacklist(self.space, self.taught)

    @cached_property
    def predictor(self) -> CrashPredictor | None:
        return study_predictor(self.space, self.taught, self.tba.ledger, self.tba.seed)

    @cached_property
    def feasibility(self) -> Forest | None:
        """Forecasts how likely all SLOs are met; a crash is a miss."""
        told = [*self.known, *self.assumed]
        return self._trusted(told, [float(score.feasible) for score in told])

    @cached_property
    def energy(self) -> Forest | None:
        """Forecasts the chain's energy: crashes, broken SLOs and the objective in one figure, all trials used."""
        told = [*self.known, *self.assumed]
        return self._trusted(told, energies_of(told, self._worst_violation))

    def _trusted(self, told: Sequence[Score], targets: Sequence[float]) -> Forest | None:
        forest = grown(rows(self.space, [score.parameters for score in told]), np.array(targets), self.tba.seed)
        return forest if forest is not None and forest.skill >= TRUSTED_SKILL else None

    @cached_property
    def dense(self) -> tuple[Parzen, Parzen] | None:
        """Where the good and where the other feasible configurations lie."""
        if len(self.feasible) < FEASIBLE_FOR_DENSITY:
            return None
        good = max(LEAST_GOOD, round(GOOD_SHARE * len(self.feasible)))
        points = [score.parameters for score in self.feasible]
        return Parzen(self.space, points[:good]), Parzen(self.space, points[good:])

    def suggestion(self) -> Suggestion | None:
        pool = self._pool()
        if not pool:
            return None
        chosen = first_not_vetoed(self.space, self._ranked(pool), self.predictor, self.tba.seed, len(self.taught))
        predicted = self._predicted(chosen)
        return Suggestion(chosen.values, self._reason(chosen, predicted), predicted, chosen.vetoes)

    def _pool(self) -> list[Values]:
        """Unseen valid configurations outside the blacklist; where there are none, inside it."""
        rng = Random(self.seed)
        around = self._current
        for allowed in (self._unseen_and_not_banned, self._unseen):
            pool: list[Values] = list(moves(self.space, around, self.chain.temperature, POOL, allowed, rng))
            if self.dense is not None:
                drawn = (self.dense[0].draw(rng) for _ in range(DRAWS))
                pool += [v for v in drawn if self.space.broken(v) is None and allowed(v)]
            if self.energy is not None:
                pool += [v for v in self._afar(rng) if self.space.broken(v) is None and allowed(v)]
            if pool:
                return pool
        nearest = self.space.nearest_unseen(around, self.seen)
        return [] if nearest is None else [nearest]

    def _afar(self, rng: Random) -> Iterator[Values]:
        """Points all over the space, for a trusted surrogate to leap to."""
        shift = rng.randrange(2**20)
        return (self.space.decode(point(shift + i, len(self.space.domains), self.tba.seed)) for i in range(LEAPS))

    @property
    def _current(self) -> Values:
        return {} if self.chain.current is None else self.known[self.chain.current].parameters

    def _unseen(self, values: Values) -> bool:
        return self.space.key(values) not in self.seen

    def _unseen_and_not_banned(self, values: Values) -> bool:
        return self._unseen(values) and self.bans.ban_on(values) is None

    def _ranked(self, pool: Sequence[Values]) -> list[Values]:
        """Best first; the hotter the chain, the more chance has its say."""
        rng = Random(derived_seed(self.seed, "rank"))
        gumbel = np.array([-np.log(-np.log(rng.random() or 0.5)) for _ in pool])
        worth = np.round(self._worth(pool) + CHANCE * self.chain.temperature * gumbel, 9)
        return [pool[i] for i in sorted(range(len(pool)), key=lambda i: (-worth[i], i))]

    def _worth(self, pool: Sequence[Values]) -> Rows:
        """Log-density of good over other configurations, plus the log of P(feasible), minus the forecast energy.

        The hotter the chain, the more a configuration is given the benefit of the trees' doubt.
        """
        worth = np.zeros(len(pool))
        if self.dense is not None:
            at = places(self.space, pool)
            worth += self.dense[0].log_density(at) - self.dense[1].log_density(at)
        table = rows(self.space, pool)
        if self.feasibility is not None:
            worth += np.log(np.clip(self.feasibility.predict(table), 0.01, 1.0))
        if self.energy is not None:
            optimism = OPTIMISM * self.chain.temperature * self.energy.spread(table)
            worth -= ENERGY_WEIGHT * (self.energy.predict(table) - optimism)
        return worth

    def _predicted(self, chosen: Chosen) -> dict[str, float]:
        predicted = chosen.predicted
        table = rows(self.space, [chosen.values])
        if self.feasibility is not None:
            predicted["feasible_probability"] = round(float(self.feasibility.predict(table)[0]), 9)
        if self.energy is not None and self.feasible:
            energy, best = float(self.energy.predict(table)[0]), self.feasible[0].objective
            if energy < WORST_FEASIBLE:
                predicted["objective"] = round(best - energy * abs(best), 6)
        return predicted

    def _reason(self, chosen: Chosen, predicted: Mapping[str, float]) -> str:
        aim = "towards a higher objective" if self.feasible else "towards the SLOs, which nothing has met yet"
        step = changes(self.space, self._current, chosen.values)
        told = [f"TBA at temperature {self.chain.temperature:.2f} anneals {aim}; against where it stands: {step}"]
        chances = (("P(crash)", "crash_probability"), ("P(SLOs met)", "feasible_probability"))
        told += [f"{name} {predicted[quantity]:.2f}" for name, quantity in chances if quantity in predicted]
        if chosen.note:
            told.append(chosen.note)
        ban = self.bans.ban_on(chosen.values)
        if ban is not None:
            told.append(f"the blacklist leaves nothing else: {self.bans.sentence(ban)}")
        elif self.bans.bans:
            told.append(f"{len(self.bans.bans)} values or pairs that kept crashing are left alone")
        return cut("; ".join(told))
