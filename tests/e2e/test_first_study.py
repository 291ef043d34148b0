"""One study from `kubectl apply` to a patched production, with everything going wrong on the way.

The example's study: up to 15 trials whose space holds settings that the kernel kills for, that leave no room for a KV
cache, and that start and die under load with exit code 0. On top of it the operator is killed three times, and the
nodes lack production's image for a while.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.clusters import engine, image
from tests.e2e import demo
from tests.e2e.operator_pod import kill_operator, restarts
from tests.e2e.watch import watching

Object = dict[str, Any]

VLLM_IMAGE = "sloguard-vllm:test"  # production's own, so that a node can lack it and still run a load
STUDY = "first"


@dataclass
class Story:
    """What happened, for the tests below to look at."""

    namespace: str
    study: Object = field(default_factory=dict)
    production: Object = field(default_factory=dict)
    trials: list[Object] = field(default_factory=list)
    before: Object = field(default_factory=dict)
    after: Object = field(default_factory=dict)
    traffic: Object = field(default_factory=dict)
    pods: list[Object] = field(default_factory=list)
    slices: list[Object] = field(default_factory=list)
    kills: int = 0

    def crashes(self) -> dict[str, Object]:
        return {t["metadata"]["name"]: t["status"]["crash"] for t in self.trials if "crash" in t["status"]}

    def server_pods(self) -> list[Object]:
        return [p for p in self.pods if p["metadata"].get("labels", {}).get("sloguard.dev/role") == "server"]


@pytest.fixture(scope="module")
def story(operator, kind_cluster, module_namespace):
    cluster, namespace = kind_cluster, module_namespace
    assert operator is cluster
    engine.docker("tag", image.NAME, VLLM_IMAGE)
    cluster.load(VLLM_IMAGE)
    told = Story(namespace)
    demo.install_production(cluster, namespace, image_name=VLLM_IMAGE)
    demo.start_traffic(cluster, namespace)
    told.before = demo.measure(cluster, namespace, "before")
    killed = restarts(cluster)
    with (
        watching(cluster, "pods", namespace) as pods,
        watching(cluster, "endpointslices", namespace, "-l", f"kubernetes.io/service-name={demo.PRODUCTION}") as slices,
    ):
        cluster.apply(demo.study(namespace, STUDY, trial=TRIAL_SETTINGS))
        _trouble(cluster, namespace)
        cluster.wait_for("end of the study", lambda: _ended(cluster, namespace), 900)
        told.pods, told.slices = pods.seen(), slices.seen()
    told.kills = restarts(cluster) - killed
    told.after = demo.measure(cluster, namespace, "after")
    told.traffic = demo.traffic(cluster, namespace)
    told.study = cluster.get("slostudy", STUDY, namespace)
    told.trials = demo.trials(cluster, namespace)
    told.production = cluster.get("deployment", demo.PRODUCTION, namespace)
    return told


TRIAL_SETTINGS = {
    "parallelism": 1,
    "startupTimeoutSeconds": 120,
    "infrastructurePatienceSeconds": 20,
    "infrastructureRetries": 8,
}


def _trouble(cluster, namespace: str) -> None:
    """During a start, during a load, and during the promotion the operator is killed; between, an image is missing."""
    cluster.wait_for("a start", lambda: _phase_of(cluster, namespace, 1) == "Starting", 180)
    kill_operator(cluster)
    cluster.wait_for("a load", lambda: _phase_of(cluster, namespace, 2) == "Loading", 240)
    kill_operator(cluster)
    for node in (cluster.control_plane, cluster.worker):
        cluster.remove_image(node, VLLM_IMAGE)
    cluster.wait_for("an image that is missed", lambda: _outcomes(cluster, namespace, "Infrastructure"), 240)
    cluster.load(VLLM_IMAGE)
    cluster.wait_for("the promotion", lambda: _promotion(cluster, namespace) == "Promoting", 900)
    kill_operator(cluster)


def _phase_of(cluster, namespace: str, number: int) -> str:
    found = [t for t in demo.trials(cluster, namespace) if t["spec"]["number"] == number]
    return found[-1].get("status", {}).get("phase", "") if found else ""


def _outcomes(cluster, namespace: str, outcome: str) -> list[Object]:
    return [t for t in demo.trials(cluster, namespace) if t.get("status", {}).get("outcome") == outcome]


def _promotion(cluster, namespace: str) -> str:
    status = cluster.get("slostudy", STUDY, namespace).get("status", {})
    return status.get("promotion", {}).get("state", "")


def _ended(cluster, namespace: str) -> bool:
    return demo.phase(cluster, namespace, STUDY) in {"Completed", "Failed"}


def test_the_study_ends_with_production_patched_and_ready(story):
    assert story.study["status"]["phase"] == "Completed"
    assert story.study["status"]["promotion"]["state"] == "Promoted"
    recommendation = story.study["status"]["recommendation"]
    container = story.production["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == recommendation["arguments"]
    assert story.study["status"]["promotion"]["previousArguments"][-1] == "--max-num-seqs=2"
    status = story.production["status"]
    assert status["observedGeneration"] == story.production["metadata"]["generation"]
    assert status["readyReplicas"] == status["updatedReplicas"] == status["replicas"] == 1


def test_production_serves_more_than_before(story):
    before, after = story.before["rates"][0], story.after["rates"][0]
    ratio = after["goodTokens"] / max(before["goodTokens"], 1)
    print(f"goodput after/before: {ratio:.1f} ({after['goodTokens']} and {before['goodTokens']} good tokens)")
    assert ratio > 2


def test_the_kernel_killed_one_for_memory(story):
    classes = [crash["class"] for crash in story.crashes().values()]
    assert "HostOutOfMemory" in classes
    assert ("OOMKilled", 137) in _terminations(story)


def test_one_found_no_room_for_its_kv_cache_and_one_died_under_load_with_exit_code_0(story):
    crashes = story.crashes().values()
    no_room = next(c for c in crashes if c["class"] == "NoKVCacheRoom")
    assert "No available memory for the cache blocks" in no_room["cause"] or "KV short" in no_room["limit"]
    assert any(c.get("phase") == "Serving" for c in crashes)
    assert ("Completed", 0) in _terminations(story)


def _terminations(story) -> set[tuple[str, int]]:
    states = [s for p in story.server_pods() for s in p["status"].get("containerStatuses", [])]
    ended = [s[at]["terminated"] for s in states for at in ("state", "lastState") if "terminated" in s.get(at, {})]
    return {(one["reason"], one["exitCode"]) for one in ended}


def test_a_missing_image_is_infrastructures_fault_and_costs_no_trial(story):
    missed = [t for t in story.trials if t["status"].get("outcome") == "Infrastructure"]
    assert missed
    assert {t["status"]["crash"]["class"] for t in missed} == {"ImagePull"}
    numbers = {t["spec"]["number"] for t in story.trials}
    assert numbers == set(range(len(numbers)))
    assert story.study["status"]["trials"]["total"] == len(numbers)
    assert len(numbers) in {15, 16}, "the defaults need one repeat or two, and the winner is soaked"


def test_no_trial_was_lost_or_doubled_though_the_operator_was_killed_three_times(story):
    assert story.kills == 3
    measured = [t["spec"]["number"] for t in story.trials if t["status"].get("outcome") != "Infrastructure"]
    assert sorted(measured) == list(range(story.study["status"]["trials"]["total"]))
    uids: dict[str, set[str]] = {}
    for one in story.server_pods():
        uids.setdefault(one["metadata"]["labels"]["sloguard.dev/trial"], set()).add(one["metadata"]["uid"])
    assert {trial: len(found) for trial, found in uids.items() if len(found) > 1} == {}


def test_the_winner_was_confirmed(story):
    recommendation = story.study["status"]["recommendation"]
    repeats = [t for t in story.trials if t["spec"]["purpose"] == "Confirm"]
    assert recommendation["confirmations"] == 2
    assert recommendation["improvementPercent"] >= recommendation["improvementLowPercent"] >= 5
    beside = [t["spec"]["purpose"] for t in story.trials if t["spec"]["number"] > 9]
    assert {"Production", "Default"} < set(beside), "paired with repeats of both baselines"
    assert sum(t["spec"].get("parameters") == recommendation["parameters"] for t in repeats) == 2


def test_the_winner_outlived_its_worst_case_load(story):
    recommendation = story.study["status"]["recommendation"]
    (soak,) = (t for t in story.trials if t["spec"]["purpose"] == "Soak" and t["status"]["outcome"] == "Feasible")
    assert soak["spec"].get("parameters") == recommendation["parameters"]
    assert recommendation["soakedSeconds"] == soak["spec"]["soakSeconds"] == 20
    print(soak["status"]["message"])
    assert "each a prompt of 1500 and an answer of 64 tokens" in soak["status"]["message"]


def test_not_one_request_of_the_traffic_failed(story):
    print(f"traffic: {story.traffic['sent']} requests, slowest {story.traffic['slowest_seconds']} s")
    assert story.traffic["sent"] > 100
    assert story.traffic["errors"] == []
    assert story.traffic["failed"] == 0


def test_no_trial_was_ever_behind_productions_service(story):
    addressed = [e["targetRef"]["name"] for s in story.slices for e in s.get("endpoints") or [] if "targetRef" in e]
    assert addressed
    assert all(name.startswith(f"{demo.PRODUCTION}-") for name in addressed)
    for trial in story.trials:
        for rate in trial["status"].get("measurements") or []:
            if trial["status"]["outcome"] == "Feasible":
                assert rate["server"]["promptTokens"] == rate["promptTokens"]


def test_kubectl_tells_the_story(story, kind_cluster):
    namespace = ("-n", story.namespace)
    line = kind_cluster.kubectl("get", "slostudy", STUDY, *namespace).splitlines()[1].split()
    assert line[:3] == [STUDY, "Completed", str(story.study["status"]["trials"]["total"])]
    assert "Promoted" in line
    table = kind_cluster.kubectl("get", "slotrials", *namespace)
    for word in ("Production", "Default", "Search", "Confirm", "Crashed", "HostOutOfMemory", "Infrastructure"):
        assert word in table
    told = kind_cluster.kubectl("describe", "slostudy", STUDY, *namespace)
    for word in ("PromotionPlanned", "TrialCrashed", "TrialInfrastructure", "OOMKilled", "Ready"):
        assert word in told
