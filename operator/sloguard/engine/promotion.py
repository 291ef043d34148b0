"""From the recommendation to production and, if need be, back: a state machine that lives in the status. Pure.

The previous arguments are recorded before production is touched; every step can be done twice.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import (
    Outcome,
    PromotionMode,
    PromotionState,
    PromotionStatus,
    Recommendation,
    Study,
    Trial,
)
from sloguard.engine.actions import ApplyArguments
from sloguard.engine.snapshot import TargetState

UNDER_WAY = {
    PromotionState.PLANNED,
    PromotionState.PROMOTING,
    PromotionState.VERIFYING,
    PromotionState.ROLLING_BACK,
}

ROLLOUT_GRACE_SECONDS = 60
"""Beyond a start-up, for scheduling and for the old pods' leave."""


@dataclass(frozen=True, slots=True)
class PromotionStep:
    """The next state, what to put into production, and, where the user's wish cannot be met, why."""

    status: PromotionStatus | None
    apply: ApplyArguments | None = None
    refused: str = ""


def approved(study: Study, trials: list[Trial], recommendation: Recommendation | None) -> tuple[str, str]:
    """The trial to promote and the reason why a wish cannot be followed; either may be empty."""
    promotion = study.spec.promotion
    if promotion.mode is PromotionMode.AUTOMATIC:
        return (recommendation.trial if recommendation else ""), ""
    if promotion.mode is PromotionMode.OFF or not promotion.approved_trial:
        return "", ""
    trial = next((t for t in trials if t.name == promotion.approved_trial), None)
    if trial is None:
        return "", f"promotion.approvedTrial {promotion.approved_trial} is not a trial of this study; name one that is"
    if trial.status.outcome not in {Outcome.FEASIBLE, Outcome.INFEASIBLE}:
        said = trial.status.outcome.value if trial.status.outcome else "unfinished"
        return "", f"promotion.approvedTrial {trial.name} is {said}; name a trial that was measured"
    return trial.name, ""


def begin(trial: Trial, arguments: tuple[str, ...], target: TargetState, now: datetime) -> PromotionStatus:
    """Record what will be done and what it replaces. Nothing is touched yet."""
    return PromotionStatus(
        state=PromotionState.PLANNED,
        trial=trial.name,
        parameters=trial.spec.parameters,
        arguments=list(arguments),
        previous_arguments=list(target.arguments),
        started_at=now,
        changed_at=now,
        message=f"the arguments of {trial.name} go to production",
    )


def advance_promotion(promotion: PromotionStatus, target: TargetState, study: Study, now: datetime) -> PromotionStep:
    """One step on from a state that was written down before."""
    if study.metadata.deletion_timestamp is not None:
        return _undo(promotion, target, now)
    match promotion.state:
        case PromotionState.PLANNED:
            moved = _to(promotion, PromotionState.PROMOTING, now, "production's arguments were changed")
            return PromotionStep(moved, ApplyArguments(tuple(promotion.arguments)))
        case PromotionState.PROMOTING:
            return _promoting(promotion, target, study, now)
        case PromotionState.VERIFYING:
            return _verifying(promotion, target, study, now)
        case PromotionState.ROLLING_BACK:
            return _rolling_back(promotion, target, now)
        case _:
            return PromotionStep(promotion)


def _promoting(promotion: PromotionStatus, target: TargetState, study: Study, now: datetime) -> PromotionStep:
    current = list(target.arguments)
    if current == promotion.previous_arguments != promotion.arguments:
        return PromotionStep(promotion, ApplyArguments(tuple(promotion.arguments)))
    if current != promotion.arguments:
        return PromotionStep(_halted(promotion, now))
    if target.rollout.failure:
        return _roll_back(promotion, now, target.rollout.failure)
    if target.rollout.complete:
        return PromotionStep(_to(promotion, PromotionState.VERIFYING, now, "the new pods are ready; watching them"))
    limit = timedelta(seconds=study.spec.trial.startup_timeout_seconds + ROLLOUT_GRACE_SECONDS)
    if now - promotion.changed_at > limit:
        return _roll_back(promotion, now, f"not rolled out within {limit.total_seconds():.0f} s")
    return PromotionStep(promotion)


def _verifying(promotion: PromotionStatus, target: TargetState, study: Study, now: datetime) -> PromotionStep:
    if list(target.arguments) != promotion.arguments:
        return PromotionStep(_halted(promotion, now))
    if target.rollout.failure:
        return _roll_back(promotion, now, target.rollout.failure)
    seconds = study.spec.promotion.verification.duration_seconds
    if target.rollout.complete and now - promotion.changed_at >= timedelta(seconds=seconds):
        message = f"production runs the arguments of {promotion.trial}, ready for {seconds} s"
        return PromotionStep(_to(promotion, PromotionState.PROMOTED, now, message))
    return PromotionStep(promotion)


def _rolling_back(promotion: PromotionStatus, target: TargetState, now: datetime) -> PromotionStep:
    if list(target.arguments) == promotion.arguments != promotion.previous_arguments:
        return PromotionStep(promotion, ApplyArguments(tuple(promotion.previous_arguments)))
    if list(target.arguments) != promotion.previous_arguments:
        return PromotionStep(_halted(promotion, now))
    if target.rollout.complete:
        done = f"production has its previous arguments again: {promotion.message}"
        return PromotionStep(_to(promotion, PromotionState.ROLLED_BACK, now, done))
    return PromotionStep(promotion)


def _undo(promotion: PromotionStatus, target: TargetState, now: datetime) -> PromotionStep:
    """The study is being deleted: leave production as it was found."""
    done = _to(promotion, PromotionState.ROLLED_BACK, now, "the study was deleted")
    if promotion.state not in UNDER_WAY or list(target.arguments) != promotion.arguments:
        return PromotionStep(done)
    return PromotionStep(done, ApplyArguments(tuple(promotion.previous_arguments)))


def _roll_back(promotion: PromotionStatus, now: datetime, why: str) -> PromotionStep:
    moved = _to(promotion, PromotionState.ROLLING_BACK, now, why)
    return PromotionStep(moved, ApplyArguments(tuple(promotion.previous_arguments)))


def _halted(promotion: PromotionStatus, now: datetime) -> PromotionStatus:
    message = (
        "somebody else changed production's arguments meanwhile; they were left alone. "
        "Look at the Deployment and create a new study if it should be tuned again"
    )
    return _to(promotion, PromotionState.HALTED, now, message)


def _to(promotion: PromotionStatus, state: PromotionState, now: datetime, message: str) -> PromotionStatus:
    return promotion.model_copy(update={"state": state, "changed_at": now, "message": message[:1024]})
