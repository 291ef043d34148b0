"""Whether a promotion can begin: what production's own rolling update needs, and what a canary does. Pure.

An update that makes a pod before it ends one waits for a GPU, and where none is free it would wait until it is rolled
back; the operator sets a pace of its own then, where it can (`pacing.py`). One that ends the only replica first leaves
requests without a server.
"""

from sloguard.api.v1alpha1 import PromotionMode, Strategy, Study, StudyPhase
from sloguard.engine.known import Verdict
from sloguard.engine.pacing import objection, paces
from sloguard.engine.room import Room
from sloguard.engine.snapshot import TargetState, Traffic


def obstacle(
    study: Study, target: TargetState, room: Room | None, traffic: Traffic | None = None, undisturbed: str = ""
) -> Verdict | None:
    """Why a promotion does not begin now."""
    pace, replicas = target.pace, target.replicas
    by_canary = study.spec.promotion.strategy is Strategy.CANARY
    if target.withheld:
        message = f"a promotion would not reach all of production's pods: {target.withheld}"
        return Verdict(StudyPhase.AWAITING_APPROVAL, "PromotionWithheld", message, stalled=True)
    if by_canary and traffic is None:
        return Verdict(StudyPhase.AWAITING_APPROVAL, "NoPrometheus", _NO_PROMETHEUS, stalled=True)
    if pace.unavailable >= replicas and not study.spec.promotion.allow_downtime:
        return Verdict(StudyPhase.AWAITING_APPROVAL, "PromotionNeedsDowntime", _downtime(target), stalled=True)
    if study.spec.promotion.mode is PromotionMode.GIT:
        return None  # people decide when production rolls out
    if pace.unavailable and not by_canary:
        return None
    if room is None:
        return Verdict(
            StudyPhase.PROMOTING, "AskingForRoom", "a GPU for one more pod is looked for", asks_for_room=True
        )
    if room.places < 1 and not paces(study, target, room, undisturbed):
        who = "a canary is one more pod" if by_canary else _SURGE
        why = "" if by_canary else f". Nor can replicas go one after the other: {objection(study, target, undisturbed)}"
        message = f"{who}, as a trial would be: {room.message}{why}"
        return Verdict(StudyPhase.PROMOTING, room.reason, message)
    return None


_SURGE = "production's rolling update makes a new pod before it ends an old one"

_NO_PROMETHEUS = (
    "strategy Canary holds the canary's traffic against production's, which Prometheus has, and the operator knows of "
    "none; start it with --prometheus-url (SLOGUARD_PROMETHEUS_URL), or set spec.promotion.strategy to Rolling"
)


def _downtime(target: TargetState) -> str:
    replicas = target.replicas
    ended = "the only replica" if replicas == 1 else f"all {replicas} replicas"
    return (
        f"a rollout of production ends {ended} before new ones are ready, and requests would find no server meanwhile. "
        f"{target.more_room}, or allow it by spec.promotion.allowDowntime"
    )
