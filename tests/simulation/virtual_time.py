"""An event loop whose time passes only when everything waits, and then at once to the next timer."""

import asyncio
import functools
import operator
import selectors
from datetime import UTC, datetime, timedelta
from heapq import heappop

BEGIN = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class DeadlockError(Exception):
    """Everything waits, and for nothing."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Deterministic: what is due at the same time runs in an order that follows from what was asked for before."""

    get_debug = bool
    """Never. It is asked for with each future, so the answer costs no frame; nor does that of `time`."""

    def __init__(self, begin: datetime = BEGIN):
        self._begin = begin
        self._seconds = [0.0]
        self.time = functools.partial(operator.getitem, self._seconds, 0)
        super().__init__(selectors.SelectSelector())

    def now(self):
        """As a moment of the simulated world's own calendar."""
        return self._begin + timedelta(seconds=self._seconds[0])

    def _run_once(self):
        """In place of asyncio's own, which asks files and clocks: here there is neither."""
        ready, timers = self._ready, self._scheduled
        while not ready:
            if not timers:
                raise DeadlockError
            timer = heappop(timers)
            timer._scheduled = False
            if not timer._cancelled:
                self._seconds[0] = max(self._seconds[0], timer._when)
                ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
