"""Tiers run beside those that are heard; what they say comes in one piece, as soon as they end."""

import signal
import sys

import pytest

from tests.clusters.cache import wait_until
from tests.driver import beside, tiers
from tests.driver.result import Result

REPORTS = """
import json, sys
print("what it said")
json.dump([{"tier": "unit", "passed": 3, "failed": 1}], open(sys.argv[1], "w"))
"""
DIES = "import sys; print('oh'); sys.exit(3)"
WAITS = "import time; print('begun', flush=True); time.sleep(600)"


@pytest.fixture
def runs(monkeypatch):
    """Another program in the place of the tiers; what was started is given back."""
    started = []

    def instead(program):
        popen = beside.subprocess.Popen

        def start(command, **options):
            assert command[1:3] == ["-m", "tests.driver"]
            started.append(popen([sys.executable, "-c", program, *command[3:]], **options))
            return started[-1]

        monkeypatch.setattr(beside.subprocess, "Popen", start)
        return started

    return instead


def test_its_results_are_those_that_it_reports(runs, capfd):
    runs(REPORTS)
    with beside.running(["unit"]) as results:
        assert results() == [Result("unit", passed=3, failed=1)]
    assert "what it said" in capfd.readouterr().out


def test_what_it_said_is_told_while_the_others_go_on(runs, capfd):
    runs(REPORTS)
    with beside.running(["unit"]):
        wait_until("its words", lambda: "what it said" in capfd.readouterr().out, 30)


def test_every_tier_runs_once():
    side_by_side = [name for lane in tiers.LANES for name in lane]
    assert sorted([*tiers.FIRST, *side_by_side, *tiers.COMPUTES, *tiers.LAST]) == sorted(tiers.TIERS)


def test_where_it_dies_each_of_its_tiers_has_failed(runs, capfd):
    runs(DIES)
    with beside.running(["unit", "simulation"]) as results:
        told = results()
    assert [one.tier for one in told] == ["unit", "simulation"]
    assert all(one.problem == "ended with status 3 and told nothing" and not one.not_run for one in told)
    assert "oh" in capfd.readouterr().out


def test_it_is_interrupted_with_the_others(runs):
    started = runs(WAITS)
    with pytest.raises(KeyboardInterrupt), beside.running(["unit"]):
        raise KeyboardInterrupt
    assert started[0].returncode == -signal.SIGTERM
