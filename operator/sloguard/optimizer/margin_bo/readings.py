"""What one trial's margins and crash message say about memory, in GiB and tokens; NaN where they say nothing.

A server that did not start leaves no margins, but its verdict keeps what the message proves (`domain.proof`).
"""

import math
from dataclasses import dataclass

from sloguard.api.v1alpha1 import CrashClass, KnobName, Proof
from sloguard.domain.result import Result, Value

GIB = 2.0**30

NO_ROOM = frozenset({CrashClass.NO_KV_CACHE_ROOM, CrashClass.KV_CACHE_BELOW_ONE_REQUEST})


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
    if crash is None or crash.proof is None:
        return Reading()
    proof = crash.proof
    if crash.class_ is CrashClass.GPU_MEMORY_REQUEST_TOO_HIGH:
        return Reading(card_gib=_gib(proof.device_memory_bytes), utilization_limit=_utilization_limit(proof))
    if crash.class_ is CrashClass.KV_CACHE_BELOW_ONE_REQUEST:
        room, need = _gib(proof.available_kv_cache_bytes), _gib(proof.needed_kv_cache_bytes)
        return Reading(room, need, _bytes_per_token(proof, result.parameters.get(KnobName.MAX_MODEL_LEN)))
    if crash.class_ is CrashClass.NO_KV_CACHE_ROOM:
        return Reading(kv_gib=_gib(proof.available_kv_cache_bytes))
    return Reading()


def _gib(size_bytes: int | None) -> float:
    return math.nan if size_bytes is None else size_bytes / GIB


def _utilization_limit(proof: Proof) -> float:
    limits = [b.at_most_permille for b in proof.bounds if b.setting == KnobName.GPU_MEMORY_UTILIZATION.value]
    return next((limit / 1000 for limit in limits if limit is not None), math.nan)


def _bytes_per_token(proof: Proof, length: Value | None) -> float:
    """Of the length that was asked for, or else of the longest that fits: that is rounded down to a block."""
    needed, available = proof.needed_kv_cache_bytes, proof.available_kv_cache_bytes
    if needed and isinstance(length, int) and length > 0:
        return needed / length
    fitting = next((b.at_most for b in proof.bounds if b.setting == KnobName.MAX_MODEL_LEN.value), None)
    return available / fitting if available and available > 0 and fitting else math.nan
