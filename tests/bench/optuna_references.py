"""Optuna as it comes, which knows nothing of vLLM: what any user could have had instead."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import create_trial

from sloguard.api.v1alpha1 import Outcome
from sloguard.domain.result import VIOLATION_CAP, Result, Value, Values
from sloguard.domain.rules import effective
from sloguard.optimizer import Space, Suggestion
from sloguard.optimizer.domains import Domain
from tests.bench.torch_cache import import_torch

REJECTIONS = 12
"""Draws that break vLLM's argument rules before one is tried all the same."""

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True)
class OptunaReference:
    """A sampler of Optuna's, asked anew each time with all that is known."""

    space: Space
    seed: int

    def ask(self, history: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:  # noqa: ARG002 - asks are sequential here
        study = optuna.create_study(direction="maximize", sampler=self.sampler(self.seed + len(history)))
        worst = min((r.objective for r in history if r.objective is not None), default=0.0)
        study.add_trials([self._told(result, worst) for result in history])
        return Suggestion(self._drawn(study), "optuna")

    def sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        raise NotImplementedError

    def value(self, result: Result, worst: float) -> float:
        """What is to be made large; `worst` is the lowest figure that was measured."""
        return worst if result.objective is None else result.objective

    def constraints(self, result: Result) -> dict[str, float]:
        """How far over the limit, by SLO; all as far as counts where the server crashed."""
        if result.outcome is Outcome.CRASHED:
            return {"slos": math.log(VIOLATION_CAP)}
        return {"slos": max(math.log(max(ratio, 1e-9)) for ratio in result.violation_ratios)}

    def _drawn(self, study: optuna.Study) -> dict[object, Value]:
        values: dict[object, Value] = {}
        for _ in range(REJECTIONS):
            values = self.suggested(study.ask())
            if self.space.broken(values) is None:
                break
        return values

    def suggested(self, trial: optuna.Trial) -> dict[object, Value]:
        values = {}
        for name in self.space.parents_first:
            domain = self.space.domains[name]
            if domain.scale is not None:
                values[name] = domain.at(trial.suggest_float(name.value, 0.0, 1.0))
            else:
                texts = {str(value): value for value in domain.values}
                values[name] = texts[trial.suggest_categorical(name.value, tuple(texts))]
        return self.space.restricted(values)

    def _told(self, result: Result, worst: float) -> optuna.trial.FrozenTrial:
        known = effective(result.parameters, self.space.context)
        params = {domain.name: _told(domain, known.get(domain.name)) for domain in self.space.domains.values()}
        return create_trial(
            value=self.value(result, worst),
            params={name.value: told for name, told in params.items()},
            distributions={name.value: _distribution(self.space.domains[name]) for name in params},
            constraints=self.constraints(result),
        )


class Independent(OptunaReference):
    """TPE, each knob by itself, with one figure to maximise: minus the violation where an SLO broke.

    It has no rules: what vLLM would refuse costs a start that fails.
    """

    def sampler(self, seed):
        return optuna.samplers.TPESampler(seed=seed, multivariate=False)

    def value(self, result, worst):
        if result.outcome is Outcome.FEASIBLE:
            return super().value(result, worst)
        return -super().constraints(result)["slos"]

    def constraints(self, result):
        del result
        return {}

    def _drawn(self, study):
        return self.suggested(study.ask())


class Multivariate(OptunaReference):
    """TPE with Optuna 5's defaults (multivariate), the worst SLO as constraint; what breaks a rule is drawn again."""

    def sampler(self, seed):
        return optuna.samplers.TPESampler(seed=seed)


class GaussianProcess(OptunaReference):
    """Optuna's GPSampler with the worst SLO as constraint; what breaks a rule is drawn again. It needs torch."""

    def sampler(self, seed):
        import_torch().set_num_threads(1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return optuna.samplers.GPSampler(seed=seed)


def _distribution(domain: Domain) -> BaseDistribution:
    if domain.scale is not None:
        return FloatDistribution(0.0, 1.0)
    return CategoricalDistribution(tuple(str(value) for value in domain.values))


def _told(domain: Domain, value: Value | None) -> float | str:
    """Optuna models only what all trials have: what a baseline leaves unset has to be told as something."""
    if domain.scale is None:
        return str(domain.values[0] if value is None else value)
    place = None if value is None else domain.place(value)
    return 0.5 if place is None else min(max(place, 0.0), 1.0)
