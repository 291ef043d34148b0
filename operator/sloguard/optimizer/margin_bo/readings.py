"""What one trial's margins and crash message say about memory, in GiB and tokens; NaN where they say nothing.

A server that did not start leaves no margins, but `domain.crash_patterns` keeps what its message proves.
"""

import math
import re
from dataclasses import dataclass

from sloguard.api.v1alpha1 import CrashClass
from sloguard.domain.result import Result

GIB = 2.0**30

NO_ROOM = frozenset({CrashClass.NO_KV_CACHE_ROOM, CrashClass.KV_CACHE_BELOW_ONE_REQUEST})

_SHORT = re.compile(r"KV short by (?P<short>[\d.]+) GiB")
_FREE = re.compile(r"free memory (?P<free>[\d.]+) of (?P<total>[\d.]+) GiB")
_UTILIZATION = re.compile(r"gpu_memory_utilization at most (?P<share>[\d.]+)")
_NEEDED = re.compile(
    r"max seq len \((?P<length>\d+)\)\D{1,4}(?P<needed>[\d.]+) GiB KV cache is needed.{1,80}?"
    r"available KV cache memory \((?P<available>-?[\d.]+) GiB\)"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """`need_gib` is the KV cache of one request of the greatest length, `utilization_limit` what the card can grant.

    `free_gib` is the least that it had left under load.
    """

    kv_gib: float = math.nan
    need_gib: float = math.nan
    bytes_per_token: float = math.nan
    weights_gib: float = math.nan
    graphs_gib: float = 0.0
    card_gib: float = math.nan
    free_gib: float = math.nan
    utilization_limit: float = math.nan


def read(result: Result) -> Reading:
    """All that one trial says."""
    margins, crash = result.margins, result.crash
    if margins is not None:
        kv, tokens = margins.available_kv_cache_bytes, margins.kv_cache_tokens
        weights, graphs = margins.model_weights_bytes, margins.cuda_graph_bytes
        card, free = margins.device_memory_bytes, margins.least_free_device_memory_bytes
        return Reading(
            kv_gib=math.nan if kv is None else kv / GIB,
            bytes_per_token=kv / tokens if kv and tokens else math.nan,
            weights_gib=weights / GIB if weights else math.nan,
            graphs_gib=(graphs or 0) / GIB,
            card_gib=card / GIB if card else math.nan,
            free_gib=math.nan if free is None else free / GIB,
        )
    if crash is None:
        return Reading()
    limit = crash.limit or ""
    if crash.class_ is CrashClass.GPU_MEMORY_REQUEST_TOO_HIGH:
        free, share = _FREE.search(limit), _UTILIZATION.search(limit)
        return Reading(
            card_gib=float(free["total"]) if free else math.nan,
            utilization_limit=float(share["share"]) if share else math.nan,
        )
    needed, short = _NEEDED.search(crash.cause), _SHORT.search(limit)
    if crash.class_ is CrashClass.KV_CACHE_BELOW_ONE_REQUEST and needed:
        need = float(needed["needed"])
        return Reading(float(needed["available"]), need, need * GIB / max(int(needed["length"]), 1))
    if crash.class_ is CrashClass.NO_KV_CACHE_ROOM and short:
        return Reading(kv_gib=-float(short["short"]))
    return Reading()
