"""A load's result as one line of JSON that fits a Kubernetes termination message (4096 bytes), and back.

Most results fit as they are, without defaults and absent values. A larger one (many rates times many SLOs) is packed:
`{"packed": "..."}` holds the same JSON, deflated and in base 85. That loses nothing for figures of up to seven digits
throughout; past that the server's counters and the latency summaries go, by which nothing is judged.
"""

import base64
import json
import zlib
from typing import Any, cast

from sloguard.api.v1alpha1 import LoadResult

LIMIT_BYTES = 4096
UNPACKED_LIMIT_BYTES = 1024 * 1024
TEXT_LIMIT = 256
PACKED = "packed"


class UnreadableResultError(Exception):
    """What was left in the termination message is no result of a load."""


def encode(result: LoadResult) -> str:
    """At most LIMIT_BYTES of ASCII; `decode` reads it."""
    result = _with_plain_texts(result)
    for candidate in (result, _without_summaries(result)):
        plain = candidate.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)
        if len(plain.encode()) <= LIMIT_BYTES:
            return plain
        packed = _pack(plain)
        if len(packed) <= LIMIT_BYTES:
            return packed
    raise ValueError(f"the result does not fit {LIMIT_BYTES} bytes")  # figures beyond anything that can be measured


def decode(text: str) -> LoadResult:
    """Reads what `encode` wrote. The text may come from anywhere: it is bounded, and UnreadableResultError says why."""
    try:
        fields = json.loads(text)
        if isinstance(fields, dict) and PACKED in fields:
            return LoadResult.model_validate_json(_unpack(cast("dict[str, Any]", fields)[PACKED]))
        return LoadResult.model_validate_json(text)
    except (ValueError, TypeError, AttributeError, RecursionError, zlib.error) as error:
        raise UnreadableResultError(f"not the result of a load: {error}"[:TEXT_LIMIT]) from error


def _pack(plain: str) -> str:
    # None of base 85's signs needs an escape in JSON.
    return json.dumps({PACKED: base64.b85encode(zlib.compress(plain.encode(), 9)).decode()}, separators=(",", ":"))


def _unpack(packed: str) -> bytes:
    inflater = zlib.decompressobj()
    plain = inflater.decompress(base64.b85decode(packed), UNPACKED_LIMIT_BYTES)
    if not inflater.eof:
        raise ValueError("packed data is cut or too large")
    return plain


def _with_plain_texts(result: LoadResult) -> LoadResult:
    fault = result.fault and result.fault.model_copy(update={"detail": _plain(result.fault.detail)})
    return result.model_copy(update={"fault": fault, "invalid": result.invalid and _plain(result.invalid)})


def _plain(text: str) -> str:
    """Other characters would take up to six bytes each."""
    return "".join(character if " " <= character <= "~" else "?" for character in text)[:TEXT_LIMIT]


def _without_summaries(result: LoadResult) -> LoadResult:
    bare = [rate.model_copy(update={"server": None, "latencies": []}) for rate in result.rates]
    return result.model_copy(update={"rates": bare})
