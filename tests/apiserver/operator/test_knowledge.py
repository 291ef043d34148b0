"""What a study learnt of crashes is there for the next one, when it itself is long gone."""

import json

from tests.apiserver.operator.objects import production, study
from tests.apiserver.operator.world import World

SEARCH = {
    "optimizer": {"name": "margin-bo", "seed": 3},
    "searchSpace": {"parameters": [{"name": "max_num_seqs", "int": {"min": 3, "max": 256}}]},
    "promotion": {"mode": "Off"},
}
FAULT = {
    "exitCode": 1,
    "reason": "Error",
    "message": "RuntimeError: CUDA error: an illegal memory access was encountered",
}
DEADLY = 24


def serve(arguments):
    """So many requests at once are too much for it, and so are vLLM's defaults."""
    seqs = next((int(a.partition("=")[2]) for a in arguments if a.startswith("--max-num-seqs=")), 256)
    return FAULT if seqs >= DEADLY else 100.0 + seqs


def config_maps(world: World) -> dict:
    return {c["metadata"]["name"]: c for c in world.items("configmaps")}


def ledger_of(world: World) -> list[dict]:
    (ledger,) = [c for name, c in config_maps(world).items() if name.startswith("sloguard-ledger-")]
    assert "ownerReferences" not in ledger["metadata"]
    return [json.loads(line) for text in ledger["data"].values() for line in text.splitlines()]


def ended(world: World, name: str) -> bool:
    return world.phase(name) == "Completed"


def test_a_study_begins_with_what_another_that_is_gone_has_left(world, operator):
    world.serve = serve
    world.create("deployments", production())
    world.create("sloguardstudies", study("first", **SEARCH, budget={"trials": 12}))
    world.play(lambda: ended(world, "first"), seconds=120)
    crashed = [n for n, t in world.trials().items() if t["status"]["outcome"] == "Crashed"]
    assert "first-2-1" in crashed
    assert world.status("first")["knowledge"]["records"] == 0
    uid = world.study("first")["metadata"]["uid"]
    left = {record["number"]: record for record in ledger_of(world) if record["run"] == uid}
    assert {n for n, record in left.items() if record["crashed"]} == {int(name.split("-")[1]) for name in crashed}
    world.delete("sloguardstudies", "first")
    world.play(lambda: world.trials() == {})
    assert left == {record["number"]: record for record in ledger_of(world)}

    (name,) = [n for n in config_maps(world) if n.startswith("sloguard-ledger-")]
    ledger = config_maps(world)[name]
    forged = {"name": "forged", "labels": ledger["metadata"]["labels"]}
    world.create("configmaps", {"kind": "ConfigMap", "metadata": forged, "data": dict.fromkeys(ledger["data"], "{}")})
    world.create("sloguardstudies", study("second", **SEARCH, budget={"trials": 12}))
    world.play(lambda: len(world.trials()) > 3)
    operator.kill()
    operator.start()
    world.play(lambda: ended(world, "second"), seconds=120)
    knowledge = world.status("second")["knowledge"]
    assert (knowledge["records"], knowledge["studies"], knowledge["passedOver"]) == (len(left), 1, 1)
    kept = config_maps(world)["second-knowledge"]
    assert kept["immutable"]
    first = world.trials()["second-2-1"]
    assert "of study first" in first["spec"]["reason"]
    assert first["status"]["outcome"] == "Feasible"
    told = [e for e in world.items("events") if e["reason"] in {"KnowledgeTaken", "LedgerDamaged"}]
    assert sorted(e["reason"] for e in told) == ["KnowledgeTaken", "LedgerDamaged"]
    uid = world.study("second")["metadata"]["uid"]
    numbers = sorted(record["number"] for record in ledger_of(world) if record["run"] == uid)
    assert len(numbers) == len(set(numbers)) > 0
    world.delete("sloguardstudies", "second")
    world.play(lambda: "second-knowledge" not in config_maps(world))
