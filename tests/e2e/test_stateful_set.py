"""Production as a StatefulSet of two replicas, each with a volume of its own: a study changes it under traffic."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e import demo

Object = dict[str, Any]

STUDY = "stateful"
SPEC: Object = {
    "target": {"kind": "StatefulSet", "name": demo.PRODUCTION, "container": "vllm"},
    "workload": demo.SMALL_LOAD,
    "searchSpace": {"preset": "None", "parameters": [{"name": "max_num_seqs", "choice": {"values": ["16"]}}]},
    "budget": {"trials": 3, "gpuMinutes": 60, "wallClockMinutes": 60},
    "trial": {"parallelism": 1, "startupTimeoutSeconds": 120},
    "promotion": {"mode": "Manual", "confirmations": 0, "verification": {"durationSeconds": 10}},
}
CANDIDATE = f"{STUDY}-2-1"


def production(namespace: str) -> list[Object]:
    """The example's, with a StatefulSet in the place of the Deployment."""
    objects = demo.production(namespace)
    (one,) = [o for o in objects if o["kind"] == "Deployment"]
    (container,) = one["spec"]["template"]["spec"]["containers"]
    container["volumeMounts"] = [{"name": "models", "mountPath": "/models"}]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}}
    kept = {key: one["spec"][key] for key in ("selector", "template")}
    one["kind"] = "StatefulSet"
    one["spec"] = kept | {
        "replicas": 2,
        "serviceName": demo.PRODUCTION,
        "volumeClaimTemplates": [{"metadata": {"name": "models"}, "spec": claim}],
    }
    return objects


@pytest.fixture(scope="module")
def promoted(operator, module_namespace):
    """The namespace, when a person has approved the candidate and it has been promoted."""
    cluster, namespace = operator, module_namespace
    cluster.apply(*production(namespace))
    watched = ("rollout", "status", f"statefulset/{demo.PRODUCTION}", "-n", namespace, "--timeout=120s")
    cluster.kubectl(*watched, timeout_seconds=130)
    demo.start_traffic(cluster, namespace)
    cluster.apply(demo.study(namespace, STUDY, **SPEC))
    cluster.wait_for("a claim of a candidate's own", lambda: _claims(cluster, namespace, f"{STUDY}-"), 180)
    cluster.wait_for("its trials", lambda: demo.phase(cluster, namespace, STUDY) in ENDED, 400)
    approval = f'{{"spec": {{"promotion": {{"approvedTrial": "{CANDIDATE}"}}}}}}'
    cluster.kubectl("patch", "slostudy", STUDY, "-n", namespace, "--type=merge", "-p", approval)
    cluster.wait_for("the promotion's end", lambda: _promotion(cluster, namespace) in {"Promoted", "RolledBack"}, 240)
    return namespace


ENDED = {"AwaitingApproval", "Completed"}


def test_every_pod_of_the_stateful_set_has_the_approved_arguments(operator, promoted):
    assert _promotion(operator, promoted) == "Promoted"
    stored = operator.get("statefulset", demo.PRODUCTION, promoted)
    assert "--max-num-seqs=16" in stored["spec"]["template"]["spec"]["containers"][0]["args"]
    status = stored["status"]
    assert (status["updatedReplicas"], status["availableReplicas"]) == (2, 2)
    assert status["currentRevision"] == status["updateRevision"]
    pods = operator.get("pods", "", promoted, "-l", f"app={demo.PRODUCTION}")["items"]
    assert {p["metadata"]["name"] for p in pods} == {f"{demo.PRODUCTION}-0", f"{demo.PRODUCTION}-1"}
    assert all("--max-num-seqs=16" in p["spec"]["containers"][0]["args"] for p in pods)


def test_no_request_of_the_traffic_failed(operator, promoted):
    """A pod goes before its successor is made, and the other one serves meanwhile."""
    seen = demo.traffic(operator, promoted)
    print(f"traffic: {seen['sent']} requests, slowest {seen['slowest_seconds']} s")
    assert seen["errors"] == []
    assert seen["failed"] == 0


def test_candidates_leave_no_volume_behind(operator, promoted):
    operator.wait_for("volumes to go", lambda: not _claims(operator, promoted, f"{STUDY}-"), 60)
    assert len(_claims(operator, promoted, "models-")) == 2
    conditions = operator.get("slostudy", STUDY, promoted)["status"]["conditions"]
    (told,) = [c for c in conditions if c["type"] == "CandidatesDiffer"]
    assert "volumes of their own for models" in told["message"]


def _claims(cluster, namespace: str, prefix: str) -> list[str]:
    names = [c["metadata"]["name"] for c in cluster.get("persistentvolumeclaims", "", namespace)["items"]]
    return [name for name in names if name.startswith(prefix)]


def _promotion(cluster, namespace: str) -> str:
    status = cluster.get("slostudy", STUDY, namespace).get("status", {})
    return status.get("promotion", {}).get("state", "")
