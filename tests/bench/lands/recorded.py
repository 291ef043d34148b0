"""Real vLLM 0.24.0: a Qwen2-7B shape on an H200 that reports and enforces 24 GiB, at 50 requests/s.

`recorded.jsonl` condenses 108 recorded starts (80 on 24 GiB, 28 on 8): what was set, what the log said of memory, what
the clients got. Goodput counts requests with TTFT within 2 s and TPOT within 60 ms. Between recordings of the 24 GiB
card, goodput and TTFT are averaged with weights that fall with the distance; memory follows the formulas of
`lands/server.py` with the recorded weights, activations and graphs (KV cache within 0.85 GiB of the recordings, half of
them within 0.2). Only 45 recordings ran under this load, so the land is smoother than the real thing.
"""

import json
import math
from functools import cache
from pathlib import Path

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.rules import Context
from tests.bench.lands.land import LOAD_SECONDS, Land, Truth
from tests.bench.lands.server import Card, Model, Setting, failure, memory_of, start_seconds

RECORDED = Path(__file__).with_name("recorded.jsonl")
TTFT_LIMIT_MILLISECONDS = 4000
NEAR = 0.22
"""How far one recording reaches, in units of `_place`."""

CARD = Card(vram_gib=24, bandwidth_gib=4000, context_gib=0.51, libraries_gib=0.1, fragmentation=0.2)
MODEL = Model(
    weights_gib={"none": 14.29, "fp8": 8.17},
    kv_bytes_per_token=57344,
    activation_gib_per_1024=0.13,
    sampler_gib_per_128_seqs=0.29,
    token_seconds=0.00001,
    speed={"none": 1.0, "fp8": 1.0},
)

SEARCH_SPACE = {
    "preset": "None",
    "allowQualityChange": True,
    "parameters": [
        {"name": "max_num_seqs", "int": {"min": 4, "max": 512, "scale": "Log"}},
        {"name": "max_num_batched_tokens", "int": {"min": 512, "max": 32768, "scale": "Log"}},
        {"name": "gpu_memory_utilization", "decimal": {"min": "0.60", "max": "0.99"}},
        {"name": "max_model_len", "int": {"min": 2048, "max": 24576, "scale": "Log"}},
        {"name": "enforce_eager", "choice": {"values": ["false", "true"]}},
        {"name": "enable_chunked_prefill", "choice": {"values": ["true", "false"]}},
        {"name": "enable_prefix_caching", "choice": {"values": ["true", "false"]}},
        {"name": "quantization", "choice": {"values": ["none", "fp8"]}},
        {"name": "kv_cache_dtype", "choice": {"values": ["auto", "fp8"]}},
    ],
}
PRODUCTION = {KnobName.MAX_NUM_SEQS: 64, KnobName.GPU_MEMORY_UTILIZATION: 0.85, KnobName.MAX_MODEL_LEN: 8192}
LONGEST = 32768


def recordings():
    """One dictionary for each start, in the order in which they were made."""
    return [json.loads(line) for line in RECORDED.read_text().splitlines()]


def truth(values):
    setting = Setting.of(values, length=LONGEST)
    memory = memory_of(setting, CARD, MODEL)
    failed = failure(setting, CARD, memory)
    if failed is not None:
        return failed
    goodput, ttft = _interpolated(_place(setting))
    return Truth(
        goodput=goodput,
        ratios=(ttft / TTFT_LIMIT_MILLISECONDS,),
        kv_gib=memory.kv_gib,
        kv_bytes_per_token=memory.bytes_per_token,
        weights_gib=memory.weights_gib,
        graphs_gib=memory.graphs_gib,
        free_gib=memory.free_gib,
        seconds=start_seconds(setting) + LOAD_SECONDS,
    )


def _place(setting):
    """What matters most counts most: seqs (rank correlation with goodput 0.72), then graphs."""
    return (
        1.5 * math.log(setting.seqs / 4) / math.log(128),
        0.7 * math.log(setting.tokens / 512) / math.log(64),
        0.5 * (setting.utilization - 0.6) / 0.39,
        0.6 * setting.eager,
        0.2 * setting.chunked,
        0.2 * setting.prefix,
        0.3 * (setting.quantization == "fp8"),
        0.3 * setting.fp8_cache,
    )


@cache
def _measured():
    return [
        (_place(Setting.of(r["config"], LONGEST)), r["rates"]["top"])
        for r in recordings()
        if r["vram_gib"] == 24 and "top" in r["rates"]
    ]


def _interpolated(place):
    total = goodput = ttft = 0.0
    for known, rate in _measured():
        apart = sum((a - b) ** 2 for a, b in zip(place, known, strict=True))
        weight = math.exp(-apart / (2 * NEAR**2)) + 1e-9
        total += weight
        goodput += weight * math.log(max(rate["good_tokens_per_second"], 64))
        ttft += weight * math.log(min(rate["ttft_p95_ms"], 10 * TTFT_LIMIT_MILLISECONDS))
    return math.exp(goodput / total), math.exp(ttft / total)


# 50 requests/s with 1024 + 128 tokens, each token within 60 ms.
CONTEXT = Context(min_model_len_tokens=2048, request_tokens=1152, concurrency=50 * 128 * 0.06)
LAND = Land("recorded", SEARCH_SPACE, PRODUCTION, truth, CONTEXT, noise=0.05)
