"""What the optimizer expected of its trials against what came of them, as one sentence."""

from collections.abc import Sequence
from statistics import median

from sloguard.api.v1alpha1 import Objective, Outcome, Prediction, Trial
from sloguard.domain.score import MEASURED, figure_of, holds


def expectations(trials: Sequence[Trial], objective: Objective, percent: int) -> str:
    """Over the finished trials of the search; "" where nothing was expected of any."""
    asked = [(t.spec.predicted, t) for t in trials if t.spec.predicted is not None and t.status.outcome in _TAUGHT]
    told = [_objective(asked, objective, percent), _crashes(asked), _feasible(asked, objective, percent)]
    vetoed = sum(predicted.vetoes for predicted, _ in asked)
    told.append(f"{vetoed} configurations vetoed as sure to crash" if vetoed else "")
    return "; ".join(part for part in told if part)


_Asked = Sequence[tuple[Prediction, Trial]]
_TAUGHT = MEASURED | {Outcome.CRASHED}


def _objective(asked: _Asked, objective: Objective, percent: int) -> str:
    """Of those within the SLOs, which is what an objective is expected for."""
    pairs = [
        (predicted.objective, figure_of(trial, objective, percent))
        for predicted, trial in asked
        if trial.status.outcome in MEASURED and holds(trial, objective, percent)
    ]
    off = [abs(figure / expected - 1) for expected, figure in pairs if expected and figure is not None]
    return f"the objective came within {100 * median(off):.0f} % (median of {len(off)} trials)" if off else ""


def _crashes(asked: _Asked) -> str:
    known = [(p.crash_permille, t) for p, t in asked if p.crash_permille is not None]
    came = sum(trial.status.outcome is Outcome.CRASHED for _, trial in known)
    expected = sum(permille for permille, _ in known) / 1000
    return f"{expected:.1f} crashes expected, {came} came" if known else ""


def _feasible(asked: _Asked, objective: Objective, percent: int) -> str:
    known = [(p.feasible_permille, t) for p, t in asked if p.feasible_permille is not None]
    came = sum(t.status.outcome in MEASURED and holds(t, objective, percent) for _, t in known)
    expected = sum(permille for permille, _ in known) / 1000
    return f"{expected:.1f} of {len(known)} within the SLOs expected, {came} were" if known else ""
