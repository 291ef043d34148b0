"""Two pods on two nodes share one load: they begin together, and their parts add up to all of it."""

from __future__ import annotations

import pytest

from tests.e2e import demo

SHARED = demo.SMALL_LOAD | {
    "arrival": {"pattern": "Poisson", "requestsPerMinute": 120},
    "durationSeconds": 10,
    "drainSeconds": 5,
    "generators": 2,
}


@pytest.fixture(scope="module")
def pods(operator, module_namespace):
    """Those that loaded production's trial, as they were once all of them had ended."""
    demo.install_production(operator, module_namespace)
    promotion = {"mode": "Off", "confirmations": 0}
    operator.apply(demo.study(module_namespace, "shared", workload=SHARED, promotion=promotion))
    seen: dict[str, dict] = {}

    def finished() -> bool:
        found = operator.get("pods", "", module_namespace, "-l", "sloguard.dev/role=load")["items"]
        seen.update({pod["metadata"]["name"]: pod for pod in found if _of_production(pod)})
        return bool(_production(operator, module_namespace).get("status", {}).get("outcome"))

    operator.wait_for("the end of production's trial", finished, 300)
    return list(seen.values())


def test_each_generator_was_a_pod_on_a_node_of_its_own(operator, pods):
    numbers = {pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for pod in pods}
    assert numbers == {"0", "1"}
    nodes = operator.get("nodes", "")["items"]
    assert len({pod["spec"]["nodeName"] for pod in pods}) == min(2, len(nodes))


@pytest.mark.usefixtures("pods")
def test_the_parts_are_all_of_the_load(operator, module_namespace):
    status = _production(operator, module_namespace)["status"]
    assert status["outcome"] in {"Feasible", "Infeasible"}, status
    (measured,) = status["measurements"]
    assert measured["sent"] == 20
    assert measured["server"]["promptTokens"] == measured["promptTokens"]
    for slo in measured["slos"]:
        assert slo["of"] >= measured["sent"]
        assert slo["errorBasisPoints"] > 0, "a percentile of merged parts says how exact it is"


def _of_production(pod: demo.Object) -> bool:
    return pod["metadata"]["labels"]["sloguard.dev/trial"] == "shared-0-1"


def _production(cluster, namespace: str) -> demo.Object:
    return next((t for t in demo.trials(cluster, namespace) if t["metadata"]["name"] == "shared-0-1"), {})
