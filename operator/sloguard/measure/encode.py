"""A load's result as one line of JSON that fits a Kubernetes termination message (4096 bytes), and back.

Small results fit as they are, without defaults and absent values. A larger one is packed: `{"packed": "..."}` holds
the same JSON, deflated and in base 85. Sketches take what room is left: their scale is lowered, for all alike, until
the result fits. That a sketch is JSON too costs a fifth more than numbers of variable length would, less than a quarter
of one scale. Should nothing of it help (eight rates of eight SLOs, with figures of many digits), what nothing is judged
by goes, in the order of `_ever_smaller`; counts, SLOs and goodput stay.
"""

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any, cast

from sloguard.api.v1alpha1 import LoadResult, RateMeasurement, ServerView
from sloguard.domain.sketch import COARSEST_SCALE, FINEST_SCALE, read, stored

LIMIT_BYTES = 4096
UNPACKED_LIMIT_BYTES = 1024 * 1024
TEXT_LIMIT = 256
PACKED = "packed"
READABLE_SCALE = 5
"""Percentiles within 1.1 %: a result that fits like this is not packed, so that people can read it."""

SCALES = range(FINEST_SCALE, COARSEST_SCALE - 1, -1)


class UnreadableResultError(Exception):
    """What was left in the termination message is no result of a load."""


def encode(result: LoadResult) -> str:
    """At most LIMIT_BYTES of ASCII; `decode` reads it."""
    result = _with_plain_texts(result)
    plain = as_json(at_scale(result, READABLE_SCALE))
    if len(plain) <= LIMIT_BYTES:
        return plain
    fitting = (text for text in map(_pack, map(as_json, _ever_smaller(result))) if len(text) <= LIMIT_BYTES)
    text = next(fitting, None)
    if text is None:
        raise ValueError(f"the result does not fit {LIMIT_BYTES} bytes")  # figures beyond anything that can be measured
    return text


def as_json(result: LoadResult) -> str:
    """On one line, whatever its length."""
    return result.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)


def at_scale(result: LoadResult, scale: int) -> LoadResult:
    """With sketches of at most so fine a scale."""
    coarser = [stored(read(kept).at_scale(scale), kept.rate_percent, kept.metric) for kept in result.sketches]
    return result.model_copy(update={"sketches": coarser})


def _ever_smaller(result: LoadResult) -> Iterator[LoadResult]:
    yield from (at_scale(result, scale) for scale in SCALES)
    if result.blocks:  # intervals can still be merged without them, to wider ones
        result = result.model_copy(update={"blocks": []})
        yield from (at_scale(result, scale) for scale in SCALES)
    result = result.model_copy(update={"sketches": []})
    yield result
    for bare in (_without_bounds, _without_summaries, _without_intervals):
        result = result.model_copy(update={"rates": [bare(rate) for rate in result.rates]})
        yield result


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


def _without_bounds(rate: RateMeasurement) -> RateMeasurement:
    """What client and server disagree in stays."""
    view = rate.server_view
    bare = view and ServerView(requests=view.requests, restarts=view.restarts, disagreements=view.disagreements)
    return rate.model_copy(update={"server_view": bare})


def _without_summaries(rate: RateMeasurement) -> RateMeasurement:
    return rate.model_copy(update={"server": None, "server_view": None, "latencies": []})


def _without_intervals(rate: RateMeasurement) -> RateMeasurement:
    slos = [slo.model_copy(update={"share_interval_basis_points": None}) for slo in rate.slos]
    return rate.model_copy(update={"good_tokens_interval": None, "slos": slos})
