"""Tree-structured Parzen estimator, by Optuna, with crashes and SLOs as constraints.

Optuna's study is rebuilt from the history at each ask and thrown away: nothing to store, nothing to lose.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, create_trial

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.knobs import value_text
from sloguard.domain.result import Result, Value, Values
from sloguard.domain.rules import effective

from .base import Suggestion, derived_seed, lessons, seen_keys
from .changes import changes
from .domains import Domain
from .quasi_random import first_unseen
from .scores import Score, pessimistic, scores
from .space import Key, Space

optuna.logging.set_verbosity(optuna.logging.WARNING)

STARTUP = 8
"""Configurations known or under way before Optuna is asked; until then the space is covered evenly."""

DRAWS = 12
"""Suggestions asked of Optuna before the nearest valid unseen configuration is taken instead: it knows no rules."""


@dataclass(frozen=True, slots=True)
class TPE:
    """Values that good configurations share and bad ones do not, knob by knob.

    Independent, although Optuna 5 would take the multivariate form: on five of six made-up servers (6 to 13 knobs,
    12 to 16 seeds, 30 trials) it served 2 to 5 % more and crashed 2 to 6 points less; on the sixth, which has a
    crashing pair, it served 20 % less. More candidates (64) or another start (5 or 12) made no difference.
    """

    space: Space
    seed: int

    def ask(self, history: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:
        taught = lessons(history)
        seen = seen_keys(self.space, taught, pending)
        known = scores(self.space, taught)
        if len(seen) < STARTUP:
            return self._start(seen)
        drawn = next(self.drawn(known, pending, seen), None)
        return None if drawn is None else Suggestion(drawn, self.reason(drawn, known))

    def _start(self, seen: Collection[Key]) -> Suggestion | None:
        found = first_unseen(self.space, self.seed, seen)
        if found is None:
            return None
        return Suggestion(
            found[1],
            f"TPE, configuration {len(seen) + 1} of {STARTUP} that cover the search space evenly before there is "
            "enough to learn from",
        )

    def drawn(
        self, known: Sequence[Score], pending: Sequence[Values], seen: Collection[Key]
    ) -> Iterator[dict[KnobName, Value]]:
        """Different valid configurations that are not in `seen`, one at least where there is one left."""
        assumed = [pessimistic(known, values) for values in pending]
        study = self._study([*known, *assumed], derived_seed(self.seed, len(known) + len(assumed), *sorted(seen)))
        passed_over, values = set(seen), dict[KnobName, Value]()
        for _ in range(DRAWS):
            values = self._draw(study)
            if self.space.broken(values) is None and self.space.key(values) not in passed_over:
                passed_over.add(self.space.key(values))
                yield values
        nearest = self.space.nearest_unseen(values, passed_over)
        if nearest is not None and len(passed_over) == len(seen):
            yield nearest

    def _study(self, known: Sequence[Score], seed: int) -> optuna.Study:
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=False, n_startup_trials=0, constant_liar=False)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.add_trials([self._trial(score) for score in known])
        return study

    def _trial(self, score: Score) -> FrozenTrial:
        values = self.space.restricted(effective(score.parameters, self.space.context))
        places = {name: _place(self.space.domains[name], value) for name, value in values.items()}
        told = {name: place for name, place in places.items() if place is not None}
        return create_trial(
            value=score.objective,
            params={name.value: place for name, place in told.items()},
            distributions={name.value: _distribution(self.space.domains[name]) for name in told},
            constraints={"slos": score.violation},
        )

    def _draw(self, study: optuna.Study) -> dict[KnobName, Value]:
        trial = study.ask()
        values: dict[KnobName, Value] = {}
        for name in self.space.parents_first:
            if self.space.is_active(name, values):
                domain = self.space.domains[name]
                values[name] = _suggested(trial, domain)
        return self.space.restricted(values)

    def reason(self, values: Values, known: Sequence[Score]) -> str:
        """Why TPE comes up with these values."""
        best = min(known, key=lambda score: score.rank, default=None)
        met = sum(score.feasible for score in known)
        if met:
            why = f"TPE: like the best of {len(known)} configurations known ({met} met the SLOs) and unlike the others"
        else:
            why = f"TPE: none of {len(known)} configurations known met the SLOs; like those that came nearest"
        return (
            why if best is None else f"{why}; against the best so far: {changes(self.space, best.parameters, values)}"
        )


def _distribution(domain: Domain) -> BaseDistribution:
    """Numbers by their place on their own scale, so that steps are equal in ratio where the knob is logarithmic."""
    if domain.scale is None:
        return CategoricalDistribution(tuple(value_text(value) for value in domain.values))
    return FloatDistribution(0.0, 1.0)


def _place(domain: Domain, value: Value) -> float | str | None:
    place = domain.place(value)
    if place is None or domain.scale is not None:
        return place
    return value_text(value)


def _suggested(trial: optuna.Trial, domain: Domain) -> Value:
    if domain.scale is not None:
        return domain.at(trial.suggest_float(domain.name.value, 0.0, 1.0))
    texts = {value_text(value): value for value in domain.values}
    return texts[trial.suggest_categorical(domain.name.value, tuple(texts))]
