"""Strategy Rolling without a spare GPU: the operator sets the pace of production's update for a while. Pure.

Where production's own update makes a pod before it ends one and no GPU is free for it, replicas go one after the other
instead, each watched before the next: a new pod counts as available only when it was ready for some time
(minReadySeconds), and one that fails within it brings the update to a stop. What production's object said before is
recorded with the promotion, before it is changed, and put back before the promotion ends, however it ends.
"""

from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import PreviousPace, PromotionState, PromotionStatus, RolloutPace, Strategy, Study
from sloguard.engine.actions import GivePaceBack, SetPace
from sloguard.engine.room import Room
from sloguard.engine.snapshot import TargetState

MOST_WATCH_SECONDS = 60
"""Of one replica, before the next; production as a whole is watched afterwards."""

DEADLINE_SHARE = 4
"""So many times the watch is within the Deployment's progressDeadlineSeconds: a start has to be within it as well."""


def needs_surge(study: Study, target: TargetState) -> bool:
    """Whether an update makes a pod before it ends one."""
    return study.spec.promotion.strategy is Strategy.ROLLING and not target.pace.unavailable


def paces(study: Study, target: TargetState, room: Room | None, undisturbed: str) -> bool:
    """Whether a promotion that begins now does so at the operator's pace."""
    short = room is not None and room.places < 1
    return short and needs_surge(study, target) and not objection(study, target, undisturbed)


def objection(study: Study, target: TargetState, undisturbed: str) -> str:
    """Why replicas cannot go one after the other."""
    if target.declared is None:
        return "production's kind has no other pace that the operator could set"
    if target.replicas < 2 and not study.spec.promotion.allow_downtime:
        return (
            "to end the only replica first would leave requests without a server: give production more replicas, or "
            "allow it by spec.promotion.allowDowntime"
        )
    return target.declared.withheld or undisturbed


def own_pace(study: Study, target: TargetState) -> RolloutPace:
    """One replica at a time, each watched before the next."""
    declared = target.declared
    assert declared is not None, "paces() has looked"
    watch = min(study.spec.promotion.verification.duration_seconds, MOST_WATCH_SECONDS)
    watch = min(watch, declared.progress_deadline_seconds // DEADLINE_SHARE)
    seconds = max(watch, declared.pace.min_ready_seconds)
    return RolloutPace(max_surge="0", max_unavailable="1", min_ready_seconds=seconds)


def recorded(promotion: PromotionStatus, study: Study, target: TargetState) -> PromotionStatus:
    """With the pace that will be set and the one that it replaces."""
    declared = target.declared
    assert declared is not None, "paces() has looked"
    previous = PreviousPace(pace=declared.pace, manager=declared.manager)
    return promotion.model_copy(update={"pace": own_pace(study, target), "previous_pace": previous})


def to_set(promotion: PromotionStatus, target: TargetState) -> SetPace | str | None:
    """What is still to be done before the arguments, or why it cannot be done; None where nothing is."""
    declared, back = target.declared, promotion.previous_pace
    if promotion.pace is None or back is None or declared is None or declared.pace == promotion.pace:
        return None
    if declared.pace != back.pace:
        return "somebody else changed the pace of production's updates meanwhile"
    return SetPace(promotion.pace)


def holds(promotion: PromotionStatus, target: TargetState) -> bool:
    """Whether production's pace is the operator's now. One that somebody else has set since is theirs."""
    declared = target.declared
    return promotion.pace is not None and declared is not None and declared.pace == promotion.pace


def to_give_back(promotion: PromotionStatus, target: TargetState) -> GivePaceBack | None:
    """None where that is done."""
    if promotion.previous_pace is None or not holds(promotion, target):
        return None
    return GivePaceBack(promotion.previous_pace)


def watch_of_a_replica(promotion: PromotionStatus) -> timedelta:
    """What each replica takes beyond its start-up."""
    return timedelta(seconds=promotion.pace.min_ready_seconds if promotion.pace is not None else 0)


def restoring(ended: PromotionStatus, now: datetime) -> PromotionStatus:
    """The state before that end."""
    update = {"state": PromotionState.RESTORING, "ends_as": ended.state, "changed_at": now}
    return ended.model_copy(update=update)
