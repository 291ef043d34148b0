"""Whether the search may end before its budget does: nothing left is likely to win by the minimum improvement. Pure.

Goodput has an end: where the candidate about to be confirmed serves all that is offered within the SLOs, nothing can
be better at that rate. Recorded trials of real vLLM show every good configuration alike below saturation.

An optimizer that says what it expects of its suggestion says that of the best of what is left. When several asks in a
row, the one at hand among them, promise too little chance of the improvement that is worth having, the search ends and
the last one is not tried. The expectations of earlier asks stand in their trials' records. What chance is too little,
and for how many asks, was chosen by tests/bench/early_stop.py: what is saved against what is lost. An optimizer that
expects nothing in particular never stops early, and no search does so before there are trials to learn from.
"""

import math

from sloguard.api.v1alpha1 import Objective, Prediction, Purpose, StudySpec, TrialSpec
from sloguard.domain.score import at_rate
from sloguard.engine.arms import taught
from sloguard.engine.known import Known, SearchEnd

LEAST_CHANCE = 0.02
"""Of the minimum improvement; a suggestion with less is hardly worth its trial."""

ASKS = 5
"""In a row that promise less. One alone may be a step to learn from."""

LEAST_KNOWN = 12
"""Trials whose outcomes are known, production and defaults among them, before the search may stop early."""

LEAST_IMPROVEMENT = 0.01
"""What is worth having where the study's minimum is smaller."""


def stops_early(known: Known, asked: TrialSpec) -> SearchEnd | None:
    """Why the search ends with the suggestion at hand not tried; None where it goes on."""
    spec = known.study.spec
    if not spec.budget.stop_early or sum(taught(t) for t in known.latest) < LEAST_KNOWN:
        return None
    recent = _asks_in_a_row(known, asked)[-ASKS:]
    wanted = improvement_wanted(known)
    chances = [chance_of(ask.predicted, wanted) for ask in recent]
    likeliest = max((chance for chance in chances if chance is not None), default=1.0)
    if len(recent) < ASKS or None in chances or likeliest > LEAST_CHANCE or asked.predicted is None:
        return None
    return SearchEnd("StoppedEarly", _sentence(known, asked.predicted, wanted, likeliest))


def all_served(known: Known) -> SearchEnd | None:
    """Why nothing can be better than the candidate at hand; None where something may.

    Not for other objectives, and not for a closed loop, which offers the more the faster it is answered.
    """
    spec, found = known.study.spec, known.gate.candidate
    ends = spec.objective is Objective.GOODPUT and not spec.workload.closed_loop_mark
    if not spec.budget.stop_early or not ends or found is None:
        return None
    measured, least = at_rate(found, known.percent), _minimum(spec)
    if sum(taught(t) for t in known.latest) < LEAST_KNOWN or measured is None or not measured.slos_met:
        return None
    if measured.rate_percent != known.percent or measured.sent > measured.good * (1 + least):
        return None
    return SearchEnd(
        "AllServed",
        f"stopped after {known.used.trials} of {spec.budget.trials} trials: {found.name} served {measured.good} of "
        f"{measured.sent} requests at {known.percent} % of the rate within every SLO, so that nothing can be better "
        f"there by {100 * least:.0f} %; {_saving(known)}, or workload.sweepPercent to compare at higher rates",
    )


def chance_of(predicted: Prediction | None, wanted: float) -> float | None:
    """That a suggestion lives, meets all SLOs and improves on the best by the share `wanted`; None where not told."""
    if predicted is None or predicted.gain_permille is None or predicted.feasible_permille is None:
        return None
    spread = max(predicted.gain_stddev_permille or 0, 1)
    better = math.erfc((1000 * wanted - predicted.gain_permille) / spread / math.sqrt(2)) / 2
    return better * predicted.feasible_permille / 1000


def improvement_wanted(known: Known) -> float:
    """On the best so far, as a share of it: what it still lacks of a winner, or the study's minimum once more."""
    least = _minimum(known.study.spec)
    baseline, best = known.gate.baseline, known.gate.best
    if baseline is None or best is None or not best.slos_met or best.figure <= 0 or not baseline.slos_met:
        return least
    lacking = baseline.figure * (1 + least) / best.figure - 1
    return lacking if lacking > 0 else least


def _minimum(spec: StudySpec) -> float:
    return max(spec.promotion.minimum_improvement_percent / 100, LEAST_IMPROVEMENT)


def _asks_in_a_row(known: Known, asked: TrialSpec) -> list[TrialSpec]:
    """Since the last repeat, which may have changed what the best is worth."""
    since = max((t.spec.number for t in known.latest if t.spec.is_repeat), default=0)
    searched = [t.spec for t in known.latest if t.spec.purpose is Purpose.SEARCH and t.spec.number > since]
    return [*searched, asked]


def _sentence(known: Known, predicted: Prediction, wanted: float, chance: float) -> str:
    budget, used = known.study.spec.budget, known.used
    gain, spread = (predicted.gain_permille or 0) / 10, (predicted.gain_stddev_permille or 0) / 10
    return (
        f"stopped after {used.trials} of {budget.trials} trials: the best of what is left is expected at "
        f"{gain:+.1f} ± {spread:.1f} % of the best so far, and none of the last {ASKS} suggestions had more than "
        f"{100 * chance:.1f} % chance of the {100 * wanted:.1f} % that would matter; {_saving(known)}"
    )


def _saving(known: Known) -> str:
    used, gate = known.used, known.gate
    kept = gate.kept if gate.candidate is not None else gate.least_kept
    saved = known.study.spec.budget.trials - used.trials - kept
    minutes = saved * used.a_trial_gpu_seconds / 60
    return f"this saves {saved} trials, about {minutes:.0f} GPU-minutes; set budget.stopEarly to false to use them"
