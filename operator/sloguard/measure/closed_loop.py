"""A closed loop: N users, each of whom sends the next request when the last one has ended and a pause has passed.

A request is due when its user is free to send it. A slow server is therefore asked for less, and never has more than N
requests: latencies stay low where an open loop's would grow without bound. Both are true, of different questions; so
whatever shows such figures says how many users there were.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from time import perf_counter_ns

from sloguard.api.v1alpha1 import Arrival
from sloguard.domain.goodput import RequestRecord

from .client import CompletionClient
from .fault import FaultWatch
from .pulse import Pulse
from .requests import PlannedRequest
from .window import Patience, Window

FAILED_PAUSE_SECONDS = 1.0
"""A user whose request failed waits at least so long: a server that refuses at once must not be asked ever faster."""


class ClosedLoop(Window):
    """One run with so many users for so long, then the drain. All users begin at once.

    The requests are sent in the order of the stream, whichever user is free next.
    """

    def __init__(
        self,
        client: CompletionClient,
        watch: FaultWatch,
        pulse: Pulse,
        patience: Patience,
        *,
        users: int,
        think_seconds: float,
        duration_seconds: float,
    ) -> None:
        super().__init__(client, watch, pulse, patience)
        self._users = users
        self._think_ns = int(think_seconds * 1e9)
        self._duration_ns = int(duration_seconds * 1e9)

    async def _dispatch(self, planned: Iterable[PlannedRequest]) -> None:
        start_ns = perf_counter_ns()
        requests = iter(planned)
        await asyncio.gather(*(self._use(requests, start_ns) for _ in range(self._users)))

    async def _use(self, requests: Iterator[PlannedRequest], start_ns: int) -> None:
        free_ns, end_ns = start_ns, start_ns + self._duration_ns
        while free_ns < end_ns:
            await asyncio.sleep(max(0, free_ns - perf_counter_ns()) / 1e9)
            request = next(requests)
            record = RequestRecord((free_ns - start_ns) // 1000, request.prompt_tokens, request.output_tokens)
            self._records.append(record)
            sending = self._begin(request.body(), record, free_ns)
            await asyncio.wait({sending}, timeout=max(0, end_ns - perf_counter_ns()) / 1e9)
            if not sending.done():
                return  # the drain waits for it
            pause_ns = self._think_ns if record.completed else max(self._think_ns, int(FAILED_PAUSE_SECONDS * 1e9))
            free_ns = perf_counter_ns() + pause_ns

    def _left_unsent(self, remaining: Iterable[PlannedRequest]) -> list[RequestRecord]:
        """None was due."""
        del remaining
        return []


def users_at(arrival: Arrival, percent: int) -> int | None:
    """A rate of the sweep scales the users; None where the loop is open."""
    return None if arrival.closed_loop is None else max(1, round(arrival.closed_loop.users * percent / 100))


def elapsed_milliseconds(records: Sequence[RequestRecord], duration_seconds: int) -> int:
    """Until the last answer: what was begun in the window ends after it, and its tokens need time as all others do."""
    ends = (record.due_microseconds + record.e2e_microseconds for record in records if record.completed)
    return max(duration_seconds * 1000, -(-max(ends, default=0) // 1000))
