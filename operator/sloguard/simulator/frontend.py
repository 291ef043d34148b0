"""vLLM's API server: one event loop that reads requests, takes tokens from the engine and writes chunks. Pure.

The loop goes round: it writes a chunk for every stream that was woken in the round before, takes whatever tokens the
engine has sent meanwhile (which wakes their streams), and reads new requests. All of that takes one core's time. As
long as a round is shorter than a step, every token is a chunk of its own; past that tokens gather, rounds get longer,
and a chunk carries several tokens: the gaps between chunks then measure the rounds, not the engine. A new request
crosses several rounds before the engine sees it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sloguard.simulator.profiles import Host
    from sloguard.simulator.scheduler import Request

ROUNDS_TO_ENGINE = 3  # a request is parsed, handled by its task and sent to the engine in rounds of their own


@dataclass(frozen=True)
class Admitted:
    """The engine gets a request."""

    seconds: float
    request: Request


@dataclass(frozen=True)
class Processed:
    """The API server has the tokens of a step; they are not yet on their way to clients."""

    seconds: float
    requests: list[Request]


@dataclass(frozen=True)
class Chunk:
    """A client gets so many tokens; `last` ends its answer."""

    seconds: float
    request: Request
    tokens: int
    last: bool


Event = Admitted | Processed | Chunk


@dataclass(eq=False)
class _Answer:
    interval: int
    pending: int = 0
    sent: int = 0
    finished: bool = False


class Frontend:
    """Rounds on a clock from outside: whoever calls `round` waits until `free_seconds` before calling again."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._answers: dict[Request, _Answer] = {}
        self._arriving: deque[tuple[Request, int]] = deque()  # with the rounds each has behind it
        self._outputs: deque[list[Request]] = deque()
        self._woken: dict[Request, None] = {}
        self.free_seconds = 0.0  # when the last round ends

    @property
    def has_work(self) -> bool:
        return bool(self._woken or self._outputs or self._arriving)

    def submit(self, request: Request, interval: int) -> None:
        """A request comes in; a chunk is written for every `interval` tokens, and for the first one."""
        self._answers[request] = _Answer(interval)
        self._arriving.append((request, 0))

    def output(self, requests: list[Request]) -> None:
        """The engine has a token for each of these."""
        self._outputs.append(requests)

    def forget(self, request: Request) -> bool:
        """The client has gone; False when the engine had not even seen the request."""
        self._answers.pop(request, None)
        self._woken.pop(request, None)
        before = len(self._arriving)
        self._arriving = deque(entry for entry in self._arriving if entry[0] is not request)
        return len(self._arriving) == before

    def round(self, now_seconds: float) -> list[Event]:
        """What happens in one round that begins now, in order of time."""
        arriving, outputs, woken = self._arriving, self._outputs, self._woken
        self._arriving, self._outputs, self._woken = deque(), deque(), {}
        events: list[Event] = []
        clock = now_seconds
        for request in woken:
            clock += self._host.chunk_seconds
            events += self._written(request, clock)
        for requests in outputs:
            clock += len(requests) * self._host.token_seconds
            events.append(Processed(clock, requests))
            self._take(requests)
        for request, rounds in arriving:
            if not rounds:
                clock += self._host.request_seconds + len(request.prompt) * self._host.prompt_token_seconds
            if rounds + 1 < ROUNDS_TO_ENGINE:
                self._arriving.append((request, rounds + 1))
            else:
                events.append(Admitted(clock, request))
        self.free_seconds = clock
        return events

    def _written(self, request: Request, clock: float) -> Iterator[Chunk]:
        answer = self._answers.get(request)
        if answer is None or not answer.pending:
            return
        number, answer.pending = answer.pending, 0
        answer.sent += number
        if answer.finished:
            del self._answers[request]
        yield Chunk(clock, request, number, answer.finished)

    def _take(self, requests: list[Request]) -> None:
        for request in requests:
            answer = self._answers.get(request)
            if answer is None:
                continue
            answer.pending += 1
            # A request ends with its last token, so what is known of it now was true then.
            answer.finished = answer.sent + answer.pending == request.output_tokens
            if answer.finished or not answer.sent or answer.pending >= answer.interval:
                self._woken[request] = None
