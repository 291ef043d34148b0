"""Sends the requests of one rate when they are due, whatever became of the earlier ones (open loop), and drains.

A request's clock starts when it was due. Where a timer fires early, its clock starts when it was really sent, so that
no latency is ever understated. How late it was sent is its lag.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from time import perf_counter_ns

from sloguard.domain.goodput import Ending, RequestRecord
from sloguard.domain.outlook import OpenRequest, Outlook

from .alarm import Alarm
from .client import CompletionClient, Exchange
from .fault import FaultWatch
from .pulse import LOOK_SECONDS, Pulse
from .requests import PlannedRequest
from .sse import CompletionStream

LEAD_NS = 20_000_000
"""From the start of the clock to the first request, so that the first is not late."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a request may take since it was due, how long one that has begun may say nothing, and the drain."""

    request_seconds: float = 300.0
    silence_seconds: float = 60.0
    drain_seconds: float = 30.0

    def lost_with(self, exchange: Exchange, now_ns: int) -> tuple[Ending, str] | None:
        """How a request that is still open has ended for us, if it has. Until its answer begins it may be queued."""
        if now_ns - exchange.clock_ns > self.request_seconds * 1e9:
            return Ending.TIMED_OUT, f"not complete after {self.request_seconds:g} s"
        if exchange.stream.read_ns and now_ns - exchange.stream.read_ns > self.silence_seconds * 1e9:
            return Ending.STALLED, f"nothing came for {self.silence_seconds:g} s"
        return None

    @property
    def shortest_ns(self) -> int:
        """No request younger than this is lost."""
        return int(min(self.request_seconds, self.silence_seconds) * 1e9)


class Window:
    """One run through a stream of requests. Every planned request has a record in the end, sent or not."""

    def __init__(
        self,
        client: CompletionClient,
        watch: FaultWatch,
        pulse: Pulse,
        patience: Patience,
        outlook: Outlook | None = None,
    ) -> None:
        self.hopeless_after_seconds: float | None = None
        """When the rate was ended because its outlook, if it was given one, was hopeless."""
        self._outlook = outlook
        self._client = client
        self._watch = watch
        self._pulse = pulse
        self._patience = patience
        self._records: list[RequestRecord] = []
        self._open: dict[asyncio.Task[None], Exchange] = {}
        self._error: BaseException | None = None
        self._dispatching: asyncio.Task[None] | None = None

    async def run(self, planned: Iterable[PlannedRequest]) -> list[RequestRecord]:
        """Ends when all requests have, when the drain limit passes, or at once when the server is gone or hopeless."""
        remaining = iter(planned)
        self._watch.on_fault = self._stop
        self._dispatching = asyncio.create_task(self._dispatch(remaining))
        watching = [asyncio.create_task(self._keep_patience()), asyncio.create_task(self._feel_pulse())]
        if self._outlook is not None:
            watching.append(asyncio.create_task(self._look_ahead(self._outlook)))
        for task in watching:
            task.add_done_callback(self._ended)
        late: list[RequestRecord] = []
        try:
            await asyncio.wait({self._dispatching})
            await self._wait_for_open(self._patience.drain_seconds)
            late = [exchange.record for exchange in self._open.values() if exchange.unanswered]
            while self._open and self._pulse.silent:  # it may hang: that is to be known before the evidence is closed
                await self._wait_for_open(LOOK_SECONDS)
        finally:
            self._stop()
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, self._dispatching, *self._open, return_exceptions=True)
        self._raise_own_errors()
        for record in late:
            record.ending = Ending.UNFINISHED
        self._records.extend(self._left_unsent(remaining))
        return self._records

    async def _dispatch(self, planned: Iterable[PlannedRequest]) -> None:
        alarm = Alarm()
        try:
            await self._dispatch_at(alarm, planned)
        finally:
            alarm.close()

    async def _dispatch_at(self, alarm: Alarm, planned: Iterable[PlannedRequest]) -> None:
        start_ns = perf_counter_ns() + LEAD_NS
        for request in planned:
            record = _record_of(request)
            self._records.append(record)
            body = request.body()  # built ahead of its time
            due_ns = start_ns + int(request.due_seconds * 1e9)
            await alarm.until(due_ns)
            self._begin(body, record, due_ns)

    def _begin(self, body: bytes, record: RequestRecord, due_ns: int) -> "asyncio.Task[None]":
        exchange = Exchange(record, due_ns, CompletionStream(record.wanted_tokens))
        task = asyncio.create_task(self._send(body, exchange))
        self._open[task] = exchange
        task.add_done_callback(self._ended)
        return task

    async def _send(self, body: bytes, exchange: Exchange) -> None:
        now_ns, due_ns = perf_counter_ns(), exchange.clock_ns
        exchange.record.lag_microseconds = max(0, now_ns - due_ns) // 1000
        exchange.clock_ns = min(due_ns, now_ns)
        self._watch.observe(await self._client.send(body, exchange))

    async def _wait_for_open(self, seconds: float) -> None:
        if self._open and self._watch.fault is None:
            await asyncio.wait(list(self._open), timeout=seconds)

    async def _keep_patience(self) -> None:
        """Gives up what is over its time, within a second."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now_ns = perf_counter_ns()
            for task, exchange in list(self._open.items()):
                if now_ns - exchange.clock_ns < self._patience.shortest_ns:
                    break  # they are in the order in which they were due
                lost = self._patience.lost_with(exchange, now_ns)
                if exchange.unanswered and lost:
                    exchange.record.ending, exchange.record.detail = lost
                    task.cancel()

    async def _feel_pulse(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._pulse.look(working=bool(self._open))

    async def _look_ahead(self, outlook: Outlook) -> None:
        """Ends a rate that is lost already."""
        begun_ns = perf_counter_ns()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now_ns = perf_counter_ns()
            if outlook.is_hopeless(_as_open(exchange, now_ns) for exchange in self._open.values()):
                self.hopeless_after_seconds = (now_ns - begun_ns) / 1e9
                self._spare(outlook, now_ns)
                self._stop()
                return

    def _spare(self, outlook: Outlook, now_ns: int) -> None:
        """What is cut off by us did not fail, unless it was late already."""
        sent = {id(exchange.record): exchange for exchange in self._open.values()}
        for record in self._records:
            exchange = sent.get(id(record))
            late = exchange is not None and outlook.has_lost(_as_open(exchange, now_ns))
            if record.ending is Ending.UNFINISHED and not late:
                record.ending = Ending.SPARED

    def _ended(self, task: "asyncio.Task[None]") -> None:
        exchange = self._open.pop(task, None)
        if self._outlook is not None and exchange is not None:
            self._outlook.settle(exchange.record)
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

    def _left_unsent(self, remaining: Iterable[PlannedRequest]) -> list[RequestRecord]:
        """All of them were due."""
        return [self._never_sent(request) for request in remaining]

    def _never_sent(self, request: PlannedRequest) -> RequestRecord:
        record = _record_of(request)
        spared = self.hopeless_after_seconds is not None
        record.ending = Ending.SPARED if spared else Ending.REFUSED
        record.detail = "not sent: the rate was hopeless" if spared else "not sent: the server was gone"
        return record


def _as_open(exchange: Exchange, now_ns: int) -> OpenRequest:
    return OpenRequest((now_ns - exchange.clock_ns) // 1000, begun=bool(exchange.stream.first_ns))


def _record_of(request: PlannedRequest) -> RequestRecord:
    return RequestRecord(
        due_microseconds=int(request.due_seconds * 1e6),
        prompt_tokens=request.prompt_tokens,
        wanted_tokens=request.output_tokens,
    )
