"""Nodes with GPUs and pods on them, in a line each."""

import copy

from tests.unit.cluster.objects import deployment

GPU = "nvidia.com/gpu"


def node(name="a", gpus=4, *, ready=True, labels=None, taints=None, unschedulable=False, resource=GPU, **allocatable):
    offers = {resource: str(gpus), "cpu": "64", "memory": "512Gi", "pods": "110"} | allocatable
    spec = {"unschedulable": True} if unschedulable else {}
    return {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec | ({"taints": taints} if taints else {}),
        "status": {"allocatable": offers, "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def gpu_pod(on=None, gpus=1, *, of="other", namespace="prod", phase="Running", deleted=False, resource=GPU, **more):
    """Of a Deployment; pending where it is on no node."""
    owner = {"kind": "ReplicaSet", "name": f"{of}-5d9f", "uid": "u", "controller": True}
    metadata = {"name": f"{of}-x", "namespace": namespace, "labels": {}, "ownerReferences": [owner]}
    if deleted:
        metadata["deletionTimestamp"] = "2026-03-02T12:00:00Z"
    limits = {resource: str(gpus)} if gpus else {"cpu": "1"}
    spec = {"containers": [{"name": "vllm", "resources": {"limits": limits}}]} | more
    return {
        "metadata": metadata,
        "spec": spec | ({"nodeName": on} if on else {}),
        "status": {"phase": phase if on else "Pending"},
    }


def production(gpus=1, replicas=1, *, resource=GPU, status=None, labels=None, **spec):
    """Rolled out; `spec` is laid over the pod's."""
    container = {"name": "vllm", "args": ["m"], "resources": {"limits": {resource: str(gpus)} if gpus else {}}}
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), replicas)
    made = deployment(copy.deepcopy(container), replicas=replicas, status=counts | (status or {}))
    made["metadata"]["labels"] = labels or {}
    made["spec"]["template"]["spec"] |= spec
    return made


def own(*, on="a", count=1, gpus=1, **more):
    """Production's own pods."""
    return [gpu_pod(on, gpus, of="llama", **more) for _ in range(count)]
