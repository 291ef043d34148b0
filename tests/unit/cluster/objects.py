"""Kubernetes objects as the API server and the kubelet write them, in a line each."""

import copy
from typing import Any

from sloguard.api.v1alpha1 import Study, Trial
from sloguard.cluster.records import owner_of
from tests.short_study import laid_over, short_spec

Object = dict[str, Any]

T0 = "2026-03-02T12:00:00Z"
LATER = "2026-03-02T12:00:30Z"

STUDY: Object = {
    "apiVersion": "sloguard.dev/v1alpha1",
    "kind": "SLOGuardStudy",
    "metadata": {"name": "s", "namespace": "prod", "uid": "study-uid", "generation": 1, "resourceVersion": "7"},
    "spec": short_spec(budget={"trials": 6, "gpuMinutes": 100, "wallClockMinutes": 100}),
}

VLLM: Object = {
    "name": "vllm",
    "image": "vllm/vllm-openai:v0.33.0",
    "args": ["org/model", "--max-num-seqs=2", "--port=8000"],
    "ports": [{"name": "http", "containerPort": 8000}],
    "resources": {"limits": {"nvidia.com/gpu": "1"}},
}


def study(**spec: Any) -> Study:
    """`budget={"trials": 3}` and the like are laid over STUDY, one level deep."""
    return Study.model_validate(STUDY | {"spec": laid_over(STUDY["spec"], spec)})


def trial_object(number=0, attempt=1, *, status=None, metadata=None, owner=None, **spec) -> Object:
    purpose = {0: "Production", 1: "Default"}.get(number, "Search")
    parameters = {} if number < 2 else {"max_num_seqs": str(10 + number)}
    given = {"study": "s", "number": number, "attempt": attempt, "purpose": purpose, "parameters": parameters} | spec
    name = f"s-{number}-{attempt}"
    own = {
        "name": name,
        "namespace": "prod",
        "uid": f"uid-{name}",
        "labels": {"sloguard.dev/study": "s"},
        "ownerReferences": [owner_of(study()) | (owner or {})],
    }
    return {
        "apiVersion": "sloguard.dev/v1alpha1",
        "kind": "SLOGuardTrial",
        "metadata": own | (metadata or {}),
        "spec": given,
        "status": status or {},
    }


def trial(number=2, **more: Any) -> Trial:
    return Trial.model_validate(trial_object(number, **more))


def begun(**status: Any) -> Object:
    return {"phase": "Starting", "startedAt": T0} | status


def finished(outcome: str = "Feasible", **status: Any) -> Object:
    return {"phase": "Finished", "startedAt": T0, "finishedAt": LATER, "outcome": outcome} | status


def deployment(container: Object | None = None, *, metadata=None, status=None, template=None, **spec: Any) -> Object:
    """Production, rolled out."""
    pod = {"metadata": {"labels": {"app": "llama"}}, "spec": {"containers": [container or VLLM]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "llama", "namespace": "prod", "generation": 3, "resourceVersion": "42"} | (metadata or {}),
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "llama"}},
            "template": copy.deepcopy(template or pod),
        }
        | spec,
        "status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
        | (status or {}),
    }


def pod(
    state: Object | None = None,
    *,
    name="p",
    container="vllm",
    last=None,
    restarts=0,
    ready=False,
    created=T0,
    deleted=None,
    args=None,
    owner=None,
    status=None,
) -> Object:
    """A pod as the kubelet reports it; without a state it has no container status yet."""
    reported = {
        "name": container,
        "state": state,
        "lastState": last or {},
        "restartCount": restarts,
        "ready": ready,
        "started": ready,
        "image": "",
        "imageID": "",
    }
    metadata = {"name": name, "uid": f"uid-{name}", "creationTimestamp": created}
    if deleted:
        metadata["deletionTimestamp"] = deleted
    if owner:
        metadata["ownerReferences"] = [{"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": owner}]
    spec = {"containers": [{"name": container, "args": args or []}, {"name": "sidecar"}]}
    own = {"phase": "Running" if state else "Pending"} | ({"containerStatuses": [reported]} if state else {})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": own | (status or {})}


def running(since: str = T0) -> Object:
    return {"running": {"startedAt": since}}


def waiting(reason: str, message: str = "") -> Object:
    return {"waiting": {"reason": reason} | ({"message": message} if message else {})}


def terminated(code: int, reason: str, *, message: str = "", since: str = T0, until: str = LATER) -> Object:
    said = {"message": message} if message else {}
    ended = {
        "exitCode": code,
        "reason": reason,
        "startedAt": since,
        "finishedAt": until,
        "containerID": "containerd://x",
    }
    return {"terminated": ended | said}
