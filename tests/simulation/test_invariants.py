"""What the watchman lets pass for a while, and what he does not."""

from random import Random

import pytest

from tests.simulation.invariants import DOUBLE_START_SECONDS
from tests.simulation.operators import Weather
from tests.simulation.people import PERSON
from tests.simulation.studies import study
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.world import World

STALE = Weather(stale=0.05)


@pytest.fixture
def make_world():
    loops = []

    def made(weather):
        """One server may be there."""
        loops.append(VirtualLoop())
        world = World(0, loops[-1], Random(0), weather)
        body = study(Random(0))
        body["spec"]["trial"]["parallelism"] = 1
        world.server.create("sloguardstudies", body, PERSON)
        return world

    yield made
    for loop in loops:
        loop.close()


def record(world, attempt, purpose="Production"):
    name = f"s-0-{attempt}"
    owner = {"uid": world.server.get("sloguardstudies", "s")["metadata"]["uid"]}
    metadata = {"name": name, "labels": {"sloguard.dev/study": "s"}, "ownerReferences": [owner]}
    spec = {"number": 0, "attempt": attempt, "purpose": purpose}
    world.server.create("sloguardtrials", {"metadata": metadata, "spec": spec}, "operator")
    return name


def start_server(world, attempt):
    name = record(world, attempt)
    metadata = {"name": name, "labels": {"sloguard.dev/trial": name}}
    world.server.create("deployments", {"metadata": metadata, "spec": {}}, "operator")


def tells_of_two_servers(world):
    return any("are there at once" in violation for violation in world.watchman.violations)


def test_two_servers_are_told_of(make_world):
    world = make_world(STALE)
    start_server(world, 1)
    start_server(world, 2)
    assert tells_of_two_servers(world)


@pytest.mark.parametrize(("weather", "told"), [(STALE, False), (Weather(), True)])
def test_a_list_of_the_past_may_begin_another_attempt_beside_a_record_that_was_removed(make_world, weather, told):
    world = make_world(weather)
    start_server(world, 1)
    world.people.delete_trial()
    start_server(world, 2)
    assert tells_of_two_servers(world) is told


def test_but_not_leave_it_there(make_world):
    world = make_world(STALE)
    start_server(world, 1)
    world.people.delete_trial()
    start_server(world, 2)
    world.loop._seconds[0] += DOUBLE_START_SECONDS + 1
    world.watchman.look()
    assert tells_of_two_servers(world)


@pytest.mark.parametrize(("purpose", "told"), [("Canary", False), ("Search", True)])
def test_what_failed_in_production_is_written_down_outside_of_windows_too(make_world, purpose, told):
    """With a repository and its people between, that may be long after the window closed."""
    world = make_world(Weather())
    closed = {"schedule": "59-59/60 * * * *", "durationMinutes": 1, "onClose": "Stop"}
    world.server.change("sloguardstudies", "s", lambda body: body["spec"].update(windows=[closed]), PERSON)
    status = {"promotion": {"state": "Reverting"}}
    world.loop._seconds[0] += 120
    world.server.change("sloguardstudies", "s", lambda body: body.update(status=status), PERSON)
    record(world, 1, purpose)
    assert any("outside of the study's windows" in violation for violation in world.watchman.violations) is told


def test_a_failure_that_nothing_tells_of_is_not_written_down(make_world):
    world = make_world(Weather())
    record(world, 1, "Canary")
    assert any("of none is known" in violation for violation in world.watchman.violations)
