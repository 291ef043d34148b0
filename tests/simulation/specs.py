"""One generated study on a calm cluster: rejected with a reason, stalled with a reason, or run."""

import asyncio
import json
import logging
from random import Random

from tests.simulation.api_server import Object
from tests.simulation.invariants import ViolationError
from tests.simulation.operators import CALM, Process
from tests.simulation.people import PERSON
from tests.simulation.studies import production
from tests.simulation.virtual_time import VirtualLoop
from tests.simulation.world import World, end, simulated

MINUTES = 20
"""Of virtual time: enough for a start and a load of most studies, and for an operator to show that it spins."""

MOST_REQUESTS_A_MINUTE = 600
"""A trial that crashes as soon as it starts takes some 80, and several may do so within a minute."""


def fate(study: Object, seed: int = 0) -> str:
    """What became of an admitted study: "Stalled: REASON", or its phase. Raises ViolationError."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    world = World(seed, loop, Random(seed), CALM, storm=False)
    with simulated(world, logging.getLogger("sloguard")):
        try:
            return loop.run_until_complete(_lived(world, _renamed(study)))
        finally:
            end(loop)


async def _lived(world: World, study: Object) -> str:
    target = study["spec"]["target"]
    plural = "statefulsets" if target.get("kind") == "StatefulSet" else "deployments"
    world.server.create(plural, production(target["name"], target["container"]), PERSON)
    world.server.create("sloguardstudies", study, PERSON)
    world.processes.append(Process(world, "operator"))
    await world.processes[0].start()
    for _ in range(MINUTES):
        await asyncio.sleep(60)
        world.watchman.look()
        asked = len(world.processes[0].asked)
        world.watchman.check(asked <= MOST_REQUESTS_A_MINUTE, f"{asked} requests in a minute for one study")
        if world.watchman.violations:
            raise ViolationError(world.watchman.violations[0])
    status = world.server.get("sloguardstudies", "s").get("status", {})
    told = {c["type"]: c for c in status.get("conditions", [])}
    stalled = told.get("Stalled", {})
    if stalled.get("status") == "True":
        world.watchman.check(stalled["message"], "stalled without a word")
        return f"Stalled: {stalled['reason']}"
    waits = told.get("Ready", {}).get("reason") in {"OutsideWindow", "Suspended"}
    begun = waits or world.server.items("sloguardtrials")
    world.watchman.check(begun, f"neither stalled nor begun: {status}")
    if world.watchman.violations:
        raise ViolationError(world.watchman.violations[0])
    return status["phase"]


def _renamed(study: Object) -> Object:
    """What looks at a world looks for study s."""
    renamed = json.loads(json.dumps(study))
    promotion = renamed["spec"].get("promotion", {})
    approved, name = promotion.get("approvedTrial"), renamed["metadata"]["name"]
    if approved:
        promotion["approvedTrial"] = f"s{approved.removeprefix(name)}"
    renamed["metadata"]["name"] = "s"
    return renamed
