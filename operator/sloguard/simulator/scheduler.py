"""Continuous batching with chunked prefill and preemption, stepped on a virtual clock. Pure and deterministic.

The rules are those of vLLM's V1 scheduler: running requests first, in order of arrival; then waiting ones, while the
token budget, the sequence limit and KV blocks last; when blocks run out the youngest running request is preempted and
computed again later (its blocks stay in the prefix cache until they are needed).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sloguard.simulator.blocks import BlockPool, block_hashes
from sloguard.simulator.latency import StepShape

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(eq=False)
class Request:
    """One sequence. Times are the caller's clock, in seconds."""

    request_id: str
    prompt: Sequence[int]
    output_tokens: int  # how many it will produce
    arrival_seconds: float
    finish_reason: str = "length"
    priority: int = 0
    produced: int = 0
    computed: int = 0  # tokens whose KV entries exist
    cached: int = 0  # prompt tokens found in the prefix cache at first scheduling
    blocks: list[int] = field(default_factory=list[int])
    hashes: list[int] | None = None
    remembered: int = 0
    preemptions: int = 0
    scheduled_seconds: float | None = None
    first_token_seconds: float | None = None
    last_token_seconds: float | None = None
    finished: bool = False

    @property
    def length(self) -> int:
        return len(self.prompt) + self.produced


@dataclass
class Step:
    """One planned step: who computes how many tokens."""

    chunks: list[tuple[Request, int]]
    shape: StepShape
    preempted: int = 0
    cache_queries: int = 0
    cache_hits: int = 0
    prompt_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.shape.tokens


@dataclass(frozen=True)
class SchedulerLimits:
    """Knobs that shape a step."""

    max_num_seqs: int
    max_num_batched_tokens: int
    block_size: int = 16
    chunked_prefill: bool = True
    prefix_caching: bool = True
    long_prefill_token_threshold: int = 0
    priority_policy: bool = False


class Scheduler:
    """Plans steps and applies their results."""

    def __init__(self, limits: SchedulerLimits, blocks: int) -> None:
        self.limits = limits
        self.pool = BlockPool(blocks, caching=limits.prefix_caching)
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def add(self, request: Request) -> None:
        if self.limits.prefix_caching:
            request.hashes = block_hashes(request.prompt, self.limits.block_size)
        if self.limits.priority_policy:
            place = sum(1 for other in self.waiting if other.priority <= request.priority)
            self.waiting.insert(place, request)
        else:
            self.waiting.append(request)

    def abort(self, request: Request) -> None:
        """Forgets a request whose client has gone."""
        if request.finished:
            return
        request.finished = True
        if request in self.running:
            self.running.remove(request)
        elif request in self.waiting:
            self.waiting.remove(request)
        self._free(request)

    def plan(self, now_seconds: float) -> Step | None:
        """The next step, or None when nothing can run."""
        budget = self.limits.max_num_batched_tokens
        step = Step([], StepShape(0, 0, 0, 0))
        budget = self._schedule_running(step, budget)
        if not step.preempted:
            self._schedule_waiting(step, budget, now_seconds)
        if not step.chunks:
            return None
        step.shape = _shape(step.chunks)
        return step

    def _schedule_running(self, step: Step, budget: int) -> int:
        index = 0
        while index < len(self.running) and budget > 0:
            request = self.running[index]
            number = self._chunk(request.length - request.computed, budget)
            if number <= 0:
                index += 1
                continue
            if not self._make_room(request, number, step):
                break  # the request itself was preempted; all after it were too
            step.chunks.append((request, number))
            budget -= number
            index += 1
        return budget

    def _chunk(self, wanted: int, budget: int) -> int:
        if 0 < self.limits.long_prefill_token_threshold < wanted:
            wanted = self.limits.long_prefill_token_threshold
        return min(wanted, budget)

    def _make_room(self, request: Request, number: int, step: Step) -> bool:
        while not self._extend(request, number):
            victim = self.running.pop()
            self._preempt(victim, step)
            if victim is request:
                return False
        return True

    def _extend(self, request: Request, number: int) -> bool:
        missing = -(-(request.computed + number) // self.limits.block_size) - len(request.blocks)
        if missing > 0:
            if missing > self.pool.free:
                return False
            request.blocks += self.pool.allocate(missing)
        return True

    def _preempt(self, victim: Request, step: Step) -> None:
        step.chunks = [chunk for chunk in step.chunks if chunk[0] is not victim]
        self._free(victim)
        victim.computed = 0
        victim.remembered = 0
        victim.preemptions += 1
        step.preempted += 1
        self.waiting.appendleft(victim)

    def _schedule_waiting(self, step: Step, budget: int, now_seconds: float) -> None:
        while self.waiting and budget > 0 and len(self.running) < self.limits.max_num_seqs:
            request = self.waiting[0]
            hit_blocks = self._hits(request)
            cached = len(hit_blocks) * self.limits.block_size
            number = request.length - cached
            if not self.limits.chunked_prefill and number > budget:
                break
            number = self._chunk(number, budget)
            needed = -(-(cached + number) // self.limits.block_size) - len(hit_blocks)
            if needed + self.pool.idle_among(hit_blocks) > self.pool.free:
                break
            self.waiting.popleft()
            self.pool.share(hit_blocks)
            request.blocks = hit_blocks + self.pool.allocate(needed)
            self._admit(request, cached, step, now_seconds)
            step.chunks.append((request, number))
            budget -= number

    def _hits(self, request: Request) -> list[int]:
        """Cached blocks of the prompt; at least one token is always computed, since it yields the logits."""
        if not request.hashes:
            return []
        usable = (request.length - 1) // self.limits.block_size
        return self.pool.cached_prefix(request.hashes[:usable])

    def _admit(self, request: Request, cached: int, step: Step, now_seconds: float) -> None:
        request.computed = cached
        request.remembered = cached // self.limits.block_size
        if request.scheduled_seconds is None:
            request.scheduled_seconds = now_seconds
            request.cached = cached
            if self.limits.prefix_caching:
                step.cache_queries += request.length
                step.cache_hits += cached
        self.running.append(request)

    def complete(self, step: Step, now_seconds: float) -> list[Request]:
        """Applies a step that ended now; returns the requests that got a token, finished ones marked."""
        produced: list[Request] = []
        block_size = self.limits.block_size
        for request, number in step.chunks:
            if request.finished:
                continue  # aborted while the step ran
            if request.computed < len(request.prompt):
                step.prompt_tokens += min(number, len(request.prompt) - request.computed)
            request.computed += number
            self._remember(request, block_size)
            if request.computed < request.length:
                continue  # a chunk of a prompt: no logits yet
            request.produced += 1
            if request.first_token_seconds is None:
                request.first_token_seconds = now_seconds
            produced.append(request)
            if request.produced >= request.output_tokens:
                request.finished = True
                self._free(request)
        if any(request.finished for request in produced):
            self.running = [request for request in self.running if not request.finished]
        return produced

    def _remember(self, request: Request, block_size: int) -> None:
        hashes = request.hashes
        if hashes is None:
            return
        full = min(request.computed // block_size, len(hashes))
        while request.remembered < full:
            self.pool.remember(request.blocks[request.remembered], hashes[request.remembered])
            request.remembered += 1

    def _free(self, request: Request) -> None:
        self.pool.release(request.blocks)
        request.blocks = []


def _shape(chunks: list[tuple[Request, int]]) -> StepShape:
    tokens = context = pairs = 0
    for request, number in chunks:
        tokens += number
        context += request.computed + number
        pairs += number * request.computed + number * (number + 1) // 2
    return StepShape(tokens, len(chunks), context, pairs, sum(number > 1 for _, number in chunks))
