"""Optimizers to be measured against that sloguard does not offer: Optuna as it comes, knowing no rules of vLLM's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from sloguard.domain.result import Result, Values
from sloguard.optimizer import Optimizer, Space, Suggestion
from sloguard.optimizer.margin_bo import MarginBO
from sloguard.optimizer.scores import scores

REJECTIONS = 12


@dataclass(frozen=True)
class Multivariate:
    """TPE with Optuna's own defaults (multivariate since 5.0), the violations as constraints.

    Configurations that break vLLM's argument rules are drawn again: a trial cannot express them here.
    """

    space: Space
    seed: int

    def ask(self, history: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:  # noqa: ARG002 - asks are sequential here
        sampler = optuna.samplers.TPESampler(seed=self.seed + len(history))
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for score in scores(self.space, history):
            params = {
                name: self.space.domains[name].place(value)
                if self.space.domains[name].scale is not None
                else str(value)
                for name, value in self.space.restricted(score.parameters).items()
            }
            study.add_trial(
                create_trial(
                    value=score.objective,
                    params={name.value: place for name, place in params.items()},
                    distributions={name.value: _distribution(self.space, name) for name in params},
                    constraints={"slos": score.violation},
                )
            )
        for _ in range(REJECTIONS):
            trial = study.ask()
            values = {}
            for name in self.space.parents_first:
                domain = self.space.domains[name]
                if domain.scale is not None:
                    values[name] = domain.at(trial.suggest_float(name.value, 0.0, 1.0))
                else:
                    texts = {str(value): value for value in domain.values}
                    values[name] = texts[trial.suggest_categorical(name.value, tuple(texts))]
            values = self.space.restricted(values)
            if self.space.broken(values) is None:
                break
        return Suggestion(values, "optuna")


def _distribution(space: Space, name: object) -> BaseDistribution:
    domain = space.domains[name]
    if domain.scale is not None:
        return FloatDistribution(0.0, 1.0)
    return CategoricalDistribution(tuple(str(value) for value in domain.values))


@dataclass(frozen=True)
class WithoutMargins:
    """margin-bo that is told what crashed and how fast the others were, but nothing of memory: an ablation."""

    space: Space
    seed: int

    def ask(self, history: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:
        return MarginBO(self.space, self.seed).ask([replace(r, margins=None, crash=None) for r in history], pending)


REFERENCES: Mapping[str, Callable[[Space, int], Optimizer]] = {
    "optuna-tpe": Multivariate,
    "margin-bo-blind": WithoutMargins,
}
