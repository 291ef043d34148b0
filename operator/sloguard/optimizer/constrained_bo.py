"""Constrained Bayesian optimization: expected improvement times the probability of being feasible.

A Gaussian process for the objective, one for each SLO's log ratio and one for whether the server lives (Gardner et
al. 2014, "Bayesian Optimization with Inequality Constraints"). Crashed trials are used, by the last of them. While no
configuration met the SLOs, only the probability of meeting them counts, and the reason says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from random import Random
from typing import Any, cast

import numpy as np

from sloguard.api.v1alpha1 import Outcome
from sloguard.domain.result import Result, Values

from .base import Suggestion, derived_seed, lessons, seen_keys
from .changes import changes
from .constrained_bo_observations import Observations, Observed, observed
from .constrained_bo_surrogate import Process, expected_length_scales, fitted
from .quasi_random import first_unseen
from .rows import Rows, ordered, rows
from .scores import Score, pessimistic, scores
from .sequence import point
from .space import Key, Space
from .tba_moves import moves

START = 6
"""Configurations known or under way before anything is modelled; until then the space is covered evenly."""

SPREAD = 384
"""Points of the whole space weighed at each ask."""

NEAR = 48
"""Steps from each of the best few weighed at each ask, small and large."""

BEST_FEW = 3
NEAR_TEMPERATURES = (0.0, 0.5)

MOST_MODELLED = 80
"""Trials that a process is fitted to: the best half of them, and an even sample of the rest. 500 would take seconds."""

LEAST_MODELLED = 2


@dataclass(frozen=True, slots=True)
class _Forecast:
    """Of each candidate; `objective` is None where no figure was ever measured."""

    objective: Rows | None
    improvement: Rows
    meets_slos: Rows
    lives: Rows

    @property
    def feasible(self) -> Rows:
        return self.meets_slos * self.lives


@dataclass(frozen=True, slots=True)
class ConstrainedBO:
    """Expected improvement under constraints, by Gaussian processes."""

    space: Space
    seed: int

    def ask(self, history: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:
        taught = lessons(history)
        seen = seen_keys(self.space, taught, pending)
        if len(seen) < START or not taught:
            return self._start(seen)
        known = scores(self.space, taught)
        pool = self._pool(known, seen)
        if not pool:
            return None
        kept = _kept(known, taught, self.space)
        assumed = [(values, pessimistic(known, values).objective) for values in pending]
        forecast = self._forecast(pool, observed(self.space, kept, assumed), known)
        worth = np.round(forecast.improvement * forecast.feasible, 9)
        best = min(range(len(pool)), key=lambda i: (-worth[i], self.space.key(pool[i])))
        return Suggestion(pool[best], self._reason(pool[best], best, forecast, known), _predicted(forecast, best))

    def believed(self, history: Sequence[Result]) -> dict[int, float]:
        """See `Believer`."""
        taught = lessons(history)
        known, live = scores(self.space, taught), [r for r in taught if r.outcome is not Outcome.CRASHED]
        if len(known) < START or not live:
            return {}
        seen = observed(self.space, _kept(known, taught, self.space), [])
        forecast = self._forecast([result.parameters for result in live], seen, known)
        if forecast.objective is None:
            return {}
        worths = (np.maximum(forecast.objective, 0.0) * forecast.meets_slos).tolist()
        return {result.number: worth for result, worth in zip(live, worths, strict=True)}

    def _start(self, seen: frozenset[Key]) -> Suggestion | None:
        found = first_unseen(self.space, self.seed, seen)
        if found is None:
            return None
        reason = (
            f"Constrained BO, configuration {len(seen) + 1} of {START} that cover the search space evenly before "
            "there is enough to model"
        )
        return Suggestion(found[1], reason)

    def _pool(self, known: Sequence[Score], seen: frozenset[Key]) -> list[Values]:
        """Unseen valid configurations: points all over the space, and steps from the best known."""
        rng = Random(derived_seed(self.seed, len(known), *sorted(seen)))
        shift = rng.randrange(2**20)
        spread = (self.space.decode(point(shift + i, len(self.space.domains), self.seed)) for i in range(SPREAD))
        found = {self.space.key(values): values for values in spread if self.space.broken(values) is None}

        def fresh(values: Values) -> bool:
            return self.space.key(values) not in seen

        for score in sorted(known, key=lambda score: score.rank)[:BEST_FEW]:
            for temperature in NEAR_TEMPERATURES:
                near = moves(self.space, score.parameters, temperature, NEAR // 2, fresh, rng)
                found.update((self.space.key(values), values) for values in near)
        pool: list[Values] = [values for key, values in found.items() if key not in seen]
        if pool:
            return pool
        left = self.space.nearest_unseen({}, seen)
        return [] if left is None else [left]

    def _forecast(self, pool: Sequence[Values], known: Observations, tried: Sequence[Score]) -> _Forecast:
        x, lengths = rows(self.space, pool), expected_length_scales(ordered(self.space))
        meets = np.ones(len(pool))
        for slo in known.slos:
            process = _process(slo, lengths)
            if process is not None:
                mean, deviation = process.predict(x)
                meets *= _normal_cdf(-mean / deviation)
        death, doubt = fitted(known.death.x, known.death.y, lengths, centred=False).predict(x)
        lives = _normal_cdf(-death / np.sqrt(doubt**2 + 0.1))
        objective = _process(known.objective, lengths)
        if objective is None:
            return _Forecast(None, np.ones(len(pool)), meets, lives)
        mean, deviation = objective.predict(x)
        feasible = [score.parameters for score in tried if score.feasible]
        if not feasible:
            return _Forecast(mean, np.ones(len(pool)), meets, lives)
        best = float(np.max(objective.predict(rows(self.space, feasible))[0]))
        return _Forecast(mean, _expected_improvement(mean, deviation, best), meets, lives)

    def _reason(self, values: Values, index: int, forecast: _Forecast, known: Sequence[Score]) -> str:
        chances = (
            f"P(SLOs met) {forecast.meets_slos[index]:.2f} and P(server lives) {forecast.lives[index]:.2f}, by "
            f"Gaussian processes of {len(known)} configurations"
        )
        if any(score.feasible for score in known):
            why = (
                f"Constrained BO: expected improvement of the objective {forecast.improvement[index]:.4g} at {chances}"
            )
        else:
            why = f"Constrained BO: none of {len(known)} met the SLOs, so the most likely to meet them: {chances}"
        best = min(known, key=lambda score: score.rank)
        return f"{why}; against the best so far: {changes(self.space, best.parameters, values)}"


def _process(known: Observed, lengths: Rows) -> Process | None:
    return fitted(known.x, known.y, lengths) if len(known.y) >= LEAST_MODELLED else None


def _kept(known: Sequence[Score], taught: Sequence[Result], space: Space) -> list[Result]:
    """The trials of the best configurations and an even sample of the others, in the order of their numbers."""
    if len(known) <= MOST_MODELLED:
        return list(taught)
    ranked = sorted(known, key=lambda score: score.rank)
    best, others = ranked[: MOST_MODELLED // 2], ranked[MOST_MODELLED // 2 :]
    wanted = MOST_MODELLED - len(best)
    sampled = [others[i * len(others) // wanted] for i in range(wanted)]
    keys = {space.key(score.parameters) for score in (*best, *sampled)}
    return [result for result in taught if space.key(result.parameters) in keys]


def _expected_improvement(mean: Rows, deviation: Rows, best: float) -> Rows:
    """E[max(objective - best, 0)], in the objective's unit."""
    z = (mean - best) / deviation
    return deviation * (z * _normal_cdf(z) + np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi))


def _normal_cdf(z: Rows) -> Rows:
    return cast("Any", import_module("scipy.special")).ndtr(z)


def _predicted(forecast: _Forecast, index: int) -> dict[str, float]:
    predicted = {
        "crash_probability": float(1.0 - forecast.lives[index]),
        "feasible_probability": float(forecast.feasible[index]),
    }
    if forecast.objective is not None:
        predicted["objective"] = float(forecast.objective[index])
        predicted["expected_improvement"] = float(forecast.improvement[index])
    return {quantity: round(figure, 6) for quantity, figure in predicted.items()}
