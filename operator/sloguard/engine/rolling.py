"""Whether production's own rolling update can bring new arguments in, and at what price. Pure.

An update that makes a pod before it ends one waits for a GPU, and where none is free it would wait until it is rolled
back. One that ends the only replica first leaves requests without a server.
"""

from sloguard.api.v1alpha1 import Study, StudyPhase
from sloguard.engine.known import Verdict
from sloguard.engine.room import Room
from sloguard.engine.snapshot import TargetState


def obstacle(study: Study, target: TargetState, room: Room | None) -> Verdict | None:
    """Why a promotion does not begin now."""
    pace, replicas = target.pace, target.replicas
    if target.withheld:
        message = f"a promotion would not reach all of production's pods: {target.withheld}"
        return Verdict(StudyPhase.AWAITING_APPROVAL, "PromotionWithheld", message, stalled=True)
    if pace.unavailable >= replicas and not study.spec.promotion.allow_downtime:
        return Verdict(StudyPhase.AWAITING_APPROVAL, "PromotionNeedsDowntime", _downtime(target), stalled=True)
    if pace.unavailable:
        return None
    if room is None:
        return Verdict(
            StudyPhase.PROMOTING, "AskingForRoom", "a GPU for the rolling update is looked for", asks_for_room=True
        )
    if room.places < 1:
        message = (
            f"production's rolling update makes a new pod before it ends an old one, as a trial would: {room.message}"
        )
        return Verdict(StudyPhase.PROMOTING, room.reason, message)
    return None


def _downtime(target: TargetState) -> str:
    replicas = target.replicas
    ended = "the only replica" if replicas == 1 else f"all {replicas} replicas"
    return (
        f"a rollout of production ends {ended} before new ones are ready, and requests would find no server meanwhile. "
        f"{target.more_room}, or allow it by spec.promotion.allowDowntime"
    )
