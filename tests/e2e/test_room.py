"""Trials beside production on a cluster with three GPUs: they take what is left, and give it back at once when told."""

from __future__ import annotations

import pytest

from tests.e2e import demo

SPEC = {
    "workload": demo.SMALL_LOAD | {"durationSeconds": 20},
    "budget": {"trials": 7, "gpuMinutes": 60, "wallClockMinutes": 60},
    "trial": {"parallelism": 3, "startupTimeoutSeconds": 120},
    "promotion": {"mode": "Off", "confirmations": 0},
}
SUSPENDED_WITHIN_SECONDS = 60
"""What the study's documentation promises."""


@pytest.fixture(scope="module")
def running(operator, module_namespace):
    """A study that wants three trials at once, where production leaves two GPUs."""
    demo.install_production(operator, module_namespace)
    operator.apply(demo.study(module_namespace, "wide", **SPEC))
    operator.wait_for("two trials at once", lambda: len(_servers(operator, module_namespace)) == 2, 180)
    return module_namespace


def test_it_waits_for_a_gpu_and_says_so(operator, running):
    operator.wait_for("the reason", lambda: "free" in _ready(operator, running)["message"], 60)
    assert _ready(operator, running)["reason"] == "WaitingForGPUs"
    assert not _pending(operator, running)


def test_suspended_it_frees_its_gpus_within_a_minute_and_loses_nothing(operator, running):
    finished = _finished(operator, running)
    operator.kubectl("patch", "slostudy", "wide", "-n", running, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    operator.wait_for("no server", lambda: not _servers(operator, running), SUSPENDED_WITHIN_SECONDS)
    assert demo.phase(operator, running, "wide") == "Suspended"
    assert finished.items() <= _finished(operator, running).items()


def test_production_that_grows_meanwhile_comes_first(operator, running):
    operator.kubectl("scale", f"deployment/{demo.PRODUCTION}", "-n", running, "--replicas=3")
    operator.wait_for("three of production", lambda: _ready_replicas(operator, running) == 3, 120)
    operator.kubectl("patch", "slostudy", "wide", "-n", running, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    operator.wait_for("the reason", lambda: _ready(operator, running)["reason"] == "WaitingForGPUs", 90)
    assert not _servers(operator, running)
    operator.kubectl("scale", f"deployment/{demo.PRODUCTION}", "-n", running, "--replicas=1")


def test_it_ends_with_every_trial(operator, running):
    operator.wait_for("its end", lambda: demo.phase(operator, running, "wide") == "Completed", 400)
    numbers = {t["spec"]["number"] for t in demo.trials(operator, running) if t["status"]["outcome"] != "Cancelled"}
    assert numbers == set(range(SPEC["budget"]["trials"]))
    assert operator.get("deployment", demo.PRODUCTION, running)["status"]["readyReplicas"] == 1


def _servers(cluster, namespace: str) -> list[str]:
    return [p["metadata"]["name"] for p in _pods(cluster, namespace, "sloguard.dev/role=server")]


def _pending(cluster, namespace: str) -> list[str]:
    """Pods that no node has room for."""
    return [
        pod["metadata"]["name"]
        for pod in _pods(cluster, namespace)
        for condition in pod["status"].get("conditions", [])
        if condition.get("reason") == "Unschedulable"
    ]


def _pods(cluster, namespace: str, selector: str = "") -> list[dict]:
    return cluster.get("pods", "", namespace, *(["-l", selector] if selector else []))["items"]


def _ready(cluster, namespace: str) -> dict:
    conditions = cluster.get("slostudy", "wide", namespace).get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Ready"), {"reason": "", "message": ""})


def _finished(cluster, namespace: str) -> dict[str, str]:
    found = demo.trials(cluster, namespace)
    return {t["metadata"]["name"]: t["status"]["outcome"] for t in found if t.get("status", {}).get("outcome")}


def _ready_replicas(cluster, namespace: str) -> int:
    return cluster.get("deployment", demo.PRODUCTION, namespace)["status"].get("readyReplicas", 0)
