"""A load that several pods share: a real Indexed Job, whose parts the operator merges."""

import pytest

from tests.apiserver.operator.objects import production, study


@pytest.mark.usefixtures("operator")
def test_parts_of_two_generators_become_one_measurement(world):
    world.create("deployments", production())
    workload = {"generators": 2}
    world.create("sloguardstudies", study(workload=workload, promotion={"mode": "Off", "confirmations": 0}))
    modes = set()

    def finished():
        modes.update((job["spec"]["completionMode"], job["spec"]["completions"]) for job in world.items("jobs"))
        return world.trials().get("s-0-1", {}).get("status", {}).get("outcome")

    world.play(finished)
    assert modes == {("Indexed", 2)}
    assert len(world.made["s-0-1 load"]) == 2
    (measured,) = world.trials()["s-0-1"]["status"]["measurements"]
    assert measured["sent"] == 200, "each of the two sent 100"
    assert measured["goodTokens"] == 2 * 1000, "100 tokens/s for 10 s each"
    assert world.trials()["s-0-1"]["status"]["outcome"] == "Feasible"
