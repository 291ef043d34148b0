"""What a study has used and whether there is enough left for another trial. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from sloguard.api.v1alpha1 import Outcome, Purpose, StudySpec, Trial
from sloguard.engine.progress import held_gpu_seconds
from sloguard.engine.snapshot import Snapshot

MEASURED = {Outcome.FEASIBLE, Outcome.INFEASIBLE}


@dataclass(frozen=True, slots=True)
class Spent:
    """Used so far; `gpu_seconds` includes failed attempts and those under way."""

    trials: int
    gpu_seconds: float
    wall_clock_seconds: float
    a_trial_gpu_seconds: float


def spent(snapshot: Snapshot, trials: Iterable[Trial], latest: list[Trial], gpus: int, now: datetime) -> Spent:
    """Trials are numbers, not attempts: a retry after infrastructure's fault costs none."""
    everything = list(trials)
    held = sum(held_gpu_seconds(snapshot.observation(t), gpus, now) for t in everything if t.status.gpu_seconds is None)
    done = sum(t.status.gpu_seconds or 0 for t in everything)
    measured = [t.status.gpu_seconds or 0 for t in everything if t.status.outcome in MEASURED]
    started = snapshot.study.status.started_at
    return Spent(
        trials=len(latest),
        gpu_seconds=done + held,
        wall_clock_seconds=(now - started).total_seconds() if started else 0.0,
        a_trial_gpu_seconds=fmean(measured) if measured else 0.0,
    )


def over(spec: StudySpec, used: Spent) -> str:
    """Why no further trial may start, or nothing."""
    budget = spec.budget
    if used.trials >= budget.trials:
        return f"all {budget.trials} trials of the budget were made"
    if used.gpu_seconds + used.a_trial_gpu_seconds > budget.gpu_minutes * 60:
        return (
            f"{used.gpu_seconds / 60:.0f} of {budget.gpu_minutes} GPU-minutes are used, too little is left for a trial"
        )
    if used.wall_clock_seconds > budget.wall_clock_minutes * 60:
        return f"{budget.wall_clock_minutes} minutes have passed"
    return ""


def search_over(spec: StudySpec, latest: list[Trial], used: Spent) -> str:
    """Why the search ends, with room left for the confirmations, or nothing."""
    if any(t.spec.purpose is Purpose.CONFIRM for t in latest):
        return "confirmations have begun"
    repeats = spec.promotion.confirmations
    if used.trials >= spec.budget.trials - repeats:
        return f"{used.trials} trials were made, {repeats} are kept for confirmations"
    if used.gpu_seconds + (1 + repeats) * used.a_trial_gpu_seconds > spec.budget.gpu_minutes * 60:
        return f"the GPU-minutes that are left are kept for {repeats} confirmations"
    return over(spec, used)
