"""8B weights in 16 bit (15 GiB) on a card of 24 GiB: everything competes for the 8 GiB that are left.

About two of five random configurations crash: too little KV cache below a utilization of 0.75 with long lengths or
large batches, out of memory under load above 0.93. Throughput wants many sequences and so KV cache, hence a high
utilization; large batches shorten the wait for the first token, stretch the gaps between tokens and take KV cache.
Production is what somebody wrote down after an out-of-memory error.
"""

from sloguard.api.v1alpha1 import KnobName
from tests.bench.lands.land import Land
from tests.bench.lands.server import Card, Load, Model, Setting, failure, memory_of, served

CARD = Card(vram_gib=24, bandwidth_gib=900)
MODEL = Model(
    weights_gib={"none": 15.0},
    kv_bytes_per_token=131072,
    activation_gib_per_1024=0.16,
    sampler_gib_per_128_seqs=0.25,
    token_seconds=0.00006,
    speed={"none": 1.0},
)
LOAD = Load(clients=60, ttft_limit_seconds=10.0, itl_limit_seconds=0.17)

SEARCH_SPACE = {
    "preset": "None",
    "allowQualityChange": True,
    "parameters": [
        {"name": "max_num_seqs", "int": {"min": 4, "max": 256, "scale": "Log"}},
        {"name": "max_num_batched_tokens", "int": {"min": 512, "max": 16384, "scale": "Log"}},
        {"name": "gpu_memory_utilization", "decimal": {"min": "0.60", "max": "0.98"}},
        {"name": "max_model_len", "int": {"min": 2048, "max": 16384, "scale": "Log"}},
        {"name": "enforce_eager", "choice": {"values": ["false", "true"]}},
        {"name": "enable_chunked_prefill", "choice": {"values": ["true", "false"]}},
        {"name": "enable_prefix_caching", "choice": {"values": ["true", "false"]}},
    ],
}
PRODUCTION = {
    KnobName.MAX_NUM_SEQS: 16,
    KnobName.GPU_MEMORY_UTILIZATION: 0.88,
    KnobName.MAX_MODEL_LEN: 8192,
    KnobName.ENFORCE_EAGER: True,
}


def truth(values, percent=100):
    setting = Setting.of(values, length=32768)
    memory = memory_of(setting, CARD, MODEL)
    return failure(setting, CARD, memory) or served(setting, CARD, MODEL, LOAD.at(percent), memory)


LAND = Land("tight", SEARCH_SPACE, PRODUCTION, truth, LOAD.context)
