"""StatefulSets. Pure.

An update ends a pod before it makes the new one of the same name, from the highest number down, and waits until that
is ready (kubernetes/kubernetes, pkg/controller/statefulset/stateful_set_control.go). With OrderedReady, the usual
policy, a pod that does not become ready is waited for even when the template it came from is taken back: it has to be
removed.
"""

from collections.abc import Sequence
from typing import Final

from sloguard.api.v1alpha1 import TargetKind
from sloguard.cluster.api import Resource
from sloguard.cluster.objects import Object, being_deleted, condition, listing, owned_by, section
from sloguard.cluster.workloads.claims import with_claims
from sloguard.cluster.workloads.workload import (
    CandidateTemplate,
    Workload,
    all_replicas,
    replicas_of,
    seen_by_controller,
    selected_labels,
    unavailable_of,
)
from sloguard.engine.snapshot import Pace

STATEFUL_SETS: Final = Resource("apis/apps/v1", "statefulsets")
_TEMPLATE: Final = ("spec", "template")


def _pace(stored: Object) -> Pace:
    """One by one, unless maxUnavailable says otherwise, which older versions of Kubernetes do not know."""
    rolling = section(stored, "spec", "updateStrategy", "rollingUpdate")
    return Pace(surge=0, unavailable=max(unavailable_of(rolling.get("maxUnavailable", 1), replicas_of(stored)), 1))


def _is_updating(stored: Object) -> bool:
    status = section(stored, "status")
    return not seen_by_controller(stored) or status.get("updatedReplicas", 0) < status.get("replicas", 0)


def _is_rolled_out(stored: Object, _: int) -> bool:
    counts = ("replicas", "updatedReplicas", "availableReplicas")
    return seen_by_controller(stored) and all_replicas(stored, *counts)


def _withheld(stored: Object) -> str:
    name, strategy = stored["metadata"]["name"], section(stored, "spec", "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return (
            f"StatefulSet {name} has updateStrategy OnDelete, which leaves pods as they are until somebody deletes "
            "them; set spec.updateStrategy.type to RollingUpdate there"
        )
    partition = section(strategy, "rollingUpdate").get("partition", 0)
    if partition:
        return (
            f"StatefulSet {name} has updateStrategy.rollingUpdate.partition {partition}, which keeps updates from its "
            "pods with lower numbers; set it to 0 there"
        )
    return ""


def _for_candidate(stored: Object) -> CandidateTemplate:
    first = section(stored, "spec", "ordinals").get("start", 0)
    claims = listing(stored, "spec", "volumeClaimTemplates")
    return with_claims(section(stored, *_TEMPLATE), claims, f"{stored['metadata']['name']}-{first}")


def _waited_for(stored: Object, pods: Sequence[Object]) -> list[Object]:
    if section(stored, "spec").get("podManagementPolicy") == "Parallel" or not seen_by_controller(stored):
        return []
    own = (pod for pod in pods if owned_by(pod, stored["metadata"]["uid"]) and not being_deleted(pod))
    return [pod for pod in own if condition(pod, "Ready").get("status") != "True"]


STATEFUL_SET: Final = Workload(
    kind=TargetKind.STATEFUL_SET,
    resource=STATEFUL_SETS,
    pod_suffix="-[0-9]+",
    more_room="Give the StatefulSet more replicas",
    template_path=lambda _: _TEMPLATE,
    pod_labels=selected_labels,
    pace=_pace,
    is_updating=_is_updating,
    is_rolled_out=_is_rolled_out,
    withheld=_withheld,
    for_candidate=_for_candidate,
    waited_for=_waited_for,
)
