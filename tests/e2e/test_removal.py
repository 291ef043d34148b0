"""What a study leaves behind: nothing, with the operator or without it."""

from __future__ import annotations

import pytest

from tests.e2e import demo
from tests.e2e.operator_pod import NAMESPACE

CHILDREN = "slotrials,deployments,services,jobs,pods"


@pytest.fixture
def busy_study(operator, namespace):
    """A study whose first trial is under load."""
    demo.install_production(operator, namespace)
    operator.apply(demo.study(namespace, "going"))
    operator.wait_for("a load", lambda: _loading(operator, namespace), 120)
    return namespace


def test_deleting_a_study_removes_every_child(operator, busy_study):
    assert len(_children(operator, busy_study)) >= 5
    operator.kubectl("delete", "slostudy", "going", "-n", busy_study, "--timeout=30s")
    operator.wait_for("removal of the children", lambda: not _children(operator, busy_study), 90)


def test_deleting_the_operator_first_leaves_nothing_stuck(operator, busy_study):
    operator.kubectl("scale", "deployment/sloguard", "-n", NAMESPACE, "--replicas=0")
    try:
        operator.wait_for("the operator's end", lambda: not _operator_pods(operator), 60)
        operator.kubectl("delete", "slostudy", "going", "-n", busy_study, "--timeout=30s")
        operator.wait_for("removal of the children", lambda: not _children(operator, busy_study), 90)
        operator.kubectl("delete", "namespace", busy_study, "--timeout=90s", timeout_seconds=100)
    finally:
        operator.kubectl("scale", "deployment/sloguard", "-n", NAMESPACE, "--replicas=1")
        operator.kubectl(
            "rollout", "status", "deployment/sloguard", "-n", NAMESPACE, "--timeout=90s", timeout_seconds=100
        )


def _loading(cluster, namespace: str) -> bool:
    return any(t.get("status", {}).get("phase") == "Loading" for t in demo.trials(cluster, namespace)) and any(
        "-load-" in name for name in _children(cluster, namespace)
    )


def _children(cluster, namespace: str) -> list[str]:
    found = cluster.get(CHILDREN, "", namespace)["items"]
    return [o["metadata"]["name"] for o in found if o["metadata"]["name"].startswith("going-")]


def _operator_pods(cluster) -> list[dict]:
    return cluster.get("pods", "", NAMESPACE, "-l", "app.kubernetes.io/name=sloguard")["items"]
