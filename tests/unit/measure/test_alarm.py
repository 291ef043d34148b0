import asyncio
import ctypes
from time import perf_counter_ns

import pytest
import uvloop

from sloguard.measure.alarm import Alarm

FUTURE_NS = 20_000_000


async def rings_at(*afters_ns):
    alarm = Alarm()
    rung = []
    try:
        for after_ns in afters_ns:
            at_ns = perf_counter_ns() + after_ns
            await alarm.until(at_ns)
            rung.append(perf_counter_ns() - at_ns)
    finally:
        alarm.close()
    return rung


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_never_before_its_time(loop):
    with asyncio.Runner(loop_factory=loop) as runner:
        late_ns = runner.run(rings_at(FUTURE_NS, 0, -FUTURE_NS, 1, FUTURE_NS))
    assert len(late_ns) == 5
    assert all(late >= 0 for late in late_ns)


def test_others_go_on_meanwhile_and_when_it_is_late():
    async def both():
        turns = []

        async def other():
            for turn in range(3):
                turns.append(turn)
                await asyncio.sleep(0)

        task = asyncio.create_task(other())
        await rings_at(-1, -1, -1, -1)
        assert turns == [0, 1, 2]
        await task

    asyncio.run(both())


def test_can_be_given_up():
    async def cancelled():
        task = asyncio.create_task(rings_at(3600 * 10**9))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


def test_without_a_timerfd_the_loops_own_timer_has_to_do(monkeypatch):
    """As on macOS."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *_args, **_options: object())
    assert len(asyncio.run(rings_at(FUTURE_NS, 0, -1))) == 3
