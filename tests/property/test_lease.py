"""Whatever the network and the processes do, no two operators act at the same time."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.cluster.test_lease import SECONDS, Operator, Server, Time

NAMES = ("a", "b", "c")
happenings = st.tuples(st.sampled_from(("cut", "heal", "die", "leave", "start")), st.sampled_from(NAMES))
schedules = st.lists(st.tuples(happenings, st.floats(0, 2 * SECONDS)), max_size=25)


@given(schedules)
@settings(max_examples=150, deadline=None)
def test_never_two(schedule):
    asyncio.run(lived(schedule))


async def lived(schedule):
    server, time = Server(), Time()
    running = {}
    for (what, name), seconds in schedule:
        await happen(what, name, server, time, running)
        for _ in range(4):
            await time.pass_by(seconds / 4)
            assert sum(o.acting and o.lease.held for o in running.values()) <= 1
    server.cut_off.clear()
    for name in NAMES:
        await happen("start", name, server, time, running)
    await time.pass_by(3 * SECONDS)
    assert sum(o.acting for o in running.values()) == 1, "somebody takes over in the end"
    for one in running.values():
        await one.stop()


async def happen(what, name, server, time, running):
    match what:
        case "cut":
            server.cut_off.add(name)
        case "heal":
            server.cut_off.discard(name)
        case "start" if name not in running:
            server.cut_off.discard(name)
            running[name] = Operator(server, time, name)
        case "leave" if name in running:
            await running.pop(name).stop()
        case "die" if name in running:
            running.pop(name).die()
