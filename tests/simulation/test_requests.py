"""What a trial costs the API server on a calm cluster, in the simulation, where nothing depends on how fast it is."""

import asyncio
import logging
from collections import Counter
from random import Random

import pytest

from tests.short_study import short_spec
from tests.simulation import machinery
from tests.simulation.api_server import place
from tests.simulation.fates import Fate
from tests.simulation.operators import CALM, Process
from tests.simulation.people import PERSON
from tests.simulation.studies import node, production
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.world import World, end, simulated

GPUS = 8
TRIALS = 12
MOST_WRITES = 15
"""A trial's record, three changes of it, the ledger, the study twice, three objects made and removed, events."""

MOST_REQUESTS = 40
"""The goal, where servers and loads take no time: three looks or so, at five or six reads each."""

STUDY = {
    "metadata": {"name": "s"},
    "spec": short_spec(
        searchSpace={"parameters": [{"name": "max_num_seqs", "int": {"min": 1, "max": 256, "scale": "Log"}}]},
        optimizer={"name": "random", "seed": 1},
        budget={"trials": TRIALS, "stopEarly": False},
        promotion={"mode": "Off", "confirmations": 0},
    ),
}


class Counting(World):
    """Counts what the operator asks, but for its Lease."""

    def __post_init__(self):
        super().__post_init__()
        self.server.page = 250  # else a list may come one by one
        self.asked = Counter()

    def serve(self, process, method, path, *request):
        plural, _, _, subresource = place(path)
        if plural != "leases":
            self.asked[f"{method} {plural}{'/' + subresource if subresource else ''}"] += 1
        return super().serve(process, method, path, *request)


def asked_in_a_study(seed: int) -> Counter[str]:
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    world = Counting(seed, loop, Random(seed), CALM, storm=False)
    with simulated(world, logging.getLogger("sloguard")):
        try:
            loop.run_until_complete(_completed(world))
        finally:
            end(loop)
    assert len(world.server.items("sloguardtrials")) == TRIALS
    return world.asked


async def _completed(world: World) -> None:
    world.machinery.gpus = GPUS
    world.server.create("nodes", node(world.machinery.gpus), PERSON)
    world.server.create("deployments", production(), PERSON)
    world.server.create("sloguardstudies", STUDY, PERSON)
    world.processes.append(Process(world, "operator"))
    await world.processes[0].start()
    for _ in range(3600):
        await asyncio.sleep(1)
        if world.server.get("sloguardstudies", "s").get("status", {}).get("phase") == "Completed":
            return
    raise AssertionError("not completed")


@pytest.mark.parametrize("seed", range(3))
def test_a_trial_takes_a_bounded_number_of_requests(seed, monkeypatch):
    """Of servers and loads that take no time; longer ones are looked at every 15 s."""
    at_once = Fate(100.0, met=True, sent=100, starts_after=0.1, loads_for=0.1)
    monkeypatch.setattr(machinery, "fate_of", lambda *_, **__: at_once)
    asked = asked_in_a_study(seed)
    written = sum(count for what, count in asked.items() if not what.startswith("GET "))
    assert written <= MOST_WRITES * TRIALS, asked
    assert sum(asked.values()) <= MOST_REQUESTS * TRIALS, asked
