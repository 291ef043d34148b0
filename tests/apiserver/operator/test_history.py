"""Finished trials beyond the limit lose their objects on a real API server, and the study knows them all the same."""

from sloguard.cluster.history import MOST_OF_A_PART
from tests.apiserver.operator.objects import production, study

MADE = MOST_OF_A_PART + 8
FINISHED = {
    "phase": "Finished",
    "outcome": "Cancelled",
    "startedAt": "2026-03-02T12:00:00Z",
    "finishedAt": "2026-03-02T12:01:00Z",
    "message": "made by a test",
}


def trial(number, owner):
    purpose = {0: "Production", 1: "Default"}.get(number, "Search")
    parameters = {} if number == 1 else {"max_num_seqs": "2" if number == 0 else "9"}
    spec = {"study": "s", "number": number, "attempt": 1, "purpose": purpose, "parameters": parameters}
    metadata = {"name": f"s-{number}-1", "labels": {"sloguard.dev/study": "s"}, "ownerReferences": [owner]}
    return {"apiVersion": "sloguard.dev/v1alpha1", "kind": "SLOGuardTrial", "metadata": metadata, "spec": spec}


def test_old_trials_become_text(world, operator):
    world.create("deployments", production())
    made = world.create("sloguardstudies", study(suspend=True, historyLimit=2, budget={"trials": 100}))
    owner = {key: made[key] for key in ("apiVersion", "kind")}
    owner |= {"name": "s", "uid": made["metadata"]["uid"], "controller": True}
    for number in range(MADE):
        world.create("sloguardtrials", trial(number, owner))
        world.patch("sloguardtrials", f"s-{number}-1", {"status": FINISHED}, "status")
    world.play(lambda: world.status().get("history"), poke=True)
    world.play(lambda: len(world.trials()) < MADE, poke=True)
    world.play(lambda: len(world.trials()) == MADE - sum(p["trials"] for p in world.status()["history"]), poke=True)
    assert {"s-0-1", "s-1-1", f"s-{MADE - 1}-1"} <= world.trials().keys()
    operator.kill()
    operator.start()
    world.play(lambda: world.status().get("trials", {}).get("total") == MADE, poke=True)
    (part,) = world.status()["history"]
    kept = world.get("configmaps", part["configMap"])
    assert kept["immutable"]
    assert len(next(iter(kept["data"].values())).splitlines()) == part["trials"]
    world.delete("sloguardstudies", "s")
    world.play(lambda: part["configMap"] not in {c["metadata"]["name"] for c in world.items("configmaps")})
