"""A 7B model on a card of 80 GiB, where nothing crashes and vLLM's defaults are within a few percent of the best.

What an optimizer can do here is waste time, or recommend something worse than what runs already.
"""

from dataclasses import replace

from sloguard.api.v1alpha1 import KnobName
from tests.bench.lands.land import Land
from tests.bench.lands.server import Card, Load, Model, Setting, memory_of, served

CARD = Card(vram_gib=80, bandwidth_gib=3000)
MODEL = Model(
    weights_gib={"none": 14.3},
    kv_bytes_per_token=57344,
    activation_gib_per_1024=0.13,
    sampler_gib_per_128_seqs=0.3,
    token_seconds=0.00002,
    speed={"none": 1.0},
)
LOAD = Load(clients=288, ttft_limit_seconds=5.0, itl_limit_seconds=0.4)

SEARCH_SPACE = {
    "preset": "None",
    "parameters": [
        {"name": "max_num_seqs", "int": {"min": 16, "max": 512, "scale": "Log"}},
        {"name": "max_num_batched_tokens", "int": {"min": 1024, "max": 16384, "scale": "Log"}},
        {"name": "gpu_memory_utilization", "decimal": {"min": "0.60", "max": "0.92"}},
        {"name": "enforce_eager", "choice": {"values": ["false", "true"]}},
        {"name": "enable_prefix_caching", "choice": {"values": ["true", "false"]}},
    ],
}
PRODUCTION = {KnobName.GPU_MEMORY_UTILIZATION: 0.9, KnobName.MAX_MODEL_LEN: 4096}


def truth(values):
    setting = Setting.of({"max_model_len": 4096, **values}, length=4096)
    memory = memory_of(setting, CARD, MODEL)
    return replace(served(setting, CARD, MODEL, LOAD, memory), free_gib=memory.free_gib)


LAND = Land("benign", SEARCH_SPACE, PRODUCTION, truth, LOAD.context)
