"""Deployments. Pure.

The pace of a rolling update is reckoned as the controller does it: percentages are of the replicas, surge rounded up
and unavailability down; where both come to 0, one may be unavailable (kubernetes/kubernetes,
pkg/controller/deployment/util: ResolveFenceposts).
"""

from typing import Final

from sloguard.api.v1alpha1 import RolloutPace, TargetKind
from sloguard.cluster.api import DEPLOYMENTS
from sloguard.cluster.field_owners import applier, updater
from sloguard.cluster.objects import Object, condition, section
from sloguard.cluster.workloads.workload import (
    Workload,
    all_replicas,
    replicas_of,
    seen_by_controller,
    selected_labels,
    surge_of,
    unavailable_of,
)
from sloguard.domain.text import readable
from sloguard.engine.snapshot import DeclaredPace, Pace

_DEFAULT = "25%"
_DEADLINE_SECONDS: Final = 600

_PACE_FIELDS: Final = (
    ("f:spec", "f:strategy", "f:rollingUpdate", "f:maxSurge"),
    ("f:spec", "f:strategy", "f:rollingUpdate", "f:maxUnavailable"),
    ("f:spec", "f:minReadySeconds"),
)


def _pace(stored: Object) -> Pace:
    """Of the strategy that it has now."""
    spec, replicas = section(stored, "spec"), replicas_of(stored)
    if section(spec, "strategy").get("type") == "Recreate":
        return Pace(surge=0, unavailable=replicas)
    rolling = section(spec, "strategy", "rollingUpdate")
    surge = surge_of(rolling.get("maxSurge", _DEFAULT), replicas)
    unavailable = unavailable_of(rolling.get("maxUnavailable", _DEFAULT), replicas)
    return Pace(surge, unavailable if surge or unavailable else 1)


def _declared_pace(stored: Object) -> DeclaredPace | None:
    """None of strategy Recreate, which has none."""
    spec = section(stored, "spec")
    if section(spec, "strategy").get("type") == "Recreate":
        return None
    rolling = section(spec, "strategy", "rollingUpdate")
    pace = RolloutPace(
        max_surge=str(rolling.get("maxSurge", _DEFAULT)),
        max_unavailable=str(rolling.get("maxUnavailable", _DEFAULT)),
        min_ready_seconds=spec.get("minReadySeconds", 0),
    )
    applies = applier(stored, _PACE_FIELDS)
    return DeclaredPace(
        pace=pace,
        progress_deadline_seconds=spec.get("progressDeadlineSeconds", _DEADLINE_SECONDS),
        manager=updater(stored, _PACE_FIELDS),
        withheld=_applied_by(stored["metadata"]["name"], applies) if applies else "",
    )


def _applied_by(name: str, manager: str) -> str:
    return readable(
        f"{manager} applies the strategy of Deployment {name} (server-side) and would put it back; set maxSurge to 0 "
        "and maxUnavailable to 1 there"
    )


def _is_updating(stored: Object) -> bool:
    status = section(stored, "status")
    return not seen_by_controller(stored) or status.get("updatedReplicas", 0) < status.get("replicas", 0)


def _is_rolled_out(stored: Object, _: int) -> bool:
    counts = ("replicas", "updatedReplicas", "availableReplicas")
    return seen_by_controller(stored) and all_replicas(stored, *counts)


def _withheld(stored: Object) -> str:
    name, paused = stored["metadata"]["name"], section(stored, "spec").get("paused", False)
    return f"Deployment {name} is paused; kubectl rollout resume deployment/{name}" if paused else ""


def _failed(stored: Object) -> str:
    progressing = condition(stored, "Progressing")
    if progressing.get("reason") != "ProgressDeadlineExceeded" or not seen_by_controller(stored):
        return ""
    return readable(progressing.get("message") or "the rollout's deadline has passed")


DEPLOYMENT: Final = Workload(
    kind=TargetKind.DEPLOYMENT,
    resource=DEPLOYMENTS,
    # of its ReplicaSet's hash and a random end
    pod_suffix="-[a-z0-9]+-[a-z0-9]{5}",
    more_room="Give the Deployment more replicas, or strategy RollingUpdate with maxSurge 1 and maxUnavailable 0 "
    "(which needs a spare GPU)",
    template_path=lambda _: ("spec", "template"),
    pod_labels=selected_labels,
    pace=_pace,
    is_updating=_is_updating,
    is_rolled_out=_is_rolled_out,
    withheld=_withheld,
    failed=_failed,
    declared_pace=_declared_pace,
)
