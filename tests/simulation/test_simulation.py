"""Whatever befalls a cluster, its people and the operator, the operator keeps its promises. Seeded."""

import os
import subprocess
import sys

import pytest

from tests.simulation.world import run

SCHEDULES = int(os.environ.get("SLOGUARD_SIMULATIONS", "600"))
CHUNKS = 20


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_schedule_keeps_every_promise(chunk):
    for seed in range(chunk, SCHEDULES, CHUNKS):
        try:
            run(seed)
        except Exception as error:
            again = f"python -m tests.simulation --seed {seed} -v"
            raise AssertionError(f"{again}: {type(error).__name__}: {error}") from error


def test_a_schedule_is_the_same_wherever_it_runs():
    """Also where strings hash otherwise, so that sets have another order."""
    stories = [run(7).story()]
    for salt in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulation", "--seed", "7", "-v"]
        told = subprocess.run(
            command, capture_output=True, check=True, text=True, env=os.environ | {"PYTHONHASHSEED": salt}
        )
        stories.append(told.stdout.rpartition("\nseed 7")[0])
    assert stories[0] == stories[1] == stories[2]
