"""Two studies at once: one GPU each, and neither sees anything of the other."""

from __future__ import annotations

import pytest

from tests.e2e import demo

BUDGET = {"trials": 4, "gpuMinutes": 30, "wallClockMinutes": 30}
OFF = {"mode": "Off", "confirmations": 0}


@pytest.fixture(scope="module")
def both(operator, module_namespace):
    namespace = module_namespace
    demo.install_production(operator, namespace)
    shared = {"workload": demo.SMALL_LOAD, "budget": BUDGET, "promotion": OFF}
    operator.apply(
        demo.study(namespace, "one", **shared, optimizer={"name": "random", "seed": 1}),
        demo.study(namespace, "two", **shared, optimizer={"name": "tpe", "seed": 2}),
    )
    operator.wait_for("two servers at once", lambda: len(_servers(operator, namespace)) == 2, 120)
    for name in ("one", "two"):
        operator.wait_for(f"end of {name}", lambda name=name: _ended(operator, namespace, name), 400)
    return namespace


def test_each_study_has_its_own_trials_and_all_of_them(operator, both):
    found = demo.trials(operator, both)
    for name in ("one", "two"):
        own = [t for t in found if t["metadata"]["name"].startswith(f"{name}-")]
        assert {t["spec"]["study"] for t in own} == {name}
        numbers = {t["spec"]["number"] for t in own if t["status"]["outcome"] != "Infrastructure"}
        assert numbers == {0, 1, 2, 3}


def test_no_request_of_one_reached_a_server_of_the_other(operator, both):
    measured = [
        rate
        for trial in demo.trials(operator, both)
        for rate in trial["status"].get("measurements") or []
        if trial["status"]["outcome"] == "Feasible"
    ]
    assert measured
    for rate in measured:
        assert rate["server"]["promptTokens"] == rate["promptTokens"]


def test_production_was_not_touched(operator, both):
    deployment = operator.get("deployment", demo.PRODUCTION, both)
    assert deployment["metadata"]["generation"] == 1


def _servers(cluster, namespace: str) -> set[str]:
    pods = cluster.get("pods", "", namespace, "-l", "sloguard.dev/role=server")["items"]
    return {p["metadata"]["labels"]["sloguard.dev/study"] for p in pods if p["status"].get("phase") == "Running"}


def _ended(cluster, namespace: str, name: str) -> bool:
    return demo.phase(cluster, namespace, name) == "Completed"
