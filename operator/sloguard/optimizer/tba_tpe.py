"""TBA-TPE: annealing maps where servers live and meet the SLOs, then TPE takes over with all that is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from sloguard.api.v1alpha1 import Outcome
from sloguard.domain.ledger import EMPTY, Ledger
from sloguard.domain.result import Result, Values

from .base import Suggestion, lessons, seen_keys
from .crash_predictor import study_predictor
from .crash_predictor_veto import first_not_vetoed
from .scores import scores
from .space import Space
from .tba import TBA
from .tpe import TPE

TRIALS = 6
FEASIBLE = 5
BAD = 3
LATEST = 12
"""The original's fractions of a budget, of one of 30 trials: what is tried must not depend on how long the search may
go on, else raising a budget would change the past."""

OFFERED = 4
"""Configurations asked of TPE at each ask, so that the crash predictor has something to choose from."""


@dataclass(frozen=True, slots=True)
class TBATPE:
    """TBA until enough is known, TPE with the whole history from then on."""

    space: Space
    seed: int
    ledger: Ledger = EMPTY

    def ask(self, history: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:
        taught = lessons(history)
        if not handed_over(taught):
            return TBA(self.space, self.seed, self.ledger).ask(history, pending)
        return self._from_tpe(taught, pending)

    def _from_tpe(self, taught: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:
        tpe = TPE(self.space, self.seed)
        known = scores(self.space, taught)
        drawn = list(islice(tpe.drawn(known, pending, seen_keys(self.space, taught, pending)), OFFERED))
        if not drawn:
            return None
        predictor = study_predictor(self.space, taught, self.ledger, self.seed)
        chosen = first_not_vetoed(self.space, drawn, predictor, self.seed, len(taught))
        reason = f"Handed over from annealing after {len(taught)} trials. {tpe.reason(chosen.values, known)}"
        return chosen.suggested_for(reason)


def handed_over(taught: Sequence[Result]) -> bool:
    """Whether TPE has enough to go on: trials, feasible ones and bad ones, or simply many trials."""
    feasible = sum(result.outcome is Outcome.FEASIBLE for result in taught)
    enough = len(taught) >= TRIALS and feasible >= FEASIBLE and len(taught) - feasible >= BAD
    return enough or len(taught) >= LATEST
