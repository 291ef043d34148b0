"""What is sent: bodies of /v1/completions, made from a seed, byte for byte the same for every trial.

Prompts are token ids, so no tokenizer is needed and the server's count is ours. Each request draws from a generator of
its own, seeded by the study's seed, its stream (a rate, or the warm-up) and its place: which rates ran before, and how
far they got, changes nothing. Streams differ so that one rate does not find the last one's prompts in the prefix cache.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from sloguard.api.v1alpha1 import ArrivalPattern, Workload

from .arrivals import due_seconds, trace_within
from .lengths import drawing


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request before it is sent. `body` is built when asked for: all bodies of a window would fill the memory."""

    due_seconds: float
    prompt_tokens: int
    output_tokens: int
    body: Callable[[], bytes]


class RequestFactory:
    """Makes the requests of a workload. Prompt tokens are drawn from the 256 ids from `first_token_id` on."""

    def __init__(self, workload: Workload, *, model: str, first_token_id: int = 100) -> None:
        self._workload = workload
        self._token = [str(first_token_id + offset).encode() for offset in range(256)]
        self._head = b'{"model":' + json.dumps(model).encode() + b',"prompt":['
        prefix = workload.shared_prefix
        self._prefix = Random(f"{workload.seed}/prefix").randbytes(prefix.tokens) if prefix else b""

    def stream(self, name: str, *, percent: int, duration_seconds: int) -> Iterator[PlannedRequest]:
        """The requests of one window, in the order in which they are due."""
        arrival = self._workload.arrival
        due = due_seconds(arrival, percent, duration_seconds, Random(f"{self._workload.seed}/{name}/arrivals"))
        lengths = self._lengths(name, percent, duration_seconds, len(due))
        for index, (at, (prompt, output)) in enumerate(zip(due, lengths, strict=True)):
            yield PlannedRequest(
                at, prompt, output, self._body_of(f"{self._workload.seed}/{name}/{index}", prompt, output)
            )

    def _lengths(self, name: str, percent: int, duration_seconds: int, count: int) -> Iterator[tuple[int, int]]:
        workload = self._workload
        if workload.arrival.pattern is ArrivalPattern.TRACE:
            for entry in trace_within(workload.arrival, percent, duration_seconds):
                yield entry.prompt_tokens, entry.output_tokens
            return
        rng = Random(f"{workload.seed}/{name}/lengths")
        prompt, output = drawing(workload.prompt_tokens), drawing(workload.output_tokens)
        for _ in range(count):
            yield prompt(rng), output(rng)

    def _body_of(self, seed: str, prompt: int, output: int) -> Callable[[], bytes]:
        return lambda: self._body(seed, prompt, output)

    def _body(self, seed: str, prompt: int, output: int) -> bytes:
        rng = Random(seed)
        ids = self._prompt(rng, prompt)
        token = self._token
        return b"".join(
            (
                self._head,
                b",".join([token[byte] for byte in ids]),
                # A fixed length: the server must not stop early. Greedy: the same work each time.
                b'],"max_tokens":%d,"min_tokens":%d,"ignore_eos":true,"temperature":0,' % (output, output),
                b'"stream":true,"stream_options":{"include_usage":true}}',
            )
        )

    def _prompt(self, rng: Random, tokens: int) -> bytes:
        """The shared prefix counts towards the length; a prompt shorter than the prefix is the beginning of it."""
        prefix = self._workload.shared_prefix
        shared = self._prefix[:tokens] if prefix and rng.random() * 100 < prefix.percent else b""
        return shared + rng.randbytes(tokens - len(shared))
