"""A study goes on while what it stands on breaks: kubelets, container runtime, API server, etcd's history, network.

Each fault comes while a trial is under load, one after the other. What may not happen: a trial made twice or left out,
a touched production, objects left behind, an operator that ends or shows a traceback.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e import demo, node_faults
from tests.e2e.operator_pod import NAMESPACE, restarts

Object = dict[str, Any]

STUDY = "enduring"
TRIALS = 8
DOWN_SECONDS = 60
"""Longer than leases and probes take notice of; nodes are called NotReady after 50 s."""


@pytest.fixture(scope="module")
def story(operator, kind_cluster, module_namespace):
    assert operator is kind_cluster
    demo.install_production(operator, module_namespace)
    before = operator.get("deployment", demo.PRODUCTION, module_namespace)
    told: Object = {"namespace": module_namespace, "before": before, "restarts": restarts(operator)}
    operator.apply(
        demo.study(
            module_namespace,
            STUDY,
            workload=demo.SMALL_LOAD | {"durationSeconds": 12},
            budget={"trials": TRIALS, "gpuMinutes": 90, "wallClockMinutes": 60, "stopEarly": False},
            promotion={"mode": "Off", "confirmations": 0},
            trial={"parallelism": 1, "startupTimeoutSeconds": 180, "infrastructureRetries": 10},
        )
    )
    for number, fault in enumerate((_kubelets, _runtime, _api_server, _network, _node)):
        operator.wait_for(
            f"a load for fault {number}", lambda n=number: _under_load(operator, module_namespace, n), 300
        )
        fault(operator)
    operator.wait_for("end of the study", lambda: demo.phase(operator, module_namespace, STUDY) == "Completed", 900)
    told["restarts"] = restarts(operator) - told["restarts"]
    told["trials"] = demo.trials(operator, module_namespace)
    return told


def _kubelets(cluster) -> None:
    for node in (cluster.control_plane, cluster.worker):
        node_faults.restart(cluster, node, "kubelet")


def _runtime(cluster) -> None:
    node_faults.restart(cluster, cluster.worker, "containerd")


def _api_server(cluster) -> None:
    """Down for a minute; and when it is back, what happened before is no longer told."""
    with node_faults.api_server_down(cluster):
        time.sleep(DOWN_SECONDS)
        node_faults.compact_etcd(cluster)


def _network(cluster) -> None:
    pods = cluster.get("pods", "", NAMESPACE, "-l", "app.kubernetes.io/name=sloguard")["items"]
    with node_faults.api_server_unreachable(pods[0]["spec"]["nodeName"], pods[0]["status"]["podIP"]):
        time.sleep(DOWN_SECONDS)


def _node(cluster) -> None:
    with node_faults.kubelet_stopped(cluster, cluster.worker):
        cluster.wait_for("NotReady", lambda: not node_faults.ready(cluster, cluster.worker), 120)


def test_every_trial_was_made_once(story):
    numbers = {t["spec"]["number"] for t in story["trials"]}
    assert numbers == set(range(TRIALS))
    for number in numbers:
        attempts = [t for t in story["trials"] if t["spec"]["number"] == number]
        assert [t["spec"]["attempt"] for t in attempts] == list(range(1, len(attempts) + 1))
        *failed, last = [t["status"]["outcome"] for t in attempts]
        assert set(failed) <= {"Infrastructure"}
        assert last in {"Feasible", "Infeasible", "Crashed"}


def test_no_fault_below_was_held_against_a_candidate(story):
    """Those that served are production's and the defaults' configurations: they do not crash by themselves."""
    baselines = [t for t in story["trials"] if t["spec"]["purpose"] in {"Production", "Default"}]
    assert {t["status"]["outcome"] for t in baselines} <= {"Feasible", "Infeasible", "Infrastructure"}


def test_production_was_not_touched(operator, story):
    now = operator.get("deployment", demo.PRODUCTION, story["namespace"])
    assert now["metadata"]["generation"] == story["before"]["metadata"]["generation"]
    assert now["spec"] == story["before"]["spec"]


def test_nothing_is_left_behind(operator, story):
    def left() -> list[Object]:
        found = operator.get("deployments,jobs,services", "", story["namespace"], "-l", "sloguard.dev/study")
        return found["items"]

    operator.wait_for("the last trial's end", lambda: not left(), 60)


def test_the_operator_came_through_without_a_traceback(operator, story):
    log = operator.kubectl("logs", "deployment/sloguard", "-n", NAMESPACE, "--tail=-1")
    if story["restarts"]:
        log += operator.kubectl("logs", "deployment/sloguard", "-n", NAMESPACE, "--previous", "--tail=-1")
    assert "reconcile failed" not in log
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]


def _under_load(cluster, namespace: str, least_number: int) -> bool:
    """A trial beyond the ones that earlier faults met."""
    return any(
        t.get("status", {}).get("phase") == "Loading" and t["spec"]["number"] >= least_number
        for t in demo.trials(cluster, namespace)
    )
