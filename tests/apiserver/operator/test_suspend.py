"""Suspended at any point, a study gives back its GPUs within a minute, and goes on without loss."""

from datetime import UTC, datetime

import pytest

from tests.apiserver.operator.objects import production, study

PROMISED_SECONDS = 60
"""From the change of the study to the end of the candidate, by the API server's own times."""

SPACE = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 9, "max": 9}}]}
ONE_CANDIDATE = study(searchSpace=SPACE, budget={"trials": 3}, promotion={"mode": "Off", "confirmations": 0})


def recorded(world):
    return "s-0-1" in world.trials()


def starting(world):
    return bool(world.servers())


def under_load(world):
    return world.trials().get("s-0-1", {}).get("status", {}).get("phase") == "Loading"


def unplayed(world, until):
    """Nobody reports what becomes of pods, so that the trial stays where it is."""
    world.tick, before = lambda: None, world.tick
    world.play(lambda: until(world))
    world.tick = before


def to_load(world):
    """Servers become ready, and loads do not end."""
    world._load = lambda *_: None
    world.play(lambda: under_load(world))


@pytest.mark.parametrize(
    "reach",
    [lambda w: unplayed(w, recorded), lambda w: unplayed(w, starting), to_load],
    ids=["recorded", "starting", "under load"],
)
def test_a_suspended_study_frees_its_gpus_and_resumes(world, reach):
    world.create("deployments", production())
    world.create("sloguardstudies", ONE_CANDIDATE)
    reach(world)
    changed = world.patch("sloguardstudies", "s", {"spec": {"suspend": True}})
    since = max(
        moment(entry["time"]) for entry in changed["metadata"]["managedFields"] if entry["manager"] == "a-person"
    )
    world.play(lambda: world.phase() == "Suspended" and not world.servers())
    ended = world.trials()["s-0-1"]["status"]
    assert (ended["phase"], ended["outcome"]) == ("Finished", "Cancelled")
    assert (moment(ended["finishedAt"]) - since).total_seconds() <= PROMISED_SECONDS
    world.play(lambda: world.children() == ["sloguardtrials/s-0-1"])

    world.__dict__.pop("_load", None)
    world.patch("sloguardstudies", "s", {"spec": {"suspend": False}})
    world.play(lambda: world.phase() == "Completed", seconds=120)
    outcomes = {name: trial["status"]["outcome"] for name, trial in world.trials().items()}
    assert outcomes == {"s-0-1": "Cancelled", "s-0-2": "Feasible", "s-1-1": "Feasible", "s-2-1": "Feasible"}


def moment(text):
    return datetime.fromisoformat(text).astimezone(UTC)
