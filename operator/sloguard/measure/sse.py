"""Reads a streamed completion as it arrives: when tokens came, how many, and whether the stream ended well.

Cheap on purpose, since this runs once for each token: a chunk of vLLM's usual shape is recognised by its bytes, and
only others (the usage at the end, errors, foreign formatting) are parsed as JSON. Times are taken by the caller, once
for each read.
"""

import json
from array import array
from typing import Any, cast

LINE_LIMIT_BYTES = 64 * 1024
"""vLLM's chunks have a few hundred bytes. Longer lines mean that this is no completion stream."""

GAP_LIMIT_MICROSECONDS = 2**32 - 1
TOKENS_LIMIT = 10_000_000

ENGINE_DEAD = b"EngineCore encountered an issue"
"""vLLM's EngineDeadError (vllm/v1/engine/exceptions.py): the server cannot recover from it."""


class StreamBrokenError(Exception):
    """What arrived cannot be a completion."""


class StreamError(Exception):
    """The server reported an error within the stream."""

    def __init__(self, message: str, *, engine_dead: bool) -> None:
        super().__init__(message)
        self.engine_dead = engine_dead


class CompletionStream:
    """One answer. Feed it bytes until `done`; the stream ended well only if it is done and `tokens` is known."""

    __slots__ = (
        "_chunk_limit",
        "_chunks",
        "_rest",
        "done",
        "first_ns",
        "gaps_microseconds",
        "last_ns",
        "prompt_tokens",
        "read_ns",
        "tokens",
    )

    def __init__(self, wanted_tokens: int) -> None:
        self._rest = bytearray()
        self._chunks = 0
        # At most one chunk a token; the margin allows for empty ones. It bounds what a runaway server makes us store.
        self._chunk_limit = 2 * wanted_tokens + 16
        self.first_ns = 0
        self.last_ns = 0
        self.read_ns = 0  # when anything last came
        self.gaps_microseconds: array[int] = array("I")
        self.tokens: int | None = None
        self.prompt_tokens: int | None = None
        self.done = False

    def feed(self, data: bytes, now_ns: int) -> None:
        """Takes what one read returned. Several chunks in one read have gaps of zero, as in `vllm bench serve`."""
        self.read_ns = now_ns
        if self._is_one_more(data):
            self._token_chunk(now_ns)
        elif b"\n" not in data:
            self._rest += data
        else:
            lines = (self._rest + data).split(b"\n") if self._rest else data.split(b"\n")
            self._rest = bytearray(lines.pop())
            for line in lines:
                if line:
                    self._take(bytes(line), now_ns)
        if len(self._rest) > LINE_LIMIT_BYTES:
            raise StreamBrokenError(f"a line of the stream is longer than {LINE_LIMIT_BYTES} bytes")

    def _is_one_more(self, data: bytes) -> bool:
        """One token's chunk alone, as most reads are; not the first, which may only announce the answer."""
        alone = self._chunks and not self._rest and data.endswith(b"}\n\n") and data.find(b"\n") == len(data) - 2
        return bool(alone) and _is_usual(data)

    def finish(self, now_ns: int) -> None:
        """The connection has ended; a last line may lack its line feed."""
        if self._rest and not self.done:
            self._take(bytes(self._rest), now_ns)

    def _take(self, line: bytes, now_ns: int) -> None:
        if len(line) > LINE_LIMIT_BYTES:
            raise StreamBrokenError(f"a line of the stream is longer than {LINE_LIMIT_BYTES} bytes")
        if line.endswith(b"\r"):
            line = line[:-1]
        if line.endswith(b"}") and _is_usual(line):
            if self._chunks or not _only_announces(line):
                self._token_chunk(now_ns)
        elif line.startswith(b"data:"):
            self._take_data(line[5:].strip(), now_ns)
        # Anything else is a comment, another field of server-sent events, or noise that the standard says to ignore.

    def _take_data(self, payload: bytes, now_ns: int) -> None:
        if payload == b"[DONE]":
            self.done = True
            return
        message = _parsed(payload)
        if message.get("error") or message.get("object") == "error":
            raise StreamError(payload[:200].decode(errors="replace"), engine_dead=ENGINE_DEAD in payload)
        if message.get("choices"):
            self._token_chunk(now_ns)
        usage = message.get("usage")
        if isinstance(usage, dict):
            counts = cast("dict[str, Any]", usage)
            self.tokens = _token_count(counts.get("completion_tokens"))
            prompt = counts.get("prompt_tokens")
            self.prompt_tokens = prompt if type(prompt) is int and 0 < prompt <= TOKENS_LIMIT else None

    def _token_chunk(self, now_ns: int) -> None:
        self._chunks += 1
        if self._chunks == 1:
            self.first_ns = now_ns
        elif self._chunks > self._chunk_limit:
            raise StreamBrokenError(f"more than {self._chunk_limit} chunks: the server ignores max_tokens")
        else:
            self.gaps_microseconds.append(min((now_ns - self.last_ns) // 1000, GAP_LIMIT_MICROSECONDS))
        self.last_ns = now_ns


def _is_usual(line: bytes) -> bool:
    """A chunk of vLLM's usual shape, with a token and nothing else to look at.

    Within JSON text a quote is escaped, so these patterns cannot come from what the model wrote.
    """
    return (
        b'"choices":[{' in line
        and b'"usage":{' not in line
        and b'"error":' not in line
        and line.startswith(b"data: {")
        and len(line) <= LINE_LIMIT_BYTES
    )


def _only_announces(line: bytes) -> bool:
    """A chat's first chunk may name the role and hold nothing; a server is free to send it before it has a token."""
    return b'"role":"assistant"' in line and b'"content":""' in line


def _parsed(payload: bytes) -> dict[str, Any]:
    try:
        message = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise StreamBrokenError(f"not JSON: {payload[:100].decode(errors='replace')}") from error
    if not isinstance(message, dict):
        raise StreamBrokenError(f"not an object: {payload[:100].decode(errors='replace')}")
    return cast("dict[str, Any]", message)


def _token_count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TOKENS_LIMIT:
        raise StreamBrokenError("usage.completion_tokens is not a plausible number")
    return value
