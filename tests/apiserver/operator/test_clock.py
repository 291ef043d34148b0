"""The operator's wall clock is wrong, and steps: what it takes a time for was told by others' clocks."""

from collections import Counter
from contextlib import closing

import pytest

from tests.apiserver.admission.rest import Rest
from tests.apiserver.operator.objects import BEST, production, study
from tests.apiserver.operator.process import Operator
from tests.apiserver.operator.world import World
from tests.clusters import faketime

HOURS = 3600
STEPS = (3 * HOURS, -26 * HOURS, 0, 400 * HOURS)
"""Ahead of every time limit, before everything that was recorded, right again, and a wall-clock budget ahead."""


@pytest.fixture
def clock(tmp_path):
    return faketime.Clock(tmp_path)


@pytest.fixture
def misled(installed, namespace, access, process, tmp_path, clock):
    """An operator of its own, since the others' has a right clock; that one stands still meanwhile."""
    process.stop()
    operator = Operator(access, tmp_path / "log", environment=clock.environment)
    operator.start()
    with closing(Rest(installed.kubeconfig)) as rest:
        yield World(rest, namespace, log=operator.tail)
    assert operator.stop() in (0, -15), operator.tail()
    assert "Traceback" not in operator.tail()


def test_no_trial_and_no_budget_is_lost_to_a_clock_that_steps(misled, clock):
    misled.create("deployments", production())
    misled.create("sloguardstudies", study(promotion={"mode": "Automatic"}))
    for number, seconds in enumerate(STEPS, start=1):
        misled.play(lambda number=number: len(misled.trials()) > number)
        clock.step(seconds)
    misled.play(lambda: misled.phase() == "Completed", 120, poke=True)
    assert misled.status()["promotion"]["state"] == "Promoted"
    assert misled.container()["args"] == BEST
    trials = misled.trials()
    assert sorted(trials) == [f"s-{number}-1" for number in range(8)]
    assert Counter(t["status"]["outcome"] for t in trials.values()) == {"Feasible": 7, "Crashed": 1}
    for trial in trials.values():
        assert 0 <= trial["status"].get("gpuSeconds", 0) < 600
        assert trial["status"]["startedAt"] <= trial["status"]["finishedAt"]
    times = [trials[f"s-{number}-1"]["status"]["startedAt"] for number in range(8)]
    assert times == sorted(times)
