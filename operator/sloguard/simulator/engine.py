"""The engine: plays the scheduler's steps in real time and hands tokens to streams.

One task steps for all requests. The API server's own cost is modelled too: writing a chunk takes it
`CHUNK_SECONDS`, and while it is behind, tokens gather, so that past saturation a chunk carries several of them.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sloguard.simulator.latency import LatencyModel
from sloguard.simulator.memory import KvCache, MemoryPlan, cuda_oom_message
from sloguard.simulator.metrics import FinishedRequest, Metrics
from sloguard.simulator.profiles import GIB
from sloguard.simulator.scheduler import Request, Scheduler, SchedulerLimits, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sloguard.simulator.config import EngineConfig

CHUNK_SECONDS = 0.00010  # vLLM's API server for one streamed chunk: 150 streams at 20 ms a step saturate it
MAX_LAG_SECONDS = 0.25  # a busier machine than this slows the simulation down instead of bunching steps
TIMING_NOISE = 0.02  # relative, uniform, from the simulator's seed


class EngineDeadError(Exception):
    """What every request gets once the engine has died."""


@dataclass(eq=False)
class Stream:
    """One request's tokens on their way to its client."""

    request: Request
    max_tokens: int
    n: int
    interval: int
    ready: asyncio.Event
    pending: int = 0
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


@dataclass
class ServingFault:
    """A failure that strikes so many seconds after the first request."""

    kind: str
    after_seconds: float


class Engine:
    """Steps until it is told to stop or dies; `on_death(error)` is called once with the last line of its trace."""

    def __init__(
        self,
        config: EngineConfig,
        plan: MemoryPlan,
        cache: KvCache,
        metrics: Metrics,
        *,
        seed: int = 0,
        faults: Sequence[ServingFault] = (),
        priority_policy: bool = False,
    ) -> None:
        self.config, self.plan, self.cache, self.metrics = config, plan, cache, metrics
        limits = SchedulerLimits(
            max_num_seqs=config.max_num_seqs,
            max_num_batched_tokens=config.max_num_batched_tokens,
            block_size=config.block_size,
            chunked_prefill=config.enable_chunked_prefill,
            prefix_caching=config.enable_prefix_caching,
            long_prefill_token_threshold=config.long_prefill_token_threshold,
            priority_policy=priority_policy,
        )
        self.scheduler = Scheduler(limits, cache.blocks)
        self.latency = LatencyModel(config)
        self.dead = False
        self.on_death: Callable[[str | None], None] = lambda _error: None
        self.totals = {"prompt": 0, "generation": 0, "queries": 0, "hits": 0}
        self._kv_bytes = cache.blocks * cache.block_size * plan.kv_bytes_per_token
        self._noise = random.Random(seed)
        self._faults = sorted(faults, key=lambda fault: fault.after_seconds)
        self._first_request_seconds: float | None = None
        self._streams: dict[Request, Stream] = {}
        self._undelivered: deque[tuple[Stream, int]] = deque()
        self._frontend_free_seconds = 0.0
        self._wake = asyncio.Event()
        self._clock = asyncio.get_running_loop().time

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
    ) -> Stream:  # fmt: skip
        """Queues one sequence."""
        if self.dead:
            raise EngineDeadError
        now = self._clock()
        request = Request(request_id, prompt, output_tokens, now, finish_reason, priority)
        stream = Stream(request, max_tokens, n, self.config.stream_interval, asyncio.Event())
        self._streams[request] = stream
        self.scheduler.add(request)
        if self._first_request_seconds is None:
            self._first_request_seconds = now
        self._gauges()
        self._wake.set()
        return stream

    def abort(self, stream: Stream) -> None:
        """The client has gone."""
        if self._streams.pop(stream.request, None) is None or stream.request.finished:
            return
        self.scheduler.abort(stream.request)
        self.metrics.success["abort"].inc()
        self._gauges()

    async def run(self) -> None:
        """The busy loop; returns when the engine has died."""
        started = self._clock()
        while not self.dead:
            step = self.scheduler.plan(started) if self.scheduler.has_work else None
            if step is None:
                self._deliver(self._clock(), flush=True)
                self._wake.clear()
                await self._wake.wait()
                started = self._clock()
                continue
            if await self._fault_struck() or self._out_of_memory(step):
                return
            started = await self._play(step, started)

    async def _play(self, step: Step, started: float) -> float:
        """Waits as long as the step lasts, applies it, and returns when it ended."""
        noise = 1.0 + TIMING_NOISE * (2 * self._noise.random() - 1)
        ended = started + self.latency.step_seconds(step.shape) * noise
        delay = ended - self._clock()
        if delay < -MAX_LAG_SECONDS:
            ended = self._clock()
        # Also without delay the loop must breathe, or requests would never be read.
        await asyncio.sleep(max(0.0, delay))
        self._apply(step, ended)
        return ended

    def _apply(self, step: Step, now: float) -> None:
        metrics = self.metrics
        produced = self.scheduler.complete(step, now)
        for request in produced:
            previous = request.last_token_seconds
            if previous is None:
                metrics.ttft.observe(now - request.arrival_seconds)
                self._count_prompt(request)
            else:
                metrics.itl.observe(now - previous)
            request.last_token_seconds = now
            stream = self._streams.get(request)
            if stream is not None:
                self._undelivered.append((stream, 1))
            if request.finished:
                self._finish(request, now)
        metrics.generation_tokens.inc(len(produced))
        metrics.iteration.observe(step.tokens)
        metrics.preemptions.inc(step.preempted)
        metrics.cache_queries.inc(step.cache_queries)
        metrics.cache_hits.inc(step.cache_hits)
        self.totals["generation"] += len(produced)
        self.totals["queries"] += step.cache_queries
        self.totals["hits"] += step.cache_hits
        self._gauges()
        self._deliver(now)

    def _count_prompt(self, request: Request) -> None:
        length = len(request.prompt)
        self.metrics.prompt_tokens.inc(length)
        self.metrics.prompt_tokens_cached.inc(request.cached)
        self.metrics.by_source["local_compute"].inc(length - request.cached)
        self.metrics.by_source["local_cache_hit"].inc(request.cached)
        self.totals["prompt"] += length

    def _finish(self, request: Request, now: float) -> None:
        stream = self._streams.get(request)
        first = now if request.first_token_seconds is None else request.first_token_seconds
        scheduled = request.arrival_seconds if request.scheduled_seconds is None else request.scheduled_seconds
        self.metrics.observe_finished(
            FinishedRequest(
                finish_reason=request.finish_reason,
                prompt_tokens=len(request.prompt),
                output_tokens=request.produced,
                max_tokens=stream.max_tokens if stream else request.output_tokens,
                n=stream.n if stream else 1,
                cached_tokens=request.cached,
                e2e_seconds=now - request.arrival_seconds,
                queue_seconds=scheduled - request.arrival_seconds,
                prefill_seconds=first - scheduled,
                decode_seconds=now - first,
            )
        )

    def _gauges(self) -> None:
        waiting = len(self.scheduler.waiting)
        self.metrics.running.set(len(self.scheduler.running))
        self.metrics.waiting.set(waiting)
        self.metrics.waiting_capacity.set(waiting)
        self.metrics.kv_usage.set(self.scheduler.pool.usage)

    def _deliver(self, now: float, *, flush: bool = False) -> None:
        """Gives streams their tokens, unless the API server is still busy with earlier ones."""
        if not self._undelivered or (now < self._frontend_free_seconds and not flush):
            return
        touched: dict[Stream, None] = {}
        while self._undelivered:
            stream, number = self._undelivered.popleft()
            stream.pending += number
            touched[stream] = None
        for stream in touched:
            request = stream.request
            if request.finished:
                stream.finish_reason = request.finish_reason
                self._streams.pop(request, None)
            # The first token goes out at once whatever the stream interval, as in vLLM.
            if request.finished or stream.pending >= stream.interval or stream.pending == request.produced:
                stream.ready.set()
        self._frontend_free_seconds = max(now, self._frontend_free_seconds) + len(touched) * CHUNK_SECONDS

    async def _fault_struck(self) -> bool:
        """Injected failures whose time has come; True when the engine is dead."""
        first = self._first_request_seconds
        if not self._faults or first is None or self._clock() - first < self._faults[0].after_seconds:
            return False
        fault = self._faults.pop(0)
        if fault.kind == "hang":
            await asyncio.Event().wait()
        if fault.kind == "rpc-timeout":
            await asyncio.sleep(RPC_TIMEOUT_SECONDS)
        self._die(self._oom() if fault.kind == "cuda-oom" else SERVING_ERRORS[fault.kind])
        return True

    def _out_of_memory(self, step: Step) -> bool:
        vocabulary = self.config.profile.model.vocabulary
        peak = self.plan.serving_peak(self._kv_bytes, step.tokens, step.shape.sequences, vocabulary)
        if peak <= self.plan.total:
            return False
        self._die(self._oom(step.tokens))
        return True

    def _oom(self, tokens: int = 0) -> str:
        tried = max(tokens * self.plan.activation_per_token // 3, GIB // 16)
        used = self.plan.total - tried // 2
        return f"torch.OutOfMemoryError: {cuda_oom_message(self.plan, used, tried)}"

    def _die(self, error: str | None) -> None:
        self.dead = True
        self.on_death(error)
        for stream in list(self._streams.values()):
            stream.dead = True
            stream.ready.set()
        self._streams.clear()


RPC_TIMEOUT_SECONDS = 5.0  # vLLM's default is 300 s (VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS); nobody waits that long here
SERVING_ERRORS: dict[str, str | None] = {
    "engine-dies": None,
    "engine-killed": None,
    "rpc-timeout": "TimeoutError: RPC call to sample_tokens timed out.",
    "illegal-memory-access": (
        "torch.AcceleratorError: CUDA error: an illegal memory access was encountered\n"
        "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
        "incorrect."
    ),
    "nccl": (
        "torch.distributed.DistBackendError: [Rank 0] Watchdog caught collective operation timeout: "
        "WorkNCCL(SeqNum=8437, OpType=ALLREDUCE, NumelIn=4194304, NumelOut=4194304, Timeout(ms)=600000) ran for 600004 "
        "milliseconds before timing out."
    ),
}
