"""Four weight formats, two cache formats, and pairs of them that do not work together, on a card of 24 GiB.

AWQ and GPTQ leave 10 GiB more for the cache and read faster; fp8 also computes faster. What no margin announces: AWQ
kernels refuse an fp8 cache, GPTQ faults when CUDA graphs are captured, and fp8 weights with chunked prefill off fault
under load. About two of five random configurations crash. The best is in the corner that a careless rule about any one
of the values would wall off.
"""

from sloguard.api.v1alpha1 import CrashClass, CrashPhase, KnobName
from tests.bench.lands.land import MEMORY_FAILURE_SECONDS, REJECTED_SECONDS, Land, Truth
from tests.bench.lands.server import Card, Load, Model, Setting, failure, memory_of, served, start_seconds

CARD = Card(vram_gib=24, bandwidth_gib=900)
MODEL = Model(
    weights_gib={"none": 15.0, "fp8": 8.2, "awq": 5.2, "gptq": 5.4},
    kv_bytes_per_token=131072,
    activation_gib_per_1024=0.16,
    sampler_gib_per_128_seqs=0.25,
    token_seconds=0.00006,
    speed={"none": 1.0, "fp8": 1.5, "awq": 0.8, "gptq": 0.75},
)
LOAD = Load(clients=96, ttft_limit_seconds=9.0, itl_limit_seconds=0.2)

SEARCH_SPACE = {
    "preset": "None",
    "allowQualityChange": True,
    "parameters": [
        {"name": "max_num_seqs", "int": {"min": 4, "max": 256, "scale": "Log"}},
        {"name": "max_num_batched_tokens", "int": {"min": 512, "max": 16384, "scale": "Log"}},
        {"name": "gpu_memory_utilization", "decimal": {"min": "0.60", "max": "0.98"}},
        {"name": "enforce_eager", "choice": {"values": ["false", "true"]}},
        {"name": "enable_chunked_prefill", "choice": {"values": ["true", "false"]}},
        {"name": "enable_prefix_caching", "choice": {"values": ["true", "false"]}},
        {"name": "quantization", "choice": {"values": ["none", "fp8", "awq", "gptq"]}},
        {"name": "kv_cache_dtype", "choice": {"values": ["auto", "fp8"]}},
    ],
}
PRODUCTION = {
    KnobName.MAX_NUM_SEQS: 32,
    KnobName.GPU_MEMORY_UTILIZATION: 0.9,
    KnobName.MAX_MODEL_LEN: 8192,
}


def truth(values, percent=100):
    setting = Setting.of({"max_model_len": 8192, **values}, length=8192)
    memory = memory_of(setting, CARD, MODEL)
    refused = _refused(setting)
    if refused is not None and refused.phase is None:
        return refused
    return failure(setting, CARD, memory) or refused or served(setting, CARD, MODEL, LOAD.at(percent), memory)


def _refused(setting):
    if setting.quantization == "awq" and setting.fp8_cache:
        return Truth(crash=CrashClass.INVALID_ARGUMENTS, seconds=REJECTED_SECONDS)
    if setting.quantization == "gptq" and not setting.eager:
        return Truth(crash=CrashClass.GPU_FAULT, phase=CrashPhase.GRAPH_CAPTURE, seconds=MEMORY_FAILURE_SECONDS)
    if setting.quantization == "fp8" and not setting.chunked:
        seconds = start_seconds(setting) + 5
        return Truth(crash=CrashClass.GPU_FAULT, phase=CrashPhase.SERVING, seconds=seconds)
    return None


LAND = Land("quant", SEARCH_SPACE, PRODUCTION, truth, LOAD.context)
