"""A server in real time: plays `Serving` against the event loop's clock, wakes streams and keeps the metrics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sloguard.simulator.metrics import FinishedRequest, Metrics
from sloguard.simulator.scheduler import Request, Scheduler, Step
from sloguard.simulator.serving import Serving, ServingFault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sloguard.simulator.frontend import Chunk
    from sloguard.simulator.startup import Ready

MAX_LAG_SECONDS = 0.25  # a busier machine than this slows the simulation down instead of bunching steps
GRAIN_SECONDS = 0.001  # what is due within this happens now: timers are no finer, and each costs time
WHOLE_ANSWER = 2**62  # stream interval of an answer that is not streamed


class EngineDeadError(Exception):
    """What every request gets once the engine has died."""


@dataclass(eq=False)
class Stream:
    """One request's tokens on their way to its client."""

    request: Request
    max_tokens: int
    n: int
    ready: asyncio.Event
    pending: int = 0
    processed: int = 0
    finish_reason: str | None = None
    dead: bool = False

    async def take(self) -> int:
        """Waits for tokens; 0 means the end. EngineDeadError when the engine died first."""
        await self.ready.wait()
        if self.finish_reason is None and not self.dead:
            self.ready.clear()
        number, self.pending = self.pending, 0
        if not number and self.dead:
            raise EngineDeadError
        return number


class Engine:
    """Serves until it is told to stop or dies; `on_death(error)` is called once with the last line of its trace."""

    def __init__(
        self,
        ready: Ready,
        metrics: Metrics,
        *,
        seed: int = 0,
        faults: Sequence[ServingFault] = (),
        priority_policy: bool = False,
    ) -> None:
        self.config, self.cache, self.metrics = ready.config, ready.cache, metrics
        self.on_death: Callable[[str | None], None] = lambda _error: None
        self.totals = {"prompt": 0, "generation": 0, "queries": 0, "hits": 0}
        self._serving = Serving(ready, self, seed=seed, faults=faults, priority_policy=priority_policy)
        self._streams: dict[Request, Stream] = {}
        self._wake = asyncio.Event()
        self._time = asyncio.get_running_loop().time
        self._behind_seconds = 0.0  # how far the virtual clock has fallen behind the real one

    @property
    def dead(self) -> bool:
        return self._serving.dead

    @property
    def scheduler(self) -> Scheduler:
        return self._serving.scheduler

    def submit(
        self,
        request_id: str,
        prompt: Sequence[int],
        output_tokens: int,
        *,
        finish_reason: str,
        max_tokens: int,
        n: int = 1,
        priority: int = 0,
        streamed: bool = True,
    ) -> Stream:  # fmt: skip
        """Queues one sequence."""
        if self.dead:
            raise EngineDeadError
        now = self._clock()
        request = Request(request_id, prompt, output_tokens, now, finish_reason, priority)
        stream = Stream(request, max_tokens, n, asyncio.Event())
        self._streams[request] = stream
        self._serving.submit(request, self.config.stream_interval if streamed else WHOLE_ANSWER, now)
        self._wake.set()
        return stream

    def abort(self, stream: Stream) -> None:
        """The client has gone."""
        if self._streams.pop(stream.request, None) is None:
            return
        if not stream.request.finished:
            self.metrics.success["abort"].inc()
        self._serving.abort(stream.request)
        self._gauges()

    async def run(self) -> None:
        """The busy loop; returns when the engine has died."""
        while not self.dead:
            due = self._serving.due_seconds
            if due is None:
                self._wake.clear()
                await self._wake.wait()
                continue
            delay = due - self._clock()
            if delay < -MAX_LAG_SECONDS:
                self._behind_seconds -= delay
            # Also without delay the loop must breathe, or requests would never be read.
            await asyncio.sleep(max(0.0, delay))
            self._serving.advance(due + GRAIN_SECONDS)

    def _clock(self) -> float:
        return self._time() - self._behind_seconds

    def admitted(self, request: Request) -> None:
        del request
        self._gauges()

    def stepped(self, step: Step, produced: Sequence[Request], now_seconds: float) -> None:
        metrics = self.metrics
        for request in produced:
            if request.last_token_seconds is not None:
                metrics.itl.observe(now_seconds - request.last_token_seconds)
            request.last_token_seconds = now_seconds
        metrics.iteration.observe(step.tokens)
        metrics.preemptions.inc(step.preempted)
        metrics.cache_queries.inc(step.cache_queries)
        metrics.cache_hits.inc(step.cache_hits)
        self.totals["queries"] += step.cache_queries
        self.totals["hits"] += step.cache_hits
        self._gauges()

    def processed(self, requests: Sequence[Request], now_seconds: float) -> None:
        self.metrics.generation_tokens.inc(len(requests))
        self.totals["generation"] += len(requests)
        for request in requests:
            stream = self._streams.get(request)
            if stream is None:
                continue
            stream.processed += 1
            if stream.processed == 1:
                self.metrics.ttft.observe(now_seconds - request.arrival_seconds)
                self._count_prompt(request)
            if stream.processed == request.output_tokens:
                self._finish(stream, now_seconds)

    def chunk(self, chunk: Chunk) -> None:
        stream = self._streams.get(chunk.request)
        if stream is None:
            return
        stream.pending += chunk.tokens
        if chunk.last:
            stream.finish_reason = chunk.request.finish_reason
            del self._streams[chunk.request]
        stream.ready.set()

    def died(self, error: str | None) -> None:
        self.on_death(error)
        for stream in self._streams.values():
            stream.dead = True
            stream.ready.set()
        self._streams.clear()

    def _count_prompt(self, request: Request) -> None:
        length = len(request.prompt)
        self.metrics.prompt_tokens.inc(length)
        self.metrics.prompt_tokens_cached.inc(request.cached)
        self.metrics.by_source["local_compute"].inc(length - request.cached)
        self.metrics.by_source["local_cache_hit"].inc(request.cached)
        self.totals["prompt"] += length

    def _finish(self, stream: Stream, now: float) -> None:
        request = stream.request
        first, last = request.first_token_seconds or now, request.last_token_seconds or now
        scheduled = request.arrival_seconds if request.scheduled_seconds is None else request.scheduled_seconds
        self.metrics.observe_finished(
            FinishedRequest(
                finish_reason=request.finish_reason,
                prompt_tokens=len(request.prompt),
                output_tokens=request.produced,
                max_tokens=stream.max_tokens,
                n=stream.n,
                cached_tokens=request.cached,
                e2e_seconds=now - request.arrival_seconds,
                queue_seconds=scheduled - request.arrival_seconds,
                prefill_seconds=first - scheduled,
                decode_seconds=last - first,
            )
        )

    def _gauges(self) -> None:
        waiting = len(self.scheduler.waiting)
        self.metrics.running.set(len(self.scheduler.running))
        self.metrics.waiting.set(waiting)
        self.metrics.waiting_capacity.set(waiting)
        self.metrics.kv_usage.set(self.scheduler.pool.usage)
