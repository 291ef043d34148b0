"""Where the GPU's memory goes, in bytes. Pure.

Fitted to 113 recorded starts of vLLM 0.24.0 (7B and 1.5B shapes, 24 and 8 GiB): KV cache within 4 %.

What vLLM counts when it profiles (the KV cache gets what utilization x total leaves over):
  weights, memory outside PyTorch (0.27 GiB: NCCL, cuBLAS), an estimate of the CUDA graphs, and the largest of
  - activations of one full batch: 2 B x (3 x intermediate + 3 x hidden) a token: 135 KB for 7B,
  - the sampler's dummy run: 16 B a logit (16-bit and float logits, probabilities, noise), max_num_seqs x vocabulary,
  - what compiling leaves (loading from the compile cache does not): one copy of the output layer's weights.
What it does not count, and dies of when utilization is very high:
  the CUDA context, the graphs' excess over their estimate, libraries that serving loads, and fragmentation.
"""

from __future__ import annotations

from dataclasses import dataclass

from sloguard.simulator.config import ONLINE_QUANTIZATION, EngineConfig
from sloguard.simulator.profiles import GIB

MIB = 1024**2
GRAPH_EXCESS = 1.27  # actual over estimate
SAMPLER_BYTES_PER_LOGIT = 16
# Batches of changing size leave holes: recorded deaths came at 0.8 to 1.6 of what the activations alone would need.
SERVING_FRAGMENTATION = 1.35
WEIGHT_OVERHEAD = 1.007  # padding, rotary tables


class GpuMemoryError(Exception):
    """The configuration does not fit; `message` is vLLM's own, `stage` names where it stopped."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.message = message


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on one GPU as vLLM sees them at start, and what is really used."""

    total: int
    free_at_start: int
    requested: int
    weights: int
    non_torch: int
    profile_peak: int
    graphs_estimated: int
    graphs: int
    kv_available: int
    kv_bytes_per_token: int
    sampler: int
    activation_per_token: int
    others: int  # held by neighbours
    context: int
    libraries: int

    def resident(self, kv_bytes: int) -> int:
        """Bytes in use between steps, neighbours included."""
        fixed = self.others + self.context + self.libraries + self.weights + self.non_torch
        return fixed + self.graphs + kv_bytes

    def serving_peak(self, kv_bytes: int, batched_tokens: int, sequences: int, logits_per_sequence: int) -> int:
        """Bytes at the top of a step over that many tokens that samples for that many sequences."""
        activations = int(batched_tokens * self.activation_per_token * SERVING_FRAGMENTATION)
        return self.resident(kv_bytes) + max(activations, sequences * logits_per_sequence * SAMPLER_BYTES_PER_LOGIT)


def weight_bytes(config: EngineConfig) -> int:
    """Bytes of weights on each GPU; embeddings stay at 16 bit under quantization."""
    model = config.profile.model
    per_weight = ONLINE_QUANTIZATION[config.quantization][0] if config.quantization else 2.0
    total = model.layer_parameters * per_weight + model.embedding_parameters * 2
    return max(0, int(total * WEIGHT_OVERHEAD / config.world_size) - config.cpu_offload_bytes)


def kv_bytes_per_token(config: EngineConfig) -> int:
    """2 (keys and values) x layers x KV heads x head size x bytes, on each GPU."""
    model = config.profile.model
    element = 1 if config.kv_cache_dtype.startswith("fp8") else 2
    heads = max(1, model.kv_heads // config.tensor_parallel_size)
    return 2 * model.layers * heads * model.head_dim * element // config.pipeline_parallel_size


def plan_memory(config: EngineConfig, *, others_bytes: int = 0, compile_cached: bool = False) -> MemoryPlan:
    """What a start with this configuration finds and takes."""
    gpu, model, share = config.profile.gpu, config.profile.model, config.tensor_parallel_size
    per_token = 2 * (3 * model.intermediate + 3 * model.hidden) // share
    if config.quantization:
        per_token += (model.intermediate + model.hidden) // share  # a quantized copy of the activations
    sampler = config.max_num_seqs * model.vocabulary * SAMPLER_BYTES_PER_LOGIT // share
    compiles = bool(config.cudagraph_sizes) and not compile_cached
    compiler = 2 * model.hidden * model.vocabulary // share if compiles else 0
    peak = max(config.max_num_batched_tokens * per_token, sampler, compiler)
    estimated = _graph_count(config) * gpu.graph_bytes_per_layer * model.layers // config.world_size
    requested = int(gpu.total_bytes * config.gpu_memory_utilization)
    weights = weight_bytes(config)
    available = requested - weights - gpu.non_torch_bytes - peak - estimated
    return MemoryPlan(
        total=gpu.total_bytes,
        free_at_start=gpu.total_bytes - gpu.context_bytes - others_bytes,
        requested=requested,
        weights=weights,
        non_torch=gpu.non_torch_bytes,
        profile_peak=peak,
        graphs_estimated=estimated,
        graphs=int(estimated * GRAPH_EXCESS),
        kv_available=available if config.kv_cache_memory_bytes is None else config.kv_cache_memory_bytes,
        kv_bytes_per_token=kv_bytes_per_token(config),
        sampler=sampler,
        activation_per_token=per_token,
        others=others_bytes,
        context=gpu.context_bytes,
        libraries=gpu.libraries_bytes if config.cudagraph_sizes else 0,
    )


def _graph_count(config: EngineConfig) -> int:
    """Piecewise graphs for every size, full ones for the sizes that pure decoding can reach."""
    return len(config.cudagraph_sizes) + full_graph_count(config)


def full_graph_count(config: EngineConfig) -> int:
    return sum(size <= config.max_num_seqs for size in config.cudagraph_sizes)


def check_free_memory(plan: MemoryPlan, utilization: float) -> None:
    """The first check, before anything is loaded."""
    if plan.free_at_start < plan.requested:
        raise GpuMemoryError(
            "init",
            f"Free memory on device cuda:0 ({_gib(plan.free_at_start)}/{_gib(plan.total)} GiB) on startup is less than "
            f"desired GPU memory utilization ({utilization}, {_gib(plan.requested)} GiB). Decrease GPU memory "
            "utilization or reduce GPU memory used by other processes.",
        )


def check_load(plan: MemoryPlan) -> None:
    """Weights that do not fit at all fail while loading."""
    needed = plan.others + plan.context + plan.non_torch + plan.weights
    if needed > plan.total:
        raise GpuMemoryError("load", cuda_oom_message(plan, plan.total - plan.weights // 50, plan.weights // 100))


def check_profile(plan: MemoryPlan, kv_needed_bytes: int = 0) -> None:
    """The profiling run allocates its peak on top of the weights; `kv_needed_bytes` is 0 at that point."""
    used = plan.others + plan.context + plan.non_torch + plan.weights + kv_needed_bytes
    if used + plan.profile_peak > plan.total:
        raise GpuMemoryError("profile", cuda_oom_message(plan, used, plan.profile_peak // 3))


@dataclass(frozen=True)
class KvCache:
    """The KV cache vLLM would build."""

    blocks: int
    block_size: int
    tokens: int
    max_model_len: int
    available_bytes: int  # as logged

    @property
    def max_concurrency(self) -> float:
        per_request = -(-self.max_model_len // self.block_size)
        return self.blocks / per_request


def size_kv_cache(plan: MemoryPlan, config: EngineConfig) -> KvCache:
    """Blocks that fit; GpuMemoryError where vLLM refuses for lack of room."""
    advice = "See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."
    if plan.kv_available <= 0:
        raise GpuMemoryError(
            "kv",
            "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the "
            f"engine (this flag also controls CPU memory reservation on the CPU backend, despite its name). {advice}",
        )
    block_bytes = plan.kv_bytes_per_token * config.block_size
    blocks = plan.kv_available // block_bytes
    max_model_len = config.max_model_len
    fitting = int(blocks) * config.block_size
    needed_blocks = -(-max_model_len // config.block_size)
    if config.auto_max_model_len and 0 < fitting < max_model_len:
        max_model_len = fitting
    elif needed_blocks > blocks:
        raise GpuMemoryError(
            "kv",
            f"To serve at least one request with the model's max seq len ({max_model_len}), "
            f"({_gib(needed_blocks * block_bytes)} GiB KV cache is needed, which is larger than the available KV cache "
            f"memory ({_gib(plan.kv_available)} GiB). Based on the available memory, the estimated maximum model "
            f"length is {fitting}. Try increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU "
            f"backend) or decreasing `max_model_len` when initializing the engine. {advice}",
        )
    if config.num_gpu_blocks_override is not None:
        blocks = config.num_gpu_blocks_override
    # Blocks are rounded to whole sequences of the longest length in the log, as vLLM computes it.
    concurrency = blocks / -(-max_model_len // config.block_size)
    tokens = int(concurrency * max_model_len)
    return KvCache(int(blocks), config.block_size, tokens, max_model_len, plan.kv_available)


def check_graphs(plan: MemoryPlan, kv_bytes: int) -> None:
    if plan.resident(kv_bytes) > plan.total:
        raise GpuMemoryError("graphs", cuda_oom_message(plan, plan.resident(kv_bytes) - plan.graphs // 2, 24 * MIB))


def check_sampler(plan: MemoryPlan, kv_bytes: int) -> None:
    """The last allocation of a start; stage `sampler`, message of the CUDA error that caused it."""
    resident = plan.resident(kv_bytes)
    if resident + plan.sampler > plan.total:
        raise GpuMemoryError("sampler", cuda_oom_message(plan, resident + plan.sampler // 2, plan.sampler // 4))


def cuda_oom_message(plan: MemoryPlan, used_bytes: int, tried_bytes: int) -> str:
    """The sentence of torch, with figures that agree with each other."""
    used = min(used_bytes, plan.total)
    tried = max(tried_bytes, plan.total - used + 2 * MIB)
    in_torch = max(0, used - plan.context - plan.others - plan.non_torch)
    return (
        f"CUDA out of memory. Tried to allocate {_human(tried)}. GPU 0 has a total capacity of "
        f"{_gib(plan.total)} GiB of which {_human(plan.total - used)} is free. Including non-PyTorch memory, this "
        f"process has {_human(used - plan.others)} memory in use. Of the allocated memory {_human(in_torch)} is "
        f"allocated by PyTorch, and {_human(in_torch // 64)} is reserved by PyTorch but unallocated. If reserved but "
        "unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid "
        "fragmentation.  See documentation for Memory Management  "
        "(https://docs.pytorch.org/docs/stable/notes/cuda.html#optimizing-memory-usage-with-pytorch-cuda-alloc-conf)"
    )


def _gib(value: int) -> str:
    return str(round(value / GIB, 2))


def _human(value: int) -> str:
    return f"{value / GIB:.2f} GiB" if value >= GIB else f"{value / MIB:.2f} MiB"
