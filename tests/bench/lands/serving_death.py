"""A 30B model on a card of 80 GiB that starts with almost any utilization, and then dies under load.

Serving fragments memory: batches of changing size leave holes worth their activations again, and an fp8 cache and the
prefix cache's bookkeeping take their share, none of which the start counts. The margin that a start prints (KV cache)
is generous everywhere; only what is free under load announces the deaths. The optimum lies next to them: high
utilization, fp8 cache, prefix caching, a moderate batch. More than half of the random configurations crash.
"""

from dataclasses import replace

from sloguard.api.v1alpha1 import KnobName
from tests.bench.lands.land import Land
from tests.bench.lands.server import Card, Load, Model, Setting, failure, memory_of, served

CARD = Card(vram_gib=80, bandwidth_gib=2400, context_gib=0.7, libraries_gib=0.4, fragmentation=1.6)
MODEL = Model(
    weights_gib={"none": 57.0},
    kv_bytes_per_token=196608,
    activation_gib_per_1024=0.35,
    sampler_gib_per_128_seqs=0.3,
    token_seconds=0.00006,
    speed={"none": 1.0},
)
LOAD = Load(clients=128, ttft_limit_seconds=8.0, itl_limit_seconds=0.3)
FP8_CACHE_GIB = 1.0
PREFIX_CACHE_GIB = 0.8

SEARCH_SPACE = {
    "preset": "None",
    "allowQualityChange": True,
    "parameters": [
        {"name": "max_num_seqs", "int": {"min": 4, "max": 512, "scale": "Log"}},
        {"name": "max_num_batched_tokens", "int": {"min": 1024, "max": 32768, "scale": "Log"}},
        {"name": "gpu_memory_utilization", "decimal": {"min": "0.76", "max": "0.99"}},
        {"name": "enforce_eager", "choice": {"values": ["false", "true"]}},
        {"name": "enable_chunked_prefill", "choice": {"values": ["true", "false"]}},
        {"name": "enable_prefix_caching", "choice": {"values": ["true", "false"]}},
        {"name": "kv_cache_dtype", "choice": {"values": ["auto", "fp8"]}},
    ],
}
PRODUCTION = {KnobName.MAX_NUM_SEQS: 32, KnobName.GPU_MEMORY_UTILIZATION: 0.85, KnobName.MAX_MODEL_LEN: 8192}


def truth(values, percent=100):
    setting = Setting.of({"max_model_len": 8192, **values}, length=8192)
    memory = memory_of(setting, CARD, MODEL)
    uncounted = FP8_CACHE_GIB * setting.fp8_cache + PREFIX_CACHE_GIB * setting.prefix
    memory = replace(memory, free_gib=memory.free_gib - uncounted)
    return failure(setting, CARD, memory) or served(setting, CARD, MODEL, LOAD.at(percent), memory)


LAND = Land("serving-death", SEARCH_SPACE, PRODUCTION, truth, LOAD.context)
