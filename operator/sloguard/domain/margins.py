"""How far a server that started was from failing, read from its own log."""

import re
from typing import Final

from sloguard.api.v1alpha1 import Margins

from .log_lines import lines, pieces

_GIB: Final = 1 << 30
_NUMBER: Final = r"(-?\d{1,9}(?:[.,]\d{1,9})?)"
_GROUPED: Final = "(\\d{1,3}(?:[,._'\u2019\u00a0\u2009\u202f ]\\d{3})+|\\d+)"

MARKS: Final = (
    "Starting to load model",
    "Initializing a V1 LLM engine",
    "vLLM API server version",
    "Available KV cache memory",
    "KV cache size:",
    "Model loading took",
    "Loading model weights took",
    "Graph capturing finished",
    "Estimated CUDA graph memory",
)
"""Of which a line that says anything here has one."""

_START: Final = ("Starting to load model", "Initializing a V1 LLM engine", "vLLM API server version")
_AVAILABLE: Final = re.compile(rf"Available KV cache memory: {_NUMBER} GiB")
_TOKENS: Final = re.compile(rf"KV cache size: {_GROUPED} tokens")
_WEIGHTS: Final = re.compile(rf"(?:Model loading|Loading model weights) took {_NUMBER} Gi?B")
_GRAPHS: Final = re.compile(rf"Graph capturing finished in .{{1,20}} secs?, took {_NUMBER} GiB")
_GRAPHS_ESTIMATED: Final = re.compile(rf"Estimated CUDA graph memory: {_NUMBER} GiB")


def margins_from_log(log: str) -> Margins | None:
    """What the last start in the log said of its memory; None where it said nothing.

    vLLM 0.8.5 to 0.33.0. With several workers the smallest room and the largest use count: the tightest GPU decides.
    """
    seen: dict[str, int] = {}
    for line in lines(pieces(log)):
        if line.level not in {"INFO", ""}:
            continue
        if line.text.startswith(_START[2]) or (line.text.startswith(_START[1]) and "available" in seen):
            seen = {}
        note(line.text, seen)
    if not seen:
        return None
    return Margins(
        available_kv_cache_bytes=seen.get("available"),
        kv_cache_tokens=seen.get("tokens"),
        model_weights_bytes=seen.get("weights"),
        cuda_graph_bytes=seen.get("graphs", seen.get("estimate")),
    )


def note(text: str, seen: dict[str, int]) -> None:
    """Of a line, into what was seen of a start: available, weights, graphs and estimate (of these) in bytes, tokens."""
    if match := _AVAILABLE.search(text):
        seen["available"] = _least(seen.get("available"), _bytes(match[1]))
    elif match := _TOKENS.search(text):
        seen["tokens"] = _least(seen.get("tokens"), int(re.sub(r"\D", "", match[1])))
    elif match := _WEIGHTS.search(text):
        seen["weights"] = max(seen.get("weights", 0), _bytes(match[1]))
    elif match := _GRAPHS.search(text):
        seen["graphs"] = max(seen.get("graphs", 0), _bytes(match[1]))
    elif match := _GRAPHS_ESTIMATED.search(text):
        seen["estimate"] = max(seen.get("estimate", 0), _bytes(match[1]))


def _least(known: int | None, value: int) -> int:
    return value if known is None else min(known, value)


def _bytes(gib: str) -> int:
    return round(float(gib.replace(",", ".")) * _GIB)
