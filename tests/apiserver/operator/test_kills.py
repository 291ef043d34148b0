"""The operator dies at any moment, and a study ends as if it had not."""

import random
from collections import Counter

from tests.apiserver.operator.objects import BEST, production, study

KILLS = 6


def test_killed_again_and_again_it_ends_the_same(world, operator):
    """No trial is lost or doubled: each has had one server and one load."""
    rng = random.Random(7)
    world.create("deployments", production())
    world.create("sloguardstudies", study(promotion={"mode": "Automatic"}))
    world.play(world.trials)
    for _ in range(KILLS):
        # after so many more requests, which is in the middle of anything
        wanted = len(operator.requests(world.namespace)) + rng.randint(10, 80)
        world.play(
            lambda wanted=wanted: (
                len(operator.requests(world.namespace)) >= wanted or world.phase() in {"Verifying", "Completed"}
            ),
            poke=True,
        )
        operator.kill()
        operator.start()
    world.play(lambda: world.phase() == "Completed", 120, poke=True)
    assert world.status()["promotion"]["state"] == "Promoted"
    assert world.container()["args"] == BEST
    trials = world.trials()
    assert sorted(trials) == [f"s-{number}-1" for number in range(8)]
    assert Counter(t["status"]["outcome"] for t in trials.values()) == {"Feasible": 7, "Crashed": 1}
    pods = {role: len(uids) for role, uids in world.made.items() if role != " production"}
    assert set(pods.values()) == {1}, pods
    world.play(lambda: world.children() == [f"sloguardtrials/{name}" for name in sorted(trials)])
