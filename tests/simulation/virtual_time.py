"""An event loop whose time passes only when everything waits, and then at once to the next timer."""

import asyncio
import selectors
from datetime import UTC, datetime, timedelta

BEGIN = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class DeadlockError(Exception):
    """Everything waits, and for nothing."""


class _Jump(selectors.SelectSelector):
    """Waits for no socket: there is none in a simulated world."""

    seconds = 0.0

    def select(self, timeout=None):
        if timeout is None:
            raise DeadlockError
        self.seconds += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Deterministic: what is due at the same time runs in the order in which it was asked for."""

    def __init__(self):
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self):
        return self._jump.seconds

    def now(self):
        """As a moment of the simulated world's own calendar."""
        return BEGIN + timedelta(seconds=self._jump.seconds)
