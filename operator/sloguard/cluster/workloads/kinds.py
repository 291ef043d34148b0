"""All kinds that may be a target on a cluster. Whoever adds one adds a file beside this one, and a line here."""

from collections.abc import Mapping
from typing import Final

from sloguard.api.v1alpha1 import TargetKind
from sloguard.cluster.objects import Object
from sloguard.cluster.workloads.deployment import DEPLOYMENT
from sloguard.cluster.workloads.leader_worker_set import LEADER_WORKER_SET
from sloguard.cluster.workloads.stateful_set import STATEFUL_SET
from sloguard.cluster.workloads.workload import Workload

WORKLOADS: Final[Mapping[TargetKind, Workload]] = {
    one.kind: one for one in (DEPLOYMENT, STATEFUL_SET, LEADER_WORKER_SET)
}


def workload_of(stored: Object) -> Workload:
    """By the object's own kind; in a list they say none, and what the operator lists are candidates: Deployments."""
    return WORKLOADS[TargetKind(stored.get("kind", TargetKind.DEPLOYMENT))]


def template_of(stored: Object) -> Object:
    """Its pod template."""
    return workload_of(stored).template(stored)
