"""Wakes a task at a moment of time.perf_counter_ns, to within some hundredths of a millisecond on an idle machine.

The timers of uvloop and epoll count whole milliseconds, so requests would be sent up to one late. Linux' timerfd counts
nanoseconds, and becomes readable when it is time. Spinning would be as exact, but would take the processor from a
server on the same machine. Where there is no timerfd, the loop's own timer has to do.
"""

import asyncio
import ctypes
import os
from time import perf_counter_ns

CLOCK_MONOTONIC = 1
"""What perf_counter_ns reads on Linux."""

TFD_TIMER_ABSTIME = 1


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class Alarm:
    """For one task, on the running loop. Close it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._system = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._opened()
        if self._descriptor is not None:
            self._loop.add_reader(self._descriptor, self._ring)

    async def until(self, at_ns: int) -> None:
        """Returns at that time. Where it has passed already, answers that have come are read first."""
        early_ns = at_ns - perf_counter_ns()
        if early_ns <= 0 or self._descriptor is None:
            await asyncio.sleep(max(0, early_ns) / 1e9)
            return
        self._waiter = self._loop.create_future()
        time = _Itimerspec(_Timespec(0, 0), _Timespec(*divmod(at_ns, 1_000_000_000)))
        self._system.timerfd_settime(self._descriptor, TFD_TIMER_ABSTIME, ctypes.byref(time), None)
        await self._waiter

    def close(self) -> None:
        """Gives the descriptor back."""
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)

    def _opened(self) -> int | None:
        if not hasattr(self._system, "timerfd_create"):
            return None
        descriptor: int = self._system.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        return descriptor if descriptor >= 0 else None

    def _ring(self) -> None:
        os.read(self._descriptor or 0, 8)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
