"""A winner that does not hold in production is taken back, however the arguments are written down there."""

import json

import pytest

from tests.apiserver.operator.objects import ARGUMENTS, production, study
from tests.apiserver.operator.world import OOM, max_num_seqs

SHAPES = {
    "command": (
        {"command": ["vllm", "serve", *ARGUMENTS], "args": []},
        {"command": ["vllm", "serve", *ARGUMENTS]},
    ),
    # settings on both sides: they cannot go back to where they stood, but they mean the same
    "both": (
        {"command": ["vllm", "serve", *ARGUMENTS[:2]], "args": ARGUMENTS[2:]},
        {"command": ["vllm", "serve"], "args": ARGUMENTS},
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_production_comes_back(shape, world):
    before, after = SHAPES[shape]
    world.production = lambda arguments: OOM if max_num_seqs(arguments) != 2 else None
    world.create("deployments", production(**before))
    # one candidate, not confirmed: as short as can be
    promotion = {"mode": "Automatic", "confirmations": 0}
    space = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 10, "max": 10}}]}
    world.create("sloguardstudies", study(promotion=promotion, searchSpace=space, budget={"trials": 3}))
    world.play(lambda: world.phase() == "Failed", poke=True)
    promotion = world.status()["promotion"]
    assert promotion["state"] == "RolledBack"
    assert "did not stay up: OOMKilled, exit code 137" in promotion["message"]
    assert world.stalled("PromotionRolledBack")
    kept = {field: world.container()[field] for field in ("command", "args") if field in world.container()}
    assert kept == after
    world.play(lambda: "finalizers" not in world.study()["metadata"])
    assert_remembered(world)


def assert_remembered(world):
    """What failed in production is a record of its own, and part of what later studies begin with."""
    world.play(lambda: any(t["spec"]["purpose"] == "Canary" and ended(t) for t in world.trials().values()), poke=True)
    (canary,) = (t for t in world.trials().values() if t["spec"]["purpose"] == "Canary")
    assert canary["status"]["outcome"] == "Crashed"
    assert canary["status"]["crash"]["class"] == "HostOutOfMemory"
    assert canary["spec"]["parameters"] == {"max_num_seqs": "10"}
    assert not world.servers()
    ledgers = (m for m in world.items("configmaps") if "sloguard.dev/ledger" in m["metadata"].get("labels", {}))
    records = [json.loads(line) for ledger in ledgers for line in ledger["data"]["records-v1.jsonl"].splitlines()]
    assert [r["number"] for r in records if r["crashed"]] == [canary["spec"]["number"]]


def ended(trial):
    return "outcome" in trial.get("status", {})


def test_what_git_brings_back_is_left_to_git(world):
    """By Argo CD's mark; somebody then commits what the study recommends, and it arrives."""
    tracked = {"argocd.argoproj.io/tracking-id": f"shop:apps/Deployment:{world.namespace}/llama"}
    managed = production()
    world.create("deployments", managed | {"metadata": managed["metadata"] | {"annotations": tracked}})
    promotion = {"mode": "Automatic", "confirmations": 0}
    space = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 10, "max": 10}}]}
    world.create("sloguardstudies", study(promotion=promotion, searchSpace=space, budget={"trials": 3}))
    world.play(lambda: world.stalled("TargetManagedByGitOps"), poke=True)
    assert world.phase() == "AwaitingApproval"
    assert "Argo CD's Application shop" in world.condition("Stalled")["message"]
    assert world.condition("TargetManaged")["reason"] == "ArgoCD"
    assert world.container()["args"] == ARGUMENTS
    program = world.container() | {"args": world.status()["recommendation"]["arguments"]}
    world.patch("deployments", "llama", {"spec": {"template": {"spec": {"containers": [program]}}}})
    world.play(lambda: world.phase() == "Completed", poke=True)
    assert world.condition("Ready")["reason"] == "AlreadyInProduction"
    assert "promotion" not in world.status()
