"""What is sent: bodies of requests, made from a seed, byte for byte the same for every trial.

Prompts are token ids, so that no tokenizer is needed and the server's count is ours, or words. Each request draws from
a generator of its own, seeded by the study's seed, its stream (a rate, or the warm-up) and its place: which rates ran
before, and how far they got, changes nothing. Streams differ so that one rate does not find the last one's prompts in
the prefix cache.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import count
from random import Random
from typing import Final

from sloguard.api.v1alpha1 import ArrivalPattern, PromptFormat, Workload

from .arrivals import due_seconds, offered_per_minute
from .lengths import drawing
from .trace import RecordedRequest, recorded, replayed
from .words import COMMON

FRAMES: Final = {
    PromptFormat.TOKEN_IDS: (b',"prompt":[', b",", b"]"),
    PromptFormat.TEXT: (b',"prompt":"', b" ", b'"'),
    PromptFormat.CHAT: (b',"messages":[{"role":"user","content":"', b" ", b'"}]'),
}
"""What stands before, between and after a prompt's tokens. Words of letters need no escape."""


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request before it is sent. `body` is built when asked for: all bodies of a window would fill the memory."""

    due_seconds: float
    prompt_tokens: int
    output_tokens: int
    body: Callable[[], bytes]


class RequestFactory:
    """Makes the requests of a workload. Prompt tokens are drawn from the 256 ids from `first_token_id` on.

    `trace` is what a trace's file holds; without it the study's own entries are taken. `words` are 256 that are one
    token to the model, for prompts that are text.
    """

    def __init__(
        self,
        workload: Workload,
        *,
        model: str,
        first_token_id: int = 100,
        trace: Sequence[RecordedRequest] | None = None,
        words: Sequence[str] | None = None,
    ) -> None:
        self._workload = workload
        self._trace = recorded(workload.arrival.trace or []) if trace is None else trace
        ids = workload.prompts.format is PromptFormat.TOKEN_IDS
        pieces = [str(first_token_id + offset) for offset in range(256)] if ids else words or COMMON
        self._piece = [piece.encode() for piece in pieces]
        opening, self._between, self._closing = FRAMES[workload.prompts.format]
        self._head = b'{"model":' + json.dumps(model).encode() + opening
        prefix = workload.shared_prefix
        self._prefix = Random(f"{workload.seed}/prefix").randbytes(prefix.tokens) if prefix else b""

    def stream(self, name: str, *, percent: int, duration_seconds: int) -> Iterator[PlannedRequest]:
        """The requests of one window, in the order in which they are due; of a closed loop, more than can be sent."""
        seed = f"{self._workload.seed}/{name}"
        for index, request in enumerate(self._plan(seed, percent, duration_seconds)):
            body = partial(self._body, seed, index, request)
            yield PlannedRequest(request.at_seconds, request.prompt_tokens, request.output_tokens, body)

    def offered_per_minute(self, percent: int, duration_seconds: int) -> int:
        """The mean rate over a window of an open loop, in whole requests a minute."""
        arrival = self._workload.arrival
        if arrival.pattern is not ArrivalPattern.TRACE:
            return offered_per_minute(arrival, percent, duration_seconds)
        within = replayed(self._trace, self._workload, percent, duration_seconds, "")
        return round(len(within) * 60 / duration_seconds)

    def _plan(self, seed: str, percent: int, duration_seconds: int) -> Iterable[RecordedRequest]:
        workload = self._workload
        if workload.arrival.pattern is ArrivalPattern.TRACE:
            return replayed(self._trace, workload, percent, duration_seconds, f"{seed}/replay")
        assert workload.prompt_tokens is not None, "a rule of the workload"
        assert workload.output_tokens is not None, "a rule of the workload"
        lengths = Random(f"{seed}/lengths")
        prompt, output = drawing(workload.prompt_tokens), drawing(workload.output_tokens)
        if workload.arrival.pattern is ArrivalPattern.CLOSED_LOOP:
            # Without end: how many there will be is up to the server.
            return (RecordedRequest(0.0, prompt(lengths), output(lengths)) for _ in count())
        due = due_seconds(workload.arrival, percent, duration_seconds, Random(f"{seed}/arrivals"))
        return (RecordedRequest(at, prompt(lengths), output(lengths)) for at in due)

    def _body(self, seed: str, index: int, request: RecordedRequest) -> bytes:
        ids = self._prompt(seed, index, request)
        piece, output = self._piece, request.output_tokens
        return b"".join(
            (
                self._head,
                self._between.join([piece[byte] for byte in ids]),
                self._closing,
                # A fixed length: the server must not stop early. Greedy: the same work each time.
                b',"max_tokens":%d,"min_tokens":%d,"ignore_eos":true,"temperature":0,' % (output, output),
                b'"stream":true,"stream_options":{"include_usage":true}}',
            )
        )

    def _prompt(self, seed: str, index: int, request: RecordedRequest) -> bytes:
        """A prefix counts towards the length; a prompt shorter than it is the beginning of it."""
        tokens, rng = request.prompt_tokens, Random(f"{seed}/{index}")
        prefix = self._workload.shared_prefix
        if request.prefix:
            # Of this window alone: what a group has in the prefix cache must come from its own requests.
            shared = b"".join(_part(seed, name, length) for name, length in request.prefix)[:tokens]
        else:
            shared = self._prefix[:tokens] if prefix and rng.random() * 100 < prefix.percent else b""
        return shared + rng.randbytes(tokens - len(shared))


@lru_cache(maxsize=4096)
def _part(seed: str, name: str, tokens: int) -> bytes:
    """Fewer tokens of a name are the beginning of more: whole words are drawn, in the order in which they stand."""
    return Random(f"{seed}/{name}").randbytes(-(-tokens // 4) * 4)[:tokens]
