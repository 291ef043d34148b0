"""Whatever befalls a cluster, its people and the operator, the operator keeps its promises. Seeded.

The first schedules are the same ones each time, so that what went well once has to go well again. Others, which none
has seen before, are drawn by a word that is given.
"""

import gc
import os
import subprocess
import sys
from random import Random

import pytest

from tests.simulation.api_server import Stored
from tests.simulation.batch import collect_seldom
from tests.simulation.operators import without_a_lease
from tests.simulation.world import run

SAME = int(os.environ.get("SLOGUARD_SIMULATIONS", "1500"))
DRAWN_BY = os.environ.get("SLOGUARD_SIMULATIONS_BY", "")
CHUNKS = 20
DRAWN_FROM = range(1_000_000, 1_000_000_000)


@pytest.fixture(scope="module", autouse=True)
def _garbage():
    """A tenth faster."""
    before = gc.get_threshold()
    collect_seldom()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def seeds():
    drawn = Random(DRAWN_BY).sample(DRAWN_FROM, SAME // 5) if DRAWN_BY else []
    return [*range(SAME), *drawn]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_schedule_keeps_every_promise(chunk):
    for seed in seeds()[chunk::CHUNKS]:
        try:
            run(seed)
        except Exception as error:
            again = f"python -m tests.simulation --seed {seed} -v"
            raise AssertionError(f"{again}: {type(error).__name__}: {error}") from error


def test_two_operators_do_no_harm_where_nothing_tells_them_apart(monkeypatch):
    """The Lease saves work; names and resourceVersions keep the promises."""
    without_a_lease(monkeypatch)
    for seed in range(max(SAME // 30, 1)):
        run(seed, doubled=True)


class Remembered(Stored):
    """As it was when it was stored."""

    def __init__(self, body):
        super().__init__(body)
        object.__setattr__(self, "then", self.copy())


def test_what_was_read_is_never_changed_in_its_place(monkeypatch):
    """It is the server's own, unlike a real one's; nothing else would see a change that nobody has written."""
    monkeypatch.setattr("tests.simulation.api_server.Stored", Remembered)
    for seed in range(20):
        for objects in run(seed).server.objects.values():
            assert all(stored.then == stored.body for stored in objects.values())


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
