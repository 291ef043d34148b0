"""What a study has used and whether there is enough left for another trial. Pure.

Trials are numbers, not attempts: another attempt after infrastructure's fault costs none. GPU-minutes are counted for
every attempt, failed ones too, since the GPUs were held, and where an operator died and left a server behind, until
another one removed it. Wall-clock minutes pass while a trial is under way: a study that is suspended, outside its
windows, in a queue, or waits for GPUs or for a person uses none of them.

A trial that would probably not fit is not started, and one that is under way when GPU- or wall-clock minutes are used
up is ended then (`halt.py`). So the minutes are exceeded by no more than it takes to notice.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean

from sloguard.api.v1alpha1 import Outcome, Purpose, StudySpec, Trial
from sloguard.domain.score import MEASURED
from sloguard.engine.progress import held_gpu_seconds
from sloguard.engine.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Spent:
    """Used so far. `committed_gpu_seconds` adds what the trials under way will probably need to their end.

    `gpus` are held now, `under_way` says that wall-clock minutes pass, `a_trial_...` is what one will probably take,
    and `a_soak_...` what the soak that a winner is owed will; 0 where the study wants none.
    """

    trials: int
    gpu_seconds: float
    committed_gpu_seconds: float
    wall_clock_seconds: float
    a_trial_gpu_seconds: float
    a_trial_seconds: float
    a_soak_gpu_seconds: float
    a_soak_seconds: float
    gpus: int
    under_way: bool


def spent(snapshot: Snapshot, trials: Sequence[Trial], now: datetime) -> Spent:
    """From the records, and for trials under way from what is seen of them. Soaks and canaries are none of the budget's
    trials, but their GPU-minutes are among those used.
    """
    finished = [t for t in trials if t.finished and t.spec.purpose is not Purpose.SOAK]
    expected = _a_trial(finished, lambda t: t.status.gpu_seconds or 0)
    done = sum((t.status.gpu_seconds or 0) + t.status.left_behind_gpu_seconds for t in trials if t.finished)
    live = [(t, snapshot.observation(t)) for t in trials if not t.finished]
    queued = {t.name for t, seen in live if seen.server.evidence is not None and seen.server.evidence.gated}
    held = [held_gpu_seconds(t, seen, now) for t, seen in live]
    soak = snapshot.study.spec.promotion.soak_seconds
    gpus = max((t.status.gpus or 1 for t in trials), default=1)
    return Spent(
        trials=len({t.spec.number for t in trials if t.spec.costs_a_trial}),
        gpu_seconds=done + sum(held),
        committed_gpu_seconds=done + sum(max(seconds, expected) for seconds in held),
        wall_clock_seconds=_wall_clock_seconds([t for t in trials if t.name not in queued], now),
        a_trial_gpu_seconds=expected,
        a_trial_seconds=_a_trial(finished, _seconds),
        a_soak_gpu_seconds=soak * gpus + _a_trial(finished, _startup_gpu_seconds) if soak else 0.0,
        a_soak_seconds=soak + _a_trial(finished, _startup_gpu_seconds) / gpus if soak else 0.0,
        gpus=sum(seen.server.gpus for _, seen in live if seen.server.running_since is not None),
        under_way=any(t.status.started_at and t.name not in queued for t, _ in live),
    )


def exhausted(spec: StudySpec, used: Spent) -> str:
    """Why nothing may go on, trials under way included, or nothing."""
    budget = spec.budget
    if used.gpu_seconds >= budget.gpu_minutes * 60:
        return f"all {budget.gpu_minutes} GPU-minutes of the budget are used"
    if used.wall_clock_seconds >= budget.wall_clock_minutes * 60:
        return f"trials were under way for {budget.wall_clock_minutes} minutes, all of budget.wallClockMinutes"
    return ""


def seconds_left(spec: StudySpec, used: Spent) -> float:
    """Until the minutes are used up by what is under way now; infinite where nothing is."""
    gpu_seconds = spec.budget.gpu_minutes * 60 - used.gpu_seconds
    wall_clock_seconds = spec.budget.wall_clock_minutes * 60 - used.wall_clock_seconds
    return min(gpu_seconds / used.gpus if used.gpus else math.inf, wall_clock_seconds if used.under_way else math.inf)


def minutes_over(spec: StudySpec, used: Spent) -> str:
    """Why no further attempt may start, of whatever trial, or nothing."""
    return _too_little_for("a trial", used.a_trial_gpu_seconds, used.a_trial_seconds, spec, used)


def soak_over(spec: StudySpec, used: Spent) -> str:
    """Why no soak may start, or nothing."""
    soak = f"a soak of {spec.promotion.soak_seconds} s"
    return _too_little_for(soak, used.a_soak_gpu_seconds, used.a_soak_seconds, spec, used)


def _too_little_for(what: str, gpu_seconds: float, seconds: float, spec: StudySpec, used: Spent) -> str:
    """Why the minutes do not allow it, or nothing."""
    budget = spec.budget
    if ended := exhausted(spec, used):
        return ended
    if used.committed_gpu_seconds + gpu_seconds > budget.gpu_minutes * 60:
        minutes = f"{used.committed_gpu_seconds / 60:.0f} of {budget.gpu_minutes} GPU-minutes are used"
    elif used.wall_clock_seconds + seconds > budget.wall_clock_minutes * 60:
        minutes = f"trials were under way for {used.wall_clock_seconds / 60:.0f} of {budget.wall_clock_minutes} minutes"
    else:
        return ""
    return f"{minutes}, too little is left for {what}"


def over(spec: StudySpec, used: Spent) -> str:
    """Why no further trial may start, or nothing."""
    if used.trials >= spec.budget.trials:
        return f"all {spec.budget.trials} trials of the budget were made"
    return minutes_over(spec, used)


def baseline_repeats(spec: StudySpec) -> int:
    """How often production and the defaults may be repeated: as the candidate, within two fifths of the trials."""
    confirmations = spec.promotion.confirmations
    share = (spec.budget.trials - 2 - confirmations) // 5
    return min(confirmations, max(share, 1))


def spare_repeats(spec: StudySpec) -> int:
    """Kept for a candidate that only seemed good, where there are trials enough."""
    return min(2, (spec.budget.trials - 2 - spec.promotion.confirmations) // 12) if spec.promotion.confirmations else 0


def search_over(spec: StudySpec, used: Spent, kept: int) -> str:
    """Why the search ends, with room left for the repeats and the soak that will be needed, or nothing."""
    ended = over(spec, used)
    if ended:
        return ended
    if used.trials >= spec.budget.trials - kept:
        return f"{used.trials} of {spec.budget.trials} trials were made, the others are kept for repeats"
    needed_for = f"{kept} repeats{' and a soak' if spec.promotion.soak_seconds else ''}"
    gpu_seconds = (1 + kept) * used.a_trial_gpu_seconds + used.a_soak_gpu_seconds
    if used.committed_gpu_seconds + gpu_seconds > spec.budget.gpu_minutes * 60:
        return f"the GPU-minutes that are left are kept for {needed_for}"
    in_turn = math.ceil((1 + kept) / spec.trial.parallelism)
    seconds = in_turn * used.a_trial_seconds + used.a_soak_seconds
    if used.wall_clock_seconds + seconds > spec.budget.wall_clock_minutes * 60:
        return f"the wall-clock minutes that are left are kept for {needed_for}"
    return ""


def _a_trial(finished: Sequence[Trial], cost: Callable[[Trial], float]) -> float:
    """What a trial will probably take: the mean of those that were measured, or else of those that crashed."""
    measured = [cost(t) for t in finished if t.status.outcome in MEASURED]
    crashed = [cost(t) for t in finished if t.status.outcome is Outcome.CRASHED]
    return fmean(measured or crashed or [0.0])


def _startup_gpu_seconds(trial: Trial) -> float:
    """Until its server was ready."""
    status = trial.status
    if status.ready_at is None or status.finished_at is None:
        return 0.0
    since = (status.finished_at - status.ready_at).total_seconds() * (status.gpus or 1)
    return max((status.gpu_seconds or 0) - since, 0.0)


def _seconds(trial: Trial) -> float:
    start, end = trial.status.started_at, trial.status.finished_at
    return max((end - start).total_seconds(), 0.0) if start and end else 0.0


def _wall_clock_seconds(trials: Iterable[Trial], now: datetime) -> float:
    """How long at least one trial was under way."""
    spans = sorted((t.status.started_at, t.status.finished_at or now) for t in trials if t.status.started_at)
    total, until = 0.0, None
    for start, end in spans:
        begin = start if until is None else max(start, until)
        total += max((end - begin).total_seconds(), 0.0)
        until = end if until is None else max(end, until)
    return total
