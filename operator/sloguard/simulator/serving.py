"""A server at work: API server and engine, two processes on one virtual clock. Pure and deterministic.

Whoever owns the clock calls `advance`; what happens on the way is told to an observer, in order of time. The engine
plays the scheduler's steps one after the other, each as long as the latency model says.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sloguard.simulator.frontend import Admitted, Chunk, Event, Frontend, Processed
from sloguard.simulator.latency import LatencyModel
from sloguard.simulator.memory import cuda_oom_message
from sloguard.simulator.profiles import GIB
from sloguard.simulator.scheduler import Request, Scheduler, SchedulerLimits, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sloguard.simulator.startup import Ready

TIMING_NOISE = 0.02  # relative, uniform, from the simulator's seed
RPC_TIMEOUT_SECONDS = 5.0  # vLLM's default is 300 s (VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS); nobody waits that long here


@dataclass(frozen=True)
class ServingFault:
    """A failure that strikes so many seconds after the first request."""

    kind: str
    after_seconds: float


class Observer(Protocol):
    """What a server's surroundings see of it."""

    def admitted(self, request: Request) -> None:
        """The engine has got a request."""

    def stepped(self, step: Step, produced: Sequence[Request], now_seconds: float) -> None:
        """The engine has ended a step, which gave these requests a token each."""

    def processed(self, requests: Sequence[Request], now_seconds: float) -> None:
        """The API server has taken the tokens of a step."""

    def chunk(self, chunk: Chunk) -> None:
        """The API server has written to a client."""

    def died(self, error: str | None) -> None:
        """The engine is dead; `error` is the last line of its trace, if it left one."""


class Serving:
    """Serves one start's configuration until the engine dies."""

    def __init__(
        self,
        ready: Ready,
        observer: Observer,
        *,
        seed: int = 0,
        faults: Sequence[ServingFault] = (),
        priority_policy: bool = False,
    ) -> None:
        config, self._plan, cache = ready.config, ready.plan, ready.cache
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
        self.dead = False
        self._observer = observer
        self._latency = LatencyModel(config)
        self._vocabulary = config.profile.model.vocabulary
        self._kv_bytes = cache.blocks * cache.block_size * self._plan.kv_bytes_per_token
        self._noise = random.Random(seed)
        self._faults = sorted(faults, key=lambda fault: fault.after_seconds)
        self._first_request_seconds: float | None = None
        self._frontend = Frontend(config.profile.host)
        self._events: deque[Event] = deque()  # of the API server's present round
        self._clock = 0.0
        self._admitted: deque[Request] = deque()  # not yet seen by the scheduler
        self._asynchronous = config.async_scheduling
        self._step: Step | None = None
        self._step_began = 0.0
        self._step_ends: float | None = None
        self._dying: str | None = None
        self._stuck = False

    def submit(self, request: Request, interval: int, now_seconds: float) -> None:
        """A client's request comes in."""
        self._clock = max(self._clock, now_seconds)
        if self._first_request_seconds is None:
            self._first_request_seconds = self._clock
        self._frontend.submit(request, interval)

    def abort(self, request: Request) -> None:
        """The client has gone."""
        if self._frontend.forget(request):
            self.scheduler.abort(request)
        request.finished = True

    @property
    def due_seconds(self) -> float | None:
        """When something happens next; None when nothing will without a new request."""
        times: list[float] = []
        if self._events:
            times.append(self._events[0].seconds)
        elif self._frontend.has_work:
            times.append(max(self._frontend.free_seconds, self._clock))
        if self._step_ends is not None:
            times.append(self._step_ends)
        return min(times, default=None)

    def advance(self, until_seconds: float) -> None:
        """Plays everything that is due by then."""
        while not self.dead and (due := self.due_seconds) is not None and due <= until_seconds:
            self._clock = max(self._clock, due)
            if due == self._step_ends:
                self._end_step(due)
            elif self._events:
                self._happen(self._events.popleft())
            else:
                self._events.extend(self._frontend.round(due))

    def _happen(self, event: Event) -> None:
        match event:
            case Admitted(seconds, request):
                if not request.finished:
                    request.arrival_seconds = seconds
                    self._admitted.append(request)
                    if self._step_ends is None and not self._stuck:
                        self._begin_step(seconds)
                    self._observer.admitted(request)
            case Processed(seconds, requests):
                self._observer.processed(requests, seconds)
            case Chunk():
                self._observer.chunk(event)

    def _begin_step(self, now: float) -> None:
        began, self._step_began = self._step_began, now
        self._step, self._step_ends = None, None
        if self._fault_strikes(now):
            return
        step = self._plan_step(now, began if self._asynchronous else now)
        if step is None:
            return
        peak = self._plan.serving_peak(self._kv_bytes, step.tokens, step.shape.sequences, self._vocabulary)
        if peak > self._plan.total:
            self.die(self._oom(step.tokens))
            return
        noise = 1.0 + TIMING_NOISE * (2 * self._noise.random() - 1)
        self._step, self._step_ends = step, now + self._latency.step_seconds(step.shape) * noise

    def _plan_step(self, now: float, known_seconds: float) -> Step | None:
        """The next step. With async scheduling it was planned when the last one began, unless there was nothing."""
        self._schedule(known_seconds)
        step = self.scheduler.plan(now)
        if step is None and self._admitted:
            self._schedule(now)
            step = self.scheduler.plan(now)
        return step

    def _schedule(self, known_seconds: float) -> None:
        while self._admitted and self._admitted[0].arrival_seconds <= known_seconds:
            request = self._admitted.popleft()
            if not request.finished:
                self.scheduler.add(request)

    def _end_step(self, now: float) -> None:
        if self._step is None:
            self.die(self._dying)
            return
        produced = self.scheduler.complete(self._step, now)
        self._observer.stepped(self._step, produced, now)
        if produced:
            self._frontend.output(produced)
        self._begin_step(now)

    def _fault_strikes(self, now: float) -> bool:
        """Injected failures whose time has come; True when there will be no further step."""
        first = self._first_request_seconds
        if not self._faults or first is None or now - first < self._faults[0].after_seconds:
            return False
        fault = self._faults.pop(0)
        if fault.kind == "hang":
            self._stuck = True
        elif fault.kind == "rpc-timeout":
            self._dying, self._step_ends = SERVING_ERRORS[fault.kind], now + RPC_TIMEOUT_SECONDS
        else:
            self.die(self._oom() if fault.kind == "cuda-oom" else SERVING_ERRORS[fault.kind])
        return True

    def _oom(self, tokens: int = 0) -> str:
        tried = max(tokens * self._plan.activation_per_token // 3, GIB // 16)
        used = self._plan.total - tried // 2
        return f"torch.OutOfMemoryError: {cuda_oom_message(self._plan, used, tried)}"

    def die(self, error: str | None) -> None:
        """Ends the engine; whoever observes has to tell the clients."""
        self.dead = True
        self._step_ends = None
        self._observer.died(error)


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
