"""The canary of a promotion: a trial in production's own traffic, and what failed in production as one. Pure.

A canary is one more pod with the new arguments behind production's Services. It is recorded as a trial of purpose
Canary, so that it starts, crashes and is measured as trials are, and what it teaches is kept as theirs is. Arguments
that failed in production itself leave such a record too, though nothing more is started for it.
"""

from datetime import datetime

from sloguard.api.v1alpha1 import (
    Fault,
    Outcome,
    PromotionState,
    PromotionStatus,
    Purpose,
    Trial,
    TrialPhase,
    TrialSpec,
    TrialStatus,
)
from sloguard.domain.arguments import same_arguments
from sloguard.engine.infrastructure_faults import back_off
from sloguard.engine.known import Known
from sloguard.engine.progress import Step
from sloguard.engine.promotion import CHANGED, PromotionStep, entered, halt, is_expected, put_in
from sloguard.engine.snapshot import Snapshot, TargetProblem, TargetState
from sloguard.engine.target_change import program_change
from sloguard.engine.verification import worse

MOST_FAILED = 3
"""Attempts that infrastructure failed, or that saw too little traffic; what a person stopped is none of them."""

MOST_ATTEMPTS = 20
"""In all."""

STATES = {PromotionState.CANARY, PromotionState.ANALYSING}
"""In which a canary may run."""

FAILED_STATES = {
    PromotionState.REVERTING,
    PromotionState.ROLLING_BACK,
    PromotionState.ROLLED_BACK,
    PromotionState.HALTED,
}


def advance_canary(promotion: PromotionStatus, target: TargetState, known: Known) -> PromotionStep:
    """One step on from a state that was written down before; production is touched once the canary has passed."""
    now, study = known.now, known.study
    if changed := program_change(study.status.target, target):
        return halt(promotion, now, f"somebody else changed production meanwhile, {changed}")
    last = max(known.canaries, key=_order, default=None)
    if not is_expected(promotion, target):
        return halt(promotion, now, CHANGED)
    arrived = same_arguments(target.arguments, promotion.arguments)
    if arrived or (last is not None and last.status.outcome is Outcome.FEASIBLE):
        passed_at = last.status.finished_at if last is not None else None
        return put_in(promotion, target, study, now, since=passed_at or promotion.changed_at)
    if last is None or last.status.outcome in {Outcome.CANCELLED, Outcome.INFRASTRUCTURE}:
        return _another(promotion, known, last)
    if last.finished:
        why = f"the canary {last.name} failed: {last.status.message}. Production was not changed"
        told = promotion.model_copy(update={"crash": last.status.crash})
        return PromotionStep(entered(told, PromotionState.ROLLED_BACK, now, why))
    return PromotionStep(_on_its_way(promotion, last, now))


def canary_ends(snapshot: Snapshot) -> str:
    """Why a canary may not go on, or nothing: neither budget nor windows cut a promotion short."""
    promotion, target = snapshot.study.status.promotion, snapshot.target
    if snapshot.study.spec.suspend:
        return "the study was suspended"
    if isinstance(target, TargetProblem):
        return f"{target.reason}: {target.message}"
    if promotion is None or promotion.state not in STATES:
        return "the promotion is not at its canary any more"
    return ""


def _order(trial: Trial) -> tuple[int, int]:
    return trial.spec.number, trial.spec.attempt


def _another(promotion: PromotionStatus, known: Known, last: Trial | None) -> PromotionStep:
    """Where that may help, and after a pause."""
    failed = [t for t in known.canaries if t.status.outcome is Outcome.INFRASTRUCTURE]
    if last is not None and (len(failed) >= MOST_FAILED or len(known.canaries) >= MOST_ATTEMPTS):
        why = f"no canary could be judged in {len(known.canaries)} attempts ({last.name}: {last.status.message})"
        return halt(promotion, known.now, why)
    pause = last is not None and known.now < (last.status.finished_at or known.now) + back_off(last)
    if pause or known.study.spec.suspend:
        return PromotionStep(promotion)
    reason = f"Canary: the arguments of {promotion.trial} in a share of production's own traffic."
    return PromotionStep(_at_canary(promotion, known.now), record=canary_spec(known, promotion, reason, last))


def _on_its_way(promotion: PromotionStatus, canary: Trial, now: datetime) -> PromotionStatus:
    if canary.status.phase is TrialPhase.LOADING and promotion.state is not PromotionState.ANALYSING:
        message = f"{canary.name} shares production's traffic and is held against it"
        return entered(promotion, PromotionState.ANALYSING, now, message)
    return _at_canary(promotion, now)


def _at_canary(promotion: PromotionStatus, now: datetime) -> PromotionStatus:
    if promotion.state in STATES:
        return promotion
    message = f"one more pod, with the arguments of {promotion.trial}, joins production's Services"
    return entered(promotion, PromotionState.CANARY, now, message)


def canary_spec(known: Known, promotion: PromotionStatus, reason: str, last: Trial | None = None) -> TrialSpec:
    """The next one to record: another attempt of the last, or a new one."""
    if last is not None:
        return last.spec.model_copy(update={"attempt": last.spec.attempt + 1, "reason": reason[:1024]})
    promoted = next((t for t in known.trials if t.name == promotion.trial), None)
    return TrialSpec(
        study=known.study.name,
        number=max(t.spec.number for t in (*known.trials, *known.canaries)) + 1,
        purpose=Purpose.CANARY,
        parameters=promotion.parameters,
        seed=promoted.spec.seed if promoted is not None else 0,
        target_hash=promoted.spec.target_hash if promoted is not None else "",
        reason=reason[:1024],
    )


def failure_to_record(promotion: PromotionStatus, known: Known) -> TrialSpec | None:
    """What failed in production itself, where that teaches something and no canary has taught it already."""
    crashed = promotion.crash is not None and promotion.crash.fault is Fault.CONFIGURATION
    teaches = promotion.state in FAILED_STATES and (crashed or promotion.since is not None)
    if not teaches or any(t.status.outcome is not Outcome.FEASIBLE for t in known.canaries):
        return None
    return canary_spec(known, promotion, f"Recorded because the arguments of {promotion.trial} failed in production.")


def without_server(trial: Trial, snapshot: Snapshot, now: datetime) -> Step | None:
    """The next step of a canary for which nothing is started, since its arguments failed in production: what it came
    to stands in the promotion. None for every other trial.
    """
    promotion, status = snapshot.study.status.promotion, trial.status
    if trial.spec.purpose is not Purpose.CANARY or status.phase is not TrialPhase.PENDING or promotion is None:
        return None
    if promotion.state not in FAILED_STATES:
        return None
    promoted = next((t.status for t in snapshot.trials if t.name == promotion.trial), TrialStatus())
    told = {
        "phase": TrialPhase.FINISHED,
        "outcome": _outcome(promotion),
        "started_at": now,
        "finished_at": now,
        "arguments": promotion.arguments,
        "platform": promoted.platform,
        "margins": promoted.margins,
        "crash": promotion.crash,
        "gpu_seconds": 0,
        "message": f"in production: {_failure(promotion)}"[:1024],
    }
    return Step(status.model_copy(update=told))


def _failure(promotion: PromotionStatus) -> str:
    """In the same words whenever it is recorded: what the promotion itself says changes on its way back."""
    crash = promotion.crash
    if crash is not None:
        return f"{crash.class_.value}: {crash.limit or crash.cause}"
    return worse(promotion.before, promotion.since)


def _outcome(promotion: PromotionStatus) -> Outcome:
    if promotion.crash is not None:
        ours = promotion.crash.fault is Fault.CONFIGURATION
        return Outcome.CRASHED if ours else Outcome.INFRASTRUCTURE
    return Outcome.INFEASIBLE
