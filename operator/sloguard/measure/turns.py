"""What one of several generators does differently: it waits for its turn, and sends its share of the requests."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from .request import LoadRequest
from .timetable import timetable, too_late

T = TypeVar("T")


class TooLateError(Exception):
    """The other generators have begun this window already; the message is for the result."""


class Turns:
    """The windows of a load, one after the other. A single generator waits for nothing and sends everything."""

    def __init__(self, request: LoadRequest) -> None:
        at = request.starts_at if request.generator is not None else None
        self._slots = timetable(request.workload, at) if at is not None else None
        self._slot = None
        self._number = request.generator or 0
        self._of = request.workload.generators if request.generator is not None else 1

    @property
    def shared(self) -> bool:
        """Whether there are other generators."""
        return self._slots is not None

    def share(self, requests: Iterable[T]) -> Iterable[T]:
        """Every so-manieth: all shares together are all requests, each once."""
        return islice(requests, self._number, None, self._of)

    async def begin(self) -> None:
        """Waits until the next window begins.

        Raises:
            TooLateError: it has begun.

        """
        if self._slots is None:
            return
        self._slot = next(self._slots)
        late = too_late(self._slot, datetime.now(UTC))
        if late is not None:
            raise TooLateError(late)
        await _until(self._slot.starts_at)

    async def end(self) -> None:
        """Waits until no generator has a request open any more."""
        if self._slot is not None:
            await _until(self._slot.ends_at)


async def _until(moment: datetime) -> None:
    await asyncio.sleep(max(0.0, (moment - datetime.now(UTC)).total_seconds()))
