"""A vLLM server in formulas: where its memory goes and how fast it serves a fixed number of clients.

Coarser than the simulator, and three orders of magnitude faster: a table needs a million trials. Memory follows
`sloguard.simulator.memory` (fitted to recorded starts); serving is a closed loop of `clients`, each of which sends its
next request when it has its answer.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist

from sloguard.api.v1alpha1 import CrashClass, CrashPhase
from sloguard.domain.proof import Proven, bounded, proof, share_bounded, together
from sloguard.domain.result import Value
from sloguard.domain.rules import Context
from tests.bench.lands.land import (
    EAGER_SAVES_SECONDS,
    LOAD_SECONDS,
    MEMORY_FAILURE_SECONDS,
    REJECTED_SECONDS,
    TRIAL_SECONDS,
    Truth,
)

GIB = 2**30
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Card:
    """Of the GPU. `context_gib` is never free; fragmentation is what serving takes beyond the profiled peak."""

    vram_gib: float
    bandwidth_gib: float
    context_gib: float = 0.5
    libraries_gib: float = 0.15
    fragmentation: float = 0.35


@dataclass(frozen=True)
class Model:
    """`weights_gib` by quantization; `token_seconds` of compute for a prompt token at 16 bit."""

    weights_gib: Mapping[str, float]
    kv_bytes_per_token: int
    activation_gib_per_1024: float
    sampler_gib_per_128_seqs: float
    token_seconds: float
    speed: Mapping[str, float]


@dataclass(frozen=True)
class Load:
    """What the clients want, and the two limits."""

    clients: int
    prompt_tokens: int = 1024
    output_tokens: int = 160
    shared_share: float = 0.25
    ttft_limit_seconds: float = 2.0
    itl_limit_seconds: float = 0.1

    @property
    def context(self) -> Context:
        """What a study's workload tells of it."""
        return Context(
            min_model_len_tokens=2048,
            request_tokens=self.prompt_tokens + self.output_tokens,
            concurrency=self.clients,
        )

    def at(self, percent: int) -> "Load":
        """So many of the clients."""
        return replace(self, clients=round(self.clients * percent / 100))


@dataclass(frozen=True)
class Setting:
    """The configuration, with vLLM's defaults of a small card for what is not said."""

    seqs: int
    tokens: int
    utilization: float
    length: int
    eager: bool
    chunked: bool
    prefix: bool
    quantization: str
    fp8_cache: bool

    @classmethod
    def of(cls, values: Mapping[str, Value], length: int) -> "Setting":
        known: dict[str, Value] = {
            "max_num_seqs": 256,
            "max_num_batched_tokens": 2048,
            "gpu_memory_utilization": 0.92,
            "max_model_len": length,
            "enforce_eager": False,
            "enable_chunked_prefill": True,
            "enable_prefix_caching": True,
            "quantization": "none",
            "kv_cache_dtype": "auto",
            **values,
        }
        chunked = bool(known["enable_chunked_prefill"])
        tokens = int(known["max_num_batched_tokens"])
        if not chunked and "max_num_batched_tokens" not in values:
            tokens = max(tokens, int(known["max_model_len"]))
        return cls(
            seqs=int(known["max_num_seqs"]),
            tokens=tokens,
            utilization=float(known["gpu_memory_utilization"]),
            length=int(known["max_model_len"]),
            eager=bool(known["enforce_eager"]),
            chunked=chunked,
            prefix=bool(known["enable_prefix_caching"]),
            quantization=str(known["quantization"]),
            fp8_cache=str(known["kv_cache_dtype"]).startswith("fp8"),
        )


@dataclass(frozen=True)
class Memory:
    """In GiB; `free_gib` is what is left at the top of a step under load."""

    weights_gib: float
    graphs_gib: float
    kv_gib: float
    need_gib: float
    free_gib: float
    bytes_per_token: float
    sampler_decides: bool


def memory_of(setting: Setting, card: Card, model: Model) -> Memory:
    weights = model.weights_gib[setting.quantization]
    graphs = 0.0 if setting.eager else 0.05 + 0.025 * math.sqrt(setting.seqs) * (1 + setting.seqs / 2048)
    activations = setting.tokens / 1024 * model.activation_gib_per_1024
    sampler = setting.seqs / 128 * model.sampler_gib_per_128_seqs
    peak = max(activations, sampler)
    kv = setting.utilization * card.vram_gib - weights - 0.27 - peak - graphs
    per_token = model.kv_bytes_per_token * (0.5 if setting.fp8_cache else 1.0)
    excess = card.libraries_gib * (not setting.eager) + 0.27 * graphs + card.fragmentation * activations
    free = card.vram_gib * (1 - setting.utilization) - card.context_gib - excess
    return Memory(weights, graphs, kv, setting.length * per_token / GIB, free, per_token, sampler > activations)


def failure(setting: Setting, card: Card, memory: Memory) -> Truth | None:
    """What becomes of a server that lacks memory, with what vLLM's messages prove and the margins it leaves behind."""
    free_at_start = card.vram_gib - card.context_gib
    if setting.utilization * card.vram_gib > free_at_start:
        return Truth(
            crash=CrashClass.GPU_MEMORY_REQUEST_TOO_HIGH,
            proof=together(
                Proven("", proof(device_memory_bytes=round(card.vram_gib * GIB))),
                Proven("", share_bounded("gpu_memory_utilization", at_most=free_at_start / card.vram_gib)),
            ).proof,
            seconds=REJECTED_SECONDS + 20,
        )
    if memory.kv_gib < memory.need_gib:
        return _no_room(memory)
    if memory.free_gib < 0:
        return Truth(
            crash=CrashClass.CUDA_OUT_OF_MEMORY,
            phase=CrashPhase.SERVING,
            weights_gib=memory.weights_gib,
            graphs_gib=memory.graphs_gib,
            kv_gib=memory.kv_gib,
            kv_bytes_per_token=memory.bytes_per_token,
            seconds=start_seconds(setting) + LOAD_SECONDS / 2,
        )
    return None


def _no_room(memory: Memory) -> Truth:
    room = round(memory.kv_gib * GIB)
    if room <= 0:
        shown = proof(available_kv_cache_bytes=room)
        return Truth(crash=CrashClass.NO_KV_CACHE_ROOM, proof=shown, seconds=MEMORY_FAILURE_SECONDS)
    shown = together(
        Proven("", proof(available_kv_cache_bytes=room, needed_kv_cache_bytes=round(memory.need_gib * GIB))),
        Proven("", bounded("max_model_len", at_most=int(room / memory.bytes_per_token))),
    ).proof
    return Truth(crash=CrashClass.KV_CACHE_BELOW_ONE_REQUEST, proof=shown, seconds=MEMORY_FAILURE_SECONDS)


def start_seconds(setting: Setting) -> float:
    return TRIAL_SECONDS - LOAD_SECONDS - EAGER_SAVES_SECONDS * setting.eager


def served(setting: Setting, card: Card, model: Model, load: Load, memory: Memory) -> Truth:
    """Goodput and the two ratios.

    A step costs its launch, one read of the weights and of the running requests' KV cache, and compute for its tokens.
    """
    speed = model.speed[setting.quantization]
    context = load.prompt_tokens + load.output_tokens / 2
    # Past this many requests, the cache is full and running requests are thrown out and begun again.
    fitting = memory.kv_gib * GIB / memory.bytes_per_token / (context * 1.1)
    running = max(1.0, min(load.clients, setting.seqs, fitting))
    prompt = load.prompt_tokens * (1 - load.shared_share * setting.prefix)
    most_prefill = max(setting.tokens - running, 16.0)
    prefill = min(running / load.output_tokens * prompt, most_prefill)
    token_seconds = model.token_seconds / speed
    launch = 0.004 + (0.014 if setting.eager else 0.0) + 0.002 * setting.prefix
    read = (memory.weights_gib + running * context * memory.bytes_per_token / GIB) / card.bandwidth_gib
    decode = launch + read + running * 0.00002
    step = decode + prefill * token_seconds * (1.0 if setting.chunked else 1.1)
    begun_per_step = min(running / load.output_tokens, prefill / prompt)
    throughput = begun_per_step * load.output_tokens / step
    # Little's law: who does not run, waits.
    wait = max(0.0, load.clients / (throughput / load.output_tokens) - load.output_tokens * step * 1.1)
    whole = decode + min(setting.tokens, 3 * prompt) * token_seconds
    chunks = math.ceil(prompt / most_prefill) if setting.chunked else 1
    ttft = wait * 1.2 + 1.6 * chunks * whole + 0.05
    itl = 1.25 * whole if setting.chunked else 1.7 * max(whole, decode + prompt * token_seconds)
    ratios = (ttft / load.ttft_limit_seconds, itl / load.itl_limit_seconds)
    share = math.prod(_NORMAL.cdf(2.33 - math.log(ratio) / 0.35) for ratio in ratios)
    return Truth(
        goodput=throughput * share,
        ratios=ratios,
        kv_gib=memory.kv_gib,
        kv_bytes_per_token=memory.bytes_per_token,
        weights_gib=memory.weights_gib,
        graphs_gib=memory.graphs_gib,
        free_gib=memory.free_gib,
        seconds=start_seconds(setting) + LOAD_SECONDS,
    )
