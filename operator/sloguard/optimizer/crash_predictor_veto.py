"""Passing over configurations that would crash: only when sure, always with the reason, and now and then not at all."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from sloguard.domain.result import Values
from sloguard.domain.rules import effective

from .base import Suggestion, Veto, cut, derived_seed
from .changes import settings
from .crash_predictor import CrashPredictor
from .space import Space

VETO_ABOVE = 0.8
"""The original SLO-Guard's threshold; here the probability is calibrated, and not every predictor is believed."""

AUDITED_ASKS = 10
"""In one ask of this many, the first vetoed configuration is tried all the same: else a wrong veto would never be
found out. Its outcome teaches the next forest like any other."""

VETOES_TOLD = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The configuration to try; `note` is what a reason should say of vetoes, "" for nothing."""

    values: Values
    crash_probability: float | None = None
    vetoes: tuple[Veto, ...] = ()
    note: str = ""

    @property
    def predicted(self) -> dict[str, float]:
        """For a suggestion."""
        return {} if self.crash_probability is None else {"crash_probability": self.crash_probability}

    def suggested_for(self, reason: str) -> Suggestion:
        """With what is to be said of vetoes after the reason."""
        told = cut(f"{reason}; {self.note}") if self.note else reason
        return Suggestion(self.values, told, self.predicted, self.vetoes)


def first_not_vetoed(
    space: Space, ranked: Sequence[Values], predictor: CrashPredictor | None, seed: int, trials: int
) -> Chosen:
    """Of `ranked`, best first and not empty, the first that is not vetoed; of vetoed ones only, the least risky.

    The same seed and number of trials known always audit the same ask.
    """
    if predictor is None:
        return Chosen(ranked[0])
    risks = [float(p) for p in predictor.probabilities([effective(v, space.context) for v in ranked])]
    if not predictor.trusted:
        return Chosen(ranked[0], risks[0])
    allowed = next((i for i, risk in enumerate(risks) if risk <= VETO_ABOVE), None)
    if allowed == 0:
        return Chosen(ranked[0], risks[0])
    if derived_seed(seed, "audit", trials) % AUDITED_ASKS == 0:
        note = f"audit of a veto: tried although P(crash) is {risks[0]:.2f}, to keep the prediction honest"
        return Chosen(ranked[0], risks[0], note=note)
    if allowed is None:
        least = min(range(len(risks)), key=lambda i: (risks[i], i))
        note = f"all {len(risks)} candidates would be vetoed; this one has the lowest P(crash), {risks[least]:.2f}"
        return Chosen(ranked[least], risks[least], note=note)
    vetoes = tuple(_veto(space, ranked[i], risks[i], predictor) for i in range(allowed))
    for veto in vetoes:
        log.info("vetoed: %s", veto.reason)
    return Chosen(ranked[allowed], risks[allowed], vetoes, _told(vetoes))


def _veto(space: Space, values: Values, risk: float, predictor: CrashPredictor) -> Veto:
    reason = (
        f"{settings(space, values)}: P(crash) {risk:.2f} is above {VETO_ABOVE}, learned from {predictor.trials} trials "
        f"with a Brier skill of {predictor.skill:.2f}"
    )
    return Veto(dict(values), risk, reason)


def _told(vetoes: Sequence[Veto]) -> str:
    told = "; ".join(veto.reason for veto in vetoes[:VETOES_TOLD])
    more = f"; and {len(vetoes) - VETOES_TOLD} more" if len(vetoes) > VETOES_TOLD else ""
    return f"vetoed before it: {told}{more}"
