"""margin-bo without one of its sources of information each: what every one is worth.

The product has no switches for this: results are stripped before it sees them, or one part of it stands aside.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from unittest.mock import patch

import numpy as np

from sloguard.domain.result import Result, Values
from sloguard.optimizer import Space, Suggestion
from sloguard.optimizer.margin_bo import MarginBO, blame, regression, survival
from sloguard.optimizer.margin_bo.regression import fit

BROKEN, HELD = 1.5, 0.67
"""What is told of an SLO, measured over limit, where its figure is kept back."""

ONE_COST_SECONDS = 120.0


@dataclass(frozen=True)
class Ablation:
    """margin-bo with something taken away."""

    space: Space
    seed: int

    def ask(self, history: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:
        with ExitStack() as stack:
            for part in self.aside():
                stack.enter_context(part)
            return MarginBO(self.known(self.space), self.seed).ask([self.told(r) for r in history], pending)

    def believed(self, history: Sequence[Result]) -> Mapping[int, float]:
        with ExitStack() as stack:
            for part in self.aside():
                stack.enter_context(part)
            return MarginBO(self.known(self.space), self.seed).believed([self.told(r) for r in history])

    def told(self, result: Result) -> Result:
        """What is left of a result."""
        return result

    def known(self, space: Space) -> Space:
        """What is left of the space's knowledge."""
        return space

    def aside(self) -> Sequence[AbstractContextManager[object]]:
        """Parts of margin-bo that stand aside."""
        return ()


class WithoutMargins(Ablation):
    """No margin of a server that started; messages of those that did not are still read."""

    def told(self, result):
        return replace(result, margins=None)


class WithoutFree(Ablation):
    """The log's figures alone, as where neither NVML nor DCGM can be asked: no free memory under load."""

    def told(self, result):
        unknown = {"least_free_device_memory_bytes": None, "device_memory_bytes": None}
        return replace(result, margins=result.margins and result.margins.model_copy(update=unknown))


class WithoutLimits(Ablation):
    """No figures out of failure messages; the class of the crash stays."""

    def told(self, result):
        return replace(result, crash=result.crash and result.crash.model_copy(update={"proof": None, "cause": ""}))


class WithoutRules(Ablation):
    """vLLM's argument rules are not known: what breaks one is a start that fails."""

    def known(self, space):
        return RulelessSpace(space.domains, space.conditions, space.context, space.notes)


class RulelessSpace(Space):
    """In which every combination of values may be tried."""

    def broken(self, values: Values) -> str | None:  # noqa: ARG002 - that is the point
        return None


class WithoutPhysics(Ablation):
    """The memory models are learnt from nothing: signs and sizes of what takes memory are not known before."""

    def aside(self):
        return (patch.object(regression, "fit", _fit_from_nothing),)


def _fit_from_nothing(observed, prior):
    return fit(observed, replace(prior, mean=np.zeros_like(prior.mean), sd=np.abs(prior.mean) + 5 * prior.sd))


class WithoutKnownPoints(Ablation):
    """Production and the defaults are not measured first."""

    starts_cold = True


class WithoutFigures(Ablation):
    """Of each SLO only whether it held, not how far from the limit it was."""

    def told(self, result):
        return replace(result, violation_ratios=tuple(BROKEN if r > 1 else HELD for r in result.violation_ratios))


class WithoutBlame(Ablation):
    """Crashes that memory does not explain are blamed on nothing."""

    def aside(self):
        return (patch.object(survival, "accuse", lambda *_, **__: blame.NOBODY),)


class WithoutCurves(Ablation):
    """Of a trial that measured several rates only the one that counts."""

    def told(self, result):
        return replace(result, curve=())


class WithoutBelief(Ablation):
    """The best measured figure is recommended, not what the surrogates make of it."""

    def believed(self, history):  # noqa: ARG002 - whatever was measured
        return {}


class WithoutCost(Ablation):
    """Every trial is said to have cost the same."""

    def told(self, result):
        return replace(result, gpu_seconds=ONE_COST_SECONDS)


class LabelsAlone(Ablation):
    """Crashed, broke an SLO or held them, and the objective: nothing else, from a cold start."""

    starts_cold = True
    PARTS = (WithoutRules, WithoutPhysics, WithoutFigures, WithoutCost)

    def told(self, result):
        for part in self.PARTS:
            result = part(self.space, self.seed).told(result)
        return replace(result, margins=None, crash=None)

    def known(self, space):
        return WithoutRules(space, self.seed).known(space)

    def aside(self):
        return WithoutPhysics(self.space, self.seed).aside()
