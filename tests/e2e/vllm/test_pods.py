"""The operator tunes the real vLLM in pods, and patches production with what it found.

The space has two configurations, and the budget is enough for both: one serves well, and one takes more memory than the
pod may have.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from tests.clusters import image
from tests.e2e import demo
from tests.e2e.vllm import serving

if TYPE_CHECKING:
    from tests.clusters.handle import Cluster
    from tests.clusters.vllm_cpu import VllmCpu

Object = dict[str, Any]

NAME = "tiny"
STUDY = "real"
# vLLM keeps 2,048 tokens' ids for each sequence that it may be given: 4 GB for these
TOO_MANY_SEQUENCES = "400000"
MEMORY = "5Gi"  # 3.5 are used
SPACE = [serving.choice("max_num_seqs", "64", TOO_MANY_SEQUENCES)]
CONFIRMATIONS = 1


def production(namespace: str, vllm: VllmCpu) -> list[Object]:
    # no step may be smaller than the number of sequences, as vLLM has it
    command = serving.command(vllm, f"--max-num-batched-tokens={TOO_MANY_SEQUENCES}")
    container = {
        "name": "vllm",
        "image": image.NAME,
        "imagePullPolicy": "Never",
        "command": command[:2],
        "args": command[2:],
        "env": [{"name": name, "value": value} for name, value in serving.variables(vllm).items()],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 2, "timeoutSeconds": 5},
        # no share of the CPU is asked for: whatever does, such as the load, comes first
        "resources": {"limits": {"memory": MEMORY}},
        "volumeMounts": [
            {"name": "vllm", "mountPath": str(vllm.folder), "readOnly": True},
            {"name": "shared-memory", "mountPath": "/dev/shm"},
        ],
    }
    pod = {
        # the folder may lie where only root gets to
        "securityContext": {"runAsUser": 0},
        "terminationGracePeriodSeconds": 10,
        "containers": [container],
        "volumes": [
            {"name": "vllm", "hostPath": {"path": str(vllm.folder), "type": "Directory"}},
            {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "256Mi"}},
        ],
    }
    metadata, labels = {"name": NAME, "namespace": namespace}, {"app": NAME}
    deployment = {
        "replicas": 1,
        "progressDeadlineSeconds": serving.SECONDS_TO_START,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    service = {"selector": labels, "ports": [{"name": "http", "port": 8000, "targetPort": "http"}]}
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    ]


def study(namespace: str, workload: Object) -> Object:
    made = serving.study(
        STUDY,
        {"kind": "Deployment", "name": NAME, "container": "vllm"},
        workload,
        SPACE,
        budget={"trials": 8, "gpuMinutes": 60, "wallClockMinutes": 60},
        promotion={
            "mode": "Automatic",
            "strategy": "Rolling",
            "confirmations": CONFIRMATIONS,
            "minimumImprovementPercent": 5,
            "verification": {"durationSeconds": 10},
        },
    )
    made["metadata"]["namespace"] = namespace
    return made


@dataclass
class Story:
    """What happened, for the tests below to look at."""

    study: Object = field(default_factory=dict)
    production: Object = field(default_factory=dict)
    trials: list[Object] = field(default_factory=list)
    after: Object = field(default_factory=dict)


@pytest.fixture(scope="module")
def story(operator, cluster, vllm, workload, module_namespace):
    assert operator is cluster
    namespace = module_namespace
    cluster.apply(*production(namespace, vllm))
    _rolled_out(cluster, namespace)
    told = Story()
    cluster.apply(study(namespace, workload))
    cluster.wait_for("end of the study", lambda: _ended(cluster, namespace), 1200)
    told.study = cluster.get("slostudy", STUDY, namespace)
    # a machine too busy to send the load in time is no news of vLLM; such a trial was made again
    told.trials = [t for t in demo.trials(cluster, namespace) if t["status"].get("outcome") != "Infrastructure"]
    told.production = cluster.get("deployment", NAME, namespace)
    if told.study["status"]["phase"] == "Completed":
        _rolled_out(cluster, namespace)
        told.after = _measure(cluster, namespace, workload)
    return told


def _rolled_out(cluster: Cluster, namespace: str) -> None:
    seconds = serving.SECONDS_TO_START
    wait = ("rollout", "status", f"deployment/{NAME}", "-n", namespace, f"--timeout={seconds}s")
    cluster.kubectl(*wait, timeout_seconds=seconds + 10)


def _ended(cluster: Cluster, namespace: str) -> bool:
    status = cluster.get("slostudy", STUDY, namespace).get("status", {})
    stalled = any(c["type"] == "Stalled" and c["status"] == "True" for c in status.get("conditions", []))
    return stalled or status.get("phase") in {"Completed", "Failed"}


def _measure(cluster: Cluster, namespace: str, workload: Object) -> Object:
    """Production's own goodput at the study's load, through its Service."""
    name = "after"
    request = {"url": f"http://{NAME}:8000", "workload": workload, "slos": serving.SLOS}
    environment = [{"name": "SLOGUARD_LOAD_REQUEST", "value": json.dumps(request)}]
    command = ["sloguard", "load", "--output", "/dev/termination-log"]
    cluster.create(demo.pod(namespace, name, command, env=environment))
    cluster.wait_for(f"measurement {name}", lambda: demo._message(cluster, namespace, name), 120)
    (rate,) = demo.result(cluster, namespace, name)["rates"]
    return rate


def test_the_study_tried_everything_and_says_what_it_was(story):
    assert story.study["status"]["phase"] == "Completed", story.study["status"]["conditions"]
    purposes = [t["spec"]["purpose"] for t in story.trials]
    assert purposes[:4] == ["Production", "Default", "Search", "Search"]
    repeats = purposes[4:]
    assert set(repeats) <= {"Confirm", "Default", "Production"}
    assert repeats.count("Confirm") == CONFIRMATIONS, (
        "of the defaults where they serve all that is asked, as a candidate"
    )
    assert "Production" in repeats
    measured = {purpose: repeats.count(purpose) for purpose in set(repeats)}
    measured |= {purpose: 1 + repeats.count(purpose) for purpose in ("Production", "Default", "Search")}
    figures = serving.goodputs(story.trials)
    assert {purpose: len(found) for purpose, found in figures.items()} == measured, figures


def test_one_candidate_was_killed_for_its_memory(story):
    greedy = next(t for t in story.trials if t["spec"]["parameters"] == {"max_num_seqs": TOO_MANY_SEQUENCES})
    assert greedy["status"]["crash"]["class"] == "HostOutOfMemory"


def test_production_serves_several_times_more_than_before(story):
    assert story.study["status"]["promotion"]["state"] == "Promoted"
    (container,) = story.production["spec"]["template"]["spec"]["containers"]
    arguments = story.study["status"]["recommendation"]["arguments"]
    assert container["args"][-len(arguments) :] == arguments
    assert "--max-num-seqs=2" not in arguments
    before = serving.goodputs(story.trials)["Production"]
    assert story.after["goodTokens"] > 3 * max(before) * story.after["durationMilliseconds"] / 1000


def test_nothing_of_the_trials_stays(story, cluster, module_namespace):
    assert story.trials
    names = {d["metadata"]["name"] for d in cluster.get("deployments", "", module_namespace)["items"]}
    assert names == {NAME}
