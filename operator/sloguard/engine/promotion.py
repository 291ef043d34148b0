"""From the recommendation to production and, if need be, back: a state machine that lives in the status. Pure.

    Planned -> Promoting -> Verifying -> Promoted                 strategy Rolling
    Planned -> Canary -> Analysing -> Promoting -> ...            strategy Canary (`canary.py`)
    Planned -> Proposing -> Proposed -> Promoting -> ...          mode Git (`git_promotion.py`)
    Promoting, Verifying -> RollingBack -> RolledBack             and from Canary and Analysing to RolledBack at once
    each of them -> Halted                                        a person is needed
    each end at the operator's own pace (`pacing.py`) is preceded by Restoring

The previous arguments are recorded (Planned) before production is touched. A state says what has been *seen*, not
what has been asked for: Planned until the new arguments are there, RollingBack until the old ones are. So every step
can be cut short anywhere and done again. A study promotes once; another attempt takes another study.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import PromotionState, PromotionStatus, Study, Trial, TrialSpec
from sloguard.domain.arguments import same_arguments
from sloguard.domain.crash import classify
from sloguard.engine import pacing
from sloguard.engine.actions import ApplyArguments, EndPod, PaceAction, StartGitJob
from sloguard.engine.snapshot import TargetState, Traffic
from sloguard.engine.target_change import program_change
from sloguard.engine.verification import in_words, worse

UNDER_WAY = {
    PromotionState.PLANNED,
    PromotionState.CANARY,
    PromotionState.ANALYSING,
    PromotionState.PROPOSING,
    PromotionState.PROPOSED,
    PromotionState.PROMOTING,
    PromotionState.VERIFYING,
    PromotionState.REVERTING,
    PromotionState.ROLLING_BACK,
    PromotionState.RESTORING,
}

_SEEN_IN_PRODUCTION = {PromotionState.PROMOTING, PromotionState.VERIFYING}

ROLLOUT_GRACE = timedelta(seconds=60)
"""Beyond the start-ups, for scheduling and for the old pods' leave."""


@dataclass(frozen=True, slots=True)
class PromotionStep:
    """The next state, what to put into production or its repository for it, which pods stand in its way, which canary
    to record, and what becomes of the pace of production's updates.
    """

    status: PromotionStatus
    apply: ApplyArguments | None = None
    end: tuple[EndPod, ...] = ()
    record: TrialSpec | None = None
    job: StartGitJob | None = None
    pace: PaceAction | None = None


def begin(trial: Trial, arguments: list[str], target: TargetState, now: datetime) -> PromotionStatus:
    """Record what will be done and what it replaces. Nothing is touched yet."""
    return PromotionStatus(
        state=PromotionState.PLANNED,
        trial=trial.name,
        parameters=trial.spec.parameters,
        arguments=arguments,
        previous_arguments=list(target.arguments),
        previous_ready=target.rollout.complete,
        started_at=now,
        changed_at=now,
        message=f"the arguments of {trial.name} go to production",
    )


def advance_promotion(
    promotion: PromotionStatus, target: TargetState, study: Study, now: datetime, traffic: Traffic | None = None
) -> PromotionStep:
    """One step on from a state that was written down before."""
    if promotion.state is PromotionState.RESTORING:
        return _restoring(promotion, target, now)
    step = _advanced(promotion, target, study, now, traffic)
    ends = promotion.state in UNDER_WAY and step.status.state not in UNDER_WAY
    if not ends or not pacing.holds(promotion, target):
        return step
    return replace(step, status=pacing.restoring(step.status, now))


def _advanced(
    promotion: PromotionStatus, target: TargetState, study: Study, now: datetime, traffic: Traffic | None
) -> PromotionStep:
    if promotion.state in UNDER_WAY and (changed := program_change(study.status.target, target)):
        return halt(promotion, now, f"somebody else changed production meanwhile, {changed}")
    if promotion.state in _SEEN_IN_PRODUCTION and not target.replicas:
        return halt(promotion, now, "somebody else scaled production to 0 meanwhile, so that nothing can be seen there")
    match promotion.state:
        case PromotionState.PLANNED:
            return put_in(promotion, target, study, now, since=promotion.changed_at)
        case PromotionState.PROMOTING:
            return _promoting(promotion, target, study, now)
        case PromotionState.VERIFYING:
            return _verifying(promotion, target, study, now, traffic)
        case PromotionState.ROLLING_BACK:
            return _rolling_back(promotion, target, study, now)
        case _:
            return PromotionStep(promotion)


def is_under_way(promotion: PromotionStatus | None) -> bool:
    return promotion is not None and promotion.state in UNDER_WAY


def owes_production(promotion: PromotionStatus | None) -> bool:
    """Whether it would be left between two states: what Git holds of it stays as it is, whatever becomes of a study."""
    return promotion is not None and promotion.state in UNDER_WAY and promotion.git is None


def is_expected(promotion: PromotionStatus, target: TargetState) -> bool:
    """Whether production has the arguments of before or after, however they are written."""
    return any(same_arguments(target.arguments, own) for own in (promotion.arguments, promotion.previous_arguments))


def undo(promotion: PromotionStatus, target: TargetState, now: datetime) -> PromotionStep:
    """The study is being deleted: leave production as it was found, unless somebody else has changed it."""
    done = entered(promotion, PromotionState.ROLLED_BACK, now, "the study was deleted during its promotion")
    if same_arguments(target.arguments, promotion.previous_arguments):
        return PromotionStep(done, end=_in_the_way(promotion, target))
    if not same_arguments(target.arguments, promotion.arguments):
        return PromotionStep(done)
    return PromotionStep(done, ApplyArguments(tuple(promotion.previous_arguments)), _in_the_way(promotion, target))


def take_back(promotion: PromotionStatus, target: TargetState, study: Study, why: str, now: datetime) -> PromotionStep:
    """The study cannot be followed any more: production goes back to where it was, which is waited for."""
    if promotion.state in {PromotionState.ROLLING_BACK, PromotionState.RESTORING}:
        return advance_promotion(promotion, target, study, now)
    return PromotionStep(entered(promotion, PromotionState.ROLLING_BACK, now, why))


def put_in(
    promotion: PromotionStatus, target: TargetState, study: Study, now: datetime, *, since: datetime
) -> PromotionStep:
    """The new arguments into production, again and again until they are seen there."""
    current = list(target.arguments)
    if same_arguments(current, promotion.arguments):
        return PromotionStep(
            entered(promotion, PromotionState.PROMOTING, now, "production rolls out the new arguments")
        )
    if not same_arguments(current, promotion.previous_arguments):
        return halt(promotion, now, CHANGED)
    if now - since > _rollout_limit(promotion, study, target):
        return halt(promotion, now, "the new arguments do not stay in production; somebody takes them out again")
    pace = pacing.to_set(promotion, target)
    if isinstance(pace, str):
        return halt(promotion, now, pace)
    if pace is not None:
        return PromotionStep(promotion, pace=pace)
    return PromotionStep(promotion, ApplyArguments(tuple(promotion.arguments)))


def _promoting(promotion: PromotionStatus, target: TargetState, study: Study, now: datetime) -> PromotionStep:
    if not same_arguments(target.arguments, promotion.arguments):
        return halt(promotion, now, CHANGED)
    if target.rollout.failure:
        return _roll_back(promotion, target, now, target.rollout.failure)
    if target.rollout.complete:
        return PromotionStep(entered(promotion, PromotionState.VERIFYING, now, "the new pods are ready; watching them"))
    limit = _rollout_limit(promotion, study, target)
    if now - promotion.changed_at > limit:
        return _roll_back(promotion, target, now, f"not rolled out within {limit.total_seconds():.0f} s")
    return PromotionStep(promotion)


def _verifying(
    promotion: PromotionStatus, target: TargetState, study: Study, now: datetime, traffic: Traffic | None
) -> PromotionStep:
    if not same_arguments(target.arguments, promotion.arguments):
        return halt(promotion, now, CHANGED)
    if target.rollout.failure:
        return _roll_back(promotion, target, now, target.rollout.failure)
    seen = traffic.since if traffic is not None else None
    if fault := worse(promotion.before, seen):
        told = promotion.model_copy(update={"since": seen})
        return _roll_back(told, target, now, f"production served worse than before: {fault}")
    watched = timedelta(seconds=study.spec.promotion.verification.duration_seconds)
    since = now - promotion.changed_at
    if target.rollout.complete and since >= watched:
        told = _verified(promotion, traffic)
        message = f"production runs the arguments of {promotion.trial}, ready for {watched.total_seconds():.0f} s{told}"
        kept = promotion.model_copy(update={"since": seen})
        return PromotionStep(entered(kept, PromotionState.PROMOTED, now, message))
    if since > watched + _rollout_limit(promotion, study, target):
        return _roll_back(promotion, target, now, "its pods did not stay ready while they were watched")
    return PromotionStep(promotion)


def _verified(promotion: PromotionStatus, traffic: Traffic | None) -> str:
    """What its traffic said, for people."""
    if traffic is None:
        return "; its traffic was not looked at, since the operator knows of no Prometheus"
    if traffic.since is None:
        return f"; its traffic says nothing: {traffic.unseen}" if traffic.unseen else ""
    before = f"; before, {in_words(promotion.before)}" if promotion.before else "; what it served before was not seen"
    return f": {in_words(traffic.since)}{before}"


def _rolling_back(promotion: PromotionStatus, target: TargetState, study: Study, now: datetime) -> PromotionStep:
    if not is_expected(promotion, target):
        return halt(promotion, now, CHANGED)
    back = same_arguments(target.arguments, promotion.previous_arguments)
    if back and target.rollout.complete:
        message = (
            f"production has its previous arguments again: {promotion.message}. "
            "Mend that, and create a new study to try again"
        )
        return PromotionStep(entered(promotion, PromotionState.ROLLED_BACK, now, message))
    if now - promotion.changed_at > _rollout_limit(promotion, study, target):
        return halt(promotion, now, f"rolling back ({promotion.message}) did not end with all pods ready")
    if back:
        return PromotionStep(promotion, end=_in_the_way(promotion, target))
    return PromotionStep(promotion, ApplyArguments(tuple(promotion.previous_arguments)))


def _in_the_way(promotion: PromotionStatus, target: TargetState) -> tuple[EndPod, ...]:
    """Pods that are not ready with the arguments that are taken back: a StatefulSet would wait for them for ever."""
    if same_arguments(promotion.arguments, promotion.previous_arguments):
        return ()
    stuck = (pod for pod in target.rollout.stuck if same_arguments(pod.arguments, promotion.arguments))
    return tuple(EndPod(pod.name, pod.uid) for pod in stuck)


def _restoring(promotion: PromotionStatus, target: TargetState, now: datetime) -> PromotionStep:
    """Production's own pace first; then the end that was decided, unless somebody has changed production since."""
    pace = pacing.to_give_back(promotion, target)
    if pace is not None:
        return PromotionStep(promotion, pace=pace)
    end = promotion.ends_as or PromotionState.HALTED
    expected = {
        PromotionState.PROMOTED: promotion.arguments,
        PromotionState.ROLLED_BACK: promotion.previous_arguments,
    }
    if not same_arguments(target.arguments, expected.get(end, target.arguments)):
        return halt(promotion, now, CHANGED)
    return PromotionStep(entered(promotion, end, now, promotion.message))


def _rollout_limit(promotion: PromotionStatus, study: Study, target: TargetState) -> timedelta:
    """Long enough for one replica to start after the other, and to be watched where each of them is."""
    a_start = timedelta(seconds=study.spec.trial.startup_timeout_seconds) + pacing.watch_of_a_replica(promotion)
    return a_start * max(target.replicas, 1) + ROLLOUT_GRACE


def _roll_back(promotion: PromotionStatus, target: TargetState, now: datetime, why: str) -> PromotionStep:
    """Written down first, so that the previous arguments in production are never taken for somebody else's doing.

    Not where what is ready may be all that serves: pods of the previous arguments were not ready before.
    """
    evidence = target.rollout.evidence
    crash = None if evidence is None else classify(evidence)
    told = promotion.model_copy(update={"crash": crash})
    if crash is not None:
        why = f"{why}; {crash.class_.value}: {crash.limit or crash.cause}"
    if not promotion.previous_ready and target.rollout.ready:
        copy = "production was not ready before either, and what is ready now may be the only healthy copy"
        return halt(told, now, f"{why}; {copy}")
    return PromotionStep(entered(told, PromotionState.ROLLING_BACK, now, why))


CHANGED = "somebody else changed production's arguments meanwhile"


def halt(promotion: PromotionStatus, now: datetime, why: str) -> PromotionStep:
    """For a person to look at."""
    message = (
        f"{why}. Production is left as it is: look at it and at whatever manages it, and create a new "
        "study if it should be tuned again"
    )
    return PromotionStep(entered(promotion, PromotionState.HALTED, now, message))


def entered(promotion: PromotionStatus, state: PromotionState, now: datetime, message: str) -> PromotionStatus:
    """Entered now."""
    return promotion.model_copy(update={"state": state, "changed_at": now, "message": message[:1024]})
