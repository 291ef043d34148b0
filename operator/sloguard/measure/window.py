"""Sends the requests of one rate when they are due, whatever became of the earlier ones (open loop), and drains.

A request's clock starts when it was due. Timers may fire up to half a millisecond early; such a request's clock starts
when it was really sent, so no latency is ever understated. How late it was sent is its lag.
"""

import asyncio
from collections.abc import Iterable
from time import perf_counter_ns

from sloguard.domain.goodput import Ending, RequestRecord

from .client import CompletionClient
from .fault import FaultWatch
from .requests import PlannedRequest

LEAD_NS = 20_000_000
"""From the start of the clock to the first request, so that the first is not late."""

TIMER_NS = 500_000
"""uvloop's timers have a resolution of a millisecond; waiting for less would only spin."""


class Window:
    """One run through a stream of requests. Every planned request has a record in the end, sent or not."""

    def __init__(self, client: CompletionClient, watch: FaultWatch, *, drain_seconds: float) -> None:
        self._client = client
        self._watch = watch
        self._drain_seconds = drain_seconds
        self._records: list[RequestRecord] = []
        self._open: set[asyncio.Task[None]] = set()
        self._error: BaseException | None = None
        self._dispatching: asyncio.Task[None] | None = None

    async def run(self, planned: Iterable[PlannedRequest]) -> list[RequestRecord]:
        """Ends when all requests have, when the drain limit passes, or at once when the server is gone."""
        remaining = iter(planned)
        self._watch.on_fault = self._stop
        self._dispatching = asyncio.create_task(self._dispatch(remaining))
        try:
            await asyncio.wait({self._dispatching})
            if self._open and self._watch.fault is None:
                await asyncio.wait(self._open, timeout=self._drain_seconds)
        finally:
            self._stop()
            await asyncio.gather(self._dispatching, *self._open, return_exceptions=True)
        self._raise_own_errors()
        self._records.extend(self._never_sent(request) for request in remaining)
        return self._records

    async def _dispatch(self, planned: Iterable[PlannedRequest]) -> None:
        start_ns = perf_counter_ns() + LEAD_NS
        for request in planned:
            record = _record_of(request)
            self._records.append(record)
            body = request.body()  # built ahead of its time
            due_ns = start_ns + int(request.due_seconds * 1e9)
            early_ns = due_ns - perf_counter_ns()
            # A pause of zero still lets answers be read when the generator cannot keep up.
            await asyncio.sleep(early_ns / 1e9 if early_ns > TIMER_NS else 0)
            task = asyncio.create_task(self._send(body, record, due_ns))
            self._open.add(task)
            task.add_done_callback(self._ended)

    async def _send(self, body: bytes, record: RequestRecord, due_ns: int) -> None:
        now_ns = perf_counter_ns()
        record.lag_microseconds = max(0, now_ns - due_ns) // 1000
        self._watch.observe(await self._client.send(body, record, min(due_ns, now_ns)))

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._open.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = error
            self._stop()

    def _stop(self) -> None:
        """What is still open stays unfinished."""
        if self._dispatching is not None:
            self._dispatching.cancel()
        for task in self._open:
            task.cancel()

    def _raise_own_errors(self) -> None:
        """A mistake of ours must not pass for the server's."""
        if self._error is not None:
            raise self._error
        assert self._dispatching is not None
        if not self._dispatching.cancelled():
            self._dispatching.result()

    def _never_sent(self, request: PlannedRequest) -> RequestRecord:
        record = _record_of(request)
        record.ending = Ending.REFUSED
        record.detail = "not sent: the server was gone"
        return record


def _record_of(request: PlannedRequest) -> RequestRecord:
    return RequestRecord(
        due_microseconds=int(request.due_seconds * 1e6),
        prompt_tokens=request.prompt_tokens,
        wanted_tokens=request.output_tokens,
    )
