"""Who may create trials but not Deployments gains nothing by it."""

import copy

import pytest

from tests.apiserver.operator.objects import production, study
from tests.apiserver.operator.world import World


def owner(world: World) -> dict:
    stored = world.study()
    return {
        "apiVersion": stored["apiVersion"],
        "kind": stored["kind"],
        "name": "s",
        "uid": stored["metadata"]["uid"],
        "controller": True,
    }


def trial(number: int, attempt: int = 1, *, owners=(), **spec) -> dict:
    purpose = {0: "Production", 1: "Default"}.get(number, "Search")
    metadata = {
        "name": f"s-{number}-{attempt}",
        "labels": {"sloguard.dev/study": "s", "app.kubernetes.io/managed-by": "sloguard"},
        "annotations": {"sloguard.dev/arguments": "--model=evil"},
        "finalizers": ["example.com/stay"],
        "ownerReferences": list(owners),
    }
    given = {"study": "s", "number": number, "attempt": attempt, "purpose": purpose, "parameters": {}} | spec
    return {"apiVersion": "sloguard.dev/v1alpha1", "kind": "SLOGuardTrial", "metadata": metadata, "spec": given}


@pytest.fixture
def held(world):
    """A study whose first trial is under way and stays so."""
    world._load = lambda *_: None
    world.create("deployments", production())
    world.create("sloguardstudies", study())
    world.play(lambda: world.items("jobs"))
    yield world
    for name in world.trials():
        world.patch("sloguardtrials", name, {"metadata": {"finalizers": None}})


def test_forged_trials_start_nothing(held, operator):
    ours = owner(held)
    held.create("sloguardtrials", trial(2, owners=[ours], parameters={"max_num_seqs": "4096"}))
    held.create("sloguardtrials", trial(3, owners=[ours], parameters={"tensor_parallel_size": "8"}))
    held.create("sloguardtrials", trial(4))
    held.create("sloguardtrials", trial(1, owners=[ours]))
    held.create("sloguardtrials", trial(0, 2, owners=[ours]))
    seen = len(operator.reconciles(held.namespace))
    held.play(lambda: len(operator.reconciles(held.namespace)) > seen + 2, poke=True)
    assert [d["metadata"]["name"] for d in held.servers()] == ["s-0-1"]
    assert all(not t.get("status") for name, t in held.trials().items() if name != "s-0-1")
    told = [line for line in operator.lines() if "not of the operator's making" in line["message"]]
    assert told
    assert "(and 4 more)" in told[-1]["message"]


def test_a_trial_in_the_way_is_named_until_it_is_removed(world):
    world.create("deployments", production())
    world.create("sloguardstudies", study(suspend=True))
    evil = trial(1, owners=[owner(world)], parameters={"max_num_seqs": "4096"})
    del evil["metadata"]["finalizers"]
    world.create("sloguardtrials", evil)
    world.patch("sloguardstudies", "s", {"spec": {"suspend": False}})
    world.play(lambda: world.stalled("NameTaken"))
    assert (
        "SLOGuardTrial s-1-1 exists, but cannot be used: the defaults set nothing"
        in (world.condition("Stalled")["message"])
    )
    assert [d["metadata"]["name"] for d in world.servers()] in ([], ["s-0-1"])
    world.delete("sloguardtrials", "s-1-1")
    world.play(lambda: "status" in world.trials().get("s-1-1", {}))
    # The study's own status is written at the end of that look.
    world.play(lambda: world.condition("Stalled")["status"] == "False")


def test_arguments_put_into_a_record_reach_no_server(world, operator):
    """Who may write a trial's status can say what was measured, but not what is started."""
    operator.stop()
    world.create("deployments", production())
    world.create("sloguardstudies", study(suspend=True))
    record = trial(0, owners=[owner(world)])
    del record["metadata"]["finalizers"]
    world.create("sloguardtrials", record)
    evil = ["org/model", "--max-num-seqs=2", "--port=8000", "--middleware=evil.Shell"]
    status = {"phase": "Starting", "startedAt": "2026-01-01T00:00:00Z", "arguments": evil}
    world.patch("sloguardtrials", "s-0-1", {"status": copy.deepcopy(status)}, "status")
    world.patch("sloguardstudies", "s", {"spec": {"suspend": False}})
    operator.start()
    world.play(lambda: world.condition("Stalled").get("status") == "True")
    assert world.servers() == []
    assert world.condition("Stalled")["reason"] in {"ArgumentsRefused", "TargetChanged"}


def test_an_operators_own_deployment_is_no_target(world):
    world.create("deployments", production(container="operator", command=["sloguard", "operator"], args=[]))
    world.create("sloguardstudies", study(target={"container": "operator"}))
    world.play(lambda: world.stalled("ArgumentsNotUnderstood"))
