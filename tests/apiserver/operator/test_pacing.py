"""Strategy Rolling without a spare GPU, by Kubernetes' own controller: one replica at a time, and no trace of it."""

import pytest

from tests.apiserver.operator.objects import ARGUMENTS, BEST
from tests.apiserver.operator.paced import ONE_MORE_FIRST, begin, leave_no_room, pace, two_replicas
from tests.apiserver.operator.world import OOM, arguments_of, max_num_seqs

ONE_BY_ONE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
OURS = {"sloguard-pace": ["f:maxSurge", "f:maxUnavailable"]}


def created(world, **spec):
    """As `kubectl create` or a chart does it: all that stands in it is whose it is from then on."""
    world.create("deployments", two_replicas(**spec))


def applied(world, **spec):
    world.rest.apply(world.path("deployments", "llama"), two_replicas(**spec), "a-pipeline")


def pods_of_production(world):
    pods = [p for p in world.items("pods") if "sloguard.dev/trial" not in p["metadata"]["labels"]]
    return [p for p in pods if "deletionTimestamp" not in p["metadata"]]


@pytest.mark.parametrize("install", [created, applied])
def test_replicas_go_one_after_the_other_and_production_is_as_it_was(world, install):
    install(world)
    leave_no_room(world)
    world.play(lambda: len(pods_of_production(world)) == 2)
    before = pace(world)
    assert ("a-person" in before["owners"]) is (install is created)
    begin(world)
    seen, most = [], 0

    def over():
        nonlocal most
        seen.append((pace(world), world.status().get("promotion", {}).get("state")))
        most = max(most, len(pods_of_production(world)))
        return world.phase() == "Completed"

    world.play(over, poke=True)
    assert world.status()["promotion"]["state"] == "Promoted"
    assert [arguments_of(pod) for pod in pods_of_production(world)] == [BEST, BEST]
    assert most == 2
    slowed = [found for found, state in seen if state == "Promoting"]
    assert slowed
    assert all(found["strategy"] == ONE_BY_ONE and found["watch"] == 1 for found in slowed)
    assert all(found["owners"].items() >= OURS.items() for found in slowed)
    assert pace(world) == before
    managers = {entry["manager"] for entry in world.get("deployments", "llama")["metadata"]["managedFields"]}
    assert "sloguard-pace" not in managers
    world.play(lambda: "finalizers" not in world.study()["metadata"])


def test_a_replica_that_fails_stops_it_and_all_of_it_is_taken_back(world):
    world.production = lambda arguments: OOM if max_num_seqs(arguments) != 2 else None
    created(world, strategy=ONE_MORE_FIRST)
    leave_no_room(world)
    world.play(lambda: len(pods_of_production(world)) == 2)
    before = pace(world)
    begin(world)
    tried = set()

    def over():
        tried.update(p["metadata"]["name"] for p in pods_of_production(world) if arguments_of(p) == BEST)
        return world.phase() == "Failed"

    world.play(over, poke=True)
    assert world.status()["promotion"]["state"] == "RolledBack"
    assert len(tried) == 1, "the other replica was not touched"
    assert [arguments_of(pod) for pod in pods_of_production(world)] == [ARGUMENTS, ARGUMENTS]
    assert pace(world) == before
    assert before["owners"] == {"a-person": [".", "f:maxSurge", "f:maxUnavailable"]}


def test_a_study_that_is_deleted_stays_until_production_is_back(world):
    created(world)
    leave_no_room(world)
    world.play(lambda: len(pods_of_production(world)) == 2)
    before = pace(world)
    begin(world, verification={"durationSeconds": 5})  # for which each replica is watched, on the way back as well
    world.play(lambda: any(arguments_of(pod) == BEST for pod in pods_of_production(world)), poke=True)
    world.delete("sloguardstudies", "s")
    world.play(lambda: world.items("sloguardstudies") == [])
    assert [arguments_of(pod) for pod in pods_of_production(world)] == [ARGUMENTS, ARGUMENTS]
    assert pace(world) == before


def waits(world, *words):
    told = world.condition("Reconciling")
    return told.get("reason") == "WaitingForQuota" and all(word in told["message"] for word in words)


def test_what_somebody_applies_is_left_to_them(world):
    applied(world, strategy=ONE_MORE_FIRST)
    leave_no_room(world)
    begin(world)
    world.play(lambda: waits(world, "a-pipeline applies the strategy of Deployment llama"), poke=True)
    assert world.container()["args"] == ARGUMENTS
    world.rest.apply(world.path("deployments", "llama"), two_replicas(strategy=ONE_BY_ONE), "a-pipeline")
    world.play(lambda: world.phase() == "Completed", poke=True)
    assert pace(world)["strategy"] == ONE_BY_ONE


def test_a_disruption_budget_is_asked(world):
    created(world)
    leave_no_room(world)
    world.play(lambda: len(pods_of_production(world)) == 2)
    budgets = f"/apis/policy/v1/namespaces/{world.namespace}/poddisruptionbudgets"
    spec = {"minAvailable": 2, "selector": {"matchLabels": {"app": "llama"}}}
    body = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "served"}, "spec": spec}
    world.rest.request("POST", budgets, body)
    begin(world)
    world.play(lambda: waits(world, "PodDisruptionBudget served lets none be missing now"), poke=True)
    world.rest.request("PATCH", f"{budgets}/served", {"spec": {"minAvailable": 1}})
    world.play(lambda: world.phase() == "Completed", poke=True)
    assert world.status()["promotion"]["state"] == "Promoted"
