"""LeaderWorkerSets (sigs.k8s.io/lws) whose groups are one pod. Pure.

Its status does not say which generation it speaks of, so an update counts as rolled out only when pods are seen that
run today's arguments and are ready. Groups of several pods cannot be tried by a candidate, which is one pod.
"""

from typing import Final

from sloguard.api.v1alpha1 import TargetKind
from sloguard.cluster.api import Resource
from sloguard.cluster.objects import Object, condition, listing, section
from sloguard.cluster.workloads.claims import with_claims
from sloguard.cluster.workloads.workload import (
    CandidateTemplate,
    Workload,
    all_replicas,
    replicas_of,
    surge_of,
    unavailable_of,
)
from sloguard.engine.snapshot import Pace, TargetProblem

LEADER_WORKER_SETS: Final = Resource("apis/leaderworkerset.x-k8s.io/v1", "leaderworkersets")
_GROUP: Final = ("spec", "leaderWorkerTemplate")

ALONE: Final = {"LWS_LEADER_ADDRESS": "127.0.0.1", "LWS_GROUP_SIZE": "1", "LWS_WORKER_INDEX": "0"}
"""What its webhook puts into the environment of each pod, for a group of one."""


def _template_path(stored: Object) -> tuple[str, ...]:
    """The leader is the group's only pod; without a template of its own it has the workers'."""
    return (*_GROUP, "leaderTemplate" if section(stored, *_GROUP, "leaderTemplate") else "workerTemplate")


def _pod_labels(stored: Object) -> dict[str, str]:
    prefix = "leaderworkerset.sigs.k8s.io"
    return {f"{prefix}/name": stored["metadata"]["name"], f"{prefix}/worker-index": "0"}


def _rolling(stored: Object) -> Object:
    return section(stored, "spec", "rolloutStrategy", "rollingUpdateConfiguration")


def _pace(stored: Object) -> Pace:
    replicas = replicas_of(stored)
    surge = min(surge_of(_rolling(stored).get("maxSurge", 0), replicas), replicas)
    unavailable = unavailable_of(_rolling(stored).get("maxUnavailable", 1), replicas)
    return Pace(surge, unavailable if surge or unavailable else 1)


def _is_updating(stored: Object) -> bool:
    status = section(stored, "status")
    in_progress = condition(stored, "UpdateInProgress").get("status") == "True"
    return in_progress or status.get("updatedReplicas", 0) < status.get("replicas", 0)


def _is_rolled_out(stored: Object, ready: int) -> bool:
    counts = ("replicas", "updatedReplicas", "readyReplicas")
    return ready == replicas_of(stored) and all_replicas(stored, *counts)


def _withheld(stored: Object) -> str:
    partition = _rolling(stored).get("partition", 0)
    if not partition:
        return ""
    return (
        f"LeaderWorkerSet {stored['metadata']['name']} has rolloutStrategy.rollingUpdateConfiguration.partition "
        f"{partition}, which keeps updates from its groups with lower numbers; set it to 0 there"
    )


def _objection(stored: Object) -> TargetProblem | None:
    size = section(stored, *_GROUP).get("size", 1)
    if size == 1:
        return None
    message = (
        f"LeaderWorkerSet {stored['metadata']['name']} has groups of {size} pods (spec.leaderWorkerTemplate.size), and "
        "a trial is a single pod; only groups of 1 can be tuned"
    )
    return TargetProblem("TargetHasSeveralPods", message)


def _for_candidate(stored: Object) -> CandidateTemplate:
    template = section(stored, *_template_path(stored))
    claims = listing(stored, *_GROUP, "volumeClaimTemplates")
    found = with_claims(template, claims, f"{stored['metadata']['name']}-0")
    containers = [_with_environment(container) for container in listing(found.template, "spec", "containers")]
    spec = section(found.template, "spec") | {"containers": containers}
    return CandidateTemplate(found.template | {"spec": spec}, found.differs)


def _with_environment(container: Object) -> Object:
    """In front, so that what follows can refer to it."""
    given = [variable for variable in listing(container, "env") if variable["name"] not in ALONE]
    return container | {"env": [{"name": name, "value": value} for name, value in ALONE.items()] + given}


LEADER_WORKER_SET: Final = Workload(
    kind=TargetKind.LEADER_WORKER_SET,
    resource=LEADER_WORKER_SETS,
    pod_suffix="-[0-9]+",
    more_room="Give the LeaderWorkerSet more replicas, or rollingUpdateConfiguration maxSurge 1 and maxUnavailable 0 "
    "(which needs a spare GPU)",
    template_path=_template_path,
    pod_labels=_pod_labels,
    pace=_pace,
    is_updating=_is_updating,
    is_rolled_out=_is_rolled_out,
    withheld=_withheld,
    installed_by="https://github.com/kubernetes-sigs/lws",
    objection=_objection,
    for_candidate=_for_candidate,
)
