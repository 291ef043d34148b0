"""Which candidate is contested first: what the search's model believes of each, not one lucky figure. Pure.

The best of many noisy figures is a lucky one (the winner's curse), and its repeats then show less. A model of all
trials knows a configuration's neighbours as well, and takes its figure for what it is. This is worth an ask's time, so
that it is worked out only when a first repeat, or a recommendation without any, is about to be made.
"""

from collections.abc import Mapping
from dataclasses import replace

from sloguard.domain.ledger import EMPTY
from sloguard.engine import candidates
from sloguard.engine.arms import begun_with
from sloguard.engine.gate import judge
from sloguard.engine.known import Ground, Known
from sloguard.optimizer import believed, make_optimizer


def believing(known: Known, ground: Ground) -> Known:
    """The same with the gate's next candidate chosen by belief; one that is being repeated or soaked is kept."""
    candidate = known.gate.candidate or (known.gate.winner.trial if known.gate.winner else None)
    if candidate is None or begun_with(candidate, known.latest):
        return known
    gate = judge(known.study.spec, known.latest, known.percent, beliefs(known, ground))
    return replace(known, gate=gate)


def beliefs(known: Known, ground: Ground) -> Mapping[int, float]:
    """By trial number; empty where the study's optimizer has no model."""
    study = known.study
    optimizer = make_optimizer(
        study.spec.optimizer.name, ground.space, candidates.study_seed(study), ground.ledger or EMPTY
    )
    return believed(optimizer, candidates.history(study, known.latest, known.percent))
