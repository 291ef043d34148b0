"""From arguments to the configuration vLLM would run with: GPU-dependent defaults, then vLLM's own checks.

Defaults and wording follow vLLM 0.24 (`EngineArgs.create_engine_config`, `SchedulerConfig.verify_max_model_len`)
and the recordings; see `defaults` for the table of facts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sloguard.simulator.profiles import GIB, Gpu, Profile

if TYPE_CHECKING:
    from sloguard.simulator.arguments import Arguments

# Methods that quantize 16-bit weights while loading: (bytes a weight, minimum compute capability).
ONLINE_QUANTIZATION = {"fp8": (1.0, 75), "bitsandbytes": (0.55, 70), "experts_int8": (1.0, 80), "mxfp8": (1.03, 100)}
# Methods that need a checkpoint of their kind: the file with their settings is missing in an unquantized one.
CHECKPOINT_QUANTIZATION = (
    "awq", "awq_marlin", "gptq", "gptq_marlin", "compressed-tensors", "modelopt", "modelopt_fp4", "fbgemm_fp8", "mxfp4",
    "gguf", "torchao", "auto-round", "petit_nvfp4",
)  # fmt: skip
_CUDAGRAPH_MAX = 512  # vLLM's largest default capture size


class ConfigurationError(Exception):
    """vLLM would refuse this configuration: `config` names the pydantic class, None for a plain ValueError."""

    def __init__(self, config: str | None, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.config = config
        self.reason = reason
        self.hint = hint


@dataclass(frozen=True)
class EngineConfig:
    """Everything that shapes memory, scheduling and speed."""

    profile: Profile
    model: str
    served_model_names: tuple[str, ...]
    max_num_seqs: int
    max_num_batched_tokens: int
    max_model_len: int
    auto_max_model_len: bool
    gpu_memory_utilization: float
    enforce_eager: bool
    enable_chunked_prefill: bool
    enable_prefix_caching: bool
    quantization: str | None
    kv_cache_dtype: str
    block_size: int
    tensor_parallel_size: int
    pipeline_parallel_size: int
    cudagraph_sizes: tuple[int, ...]
    async_scheduling: bool
    stream_interval: int
    long_prefill_token_threshold: int
    num_gpu_blocks_override: int | None
    kv_cache_memory_bytes: int | None
    cpu_offload_bytes: int
    load_format: str

    @property
    def world_size(self) -> int:
        return self.tensor_parallel_size * self.pipeline_parallel_size


@dataclass(frozen=True)
class Defaults:
    """vLLM's GPU-dependent defaults of an API server."""

    max_num_seqs: int
    max_num_batched_tokens: int


def defaults(gpu: Gpu) -> Defaults:
    """1024 and 8192 (16384 from 160 GiB) on cards of at least 70 GiB except A100, else 256 and 2048."""
    if gpu.total_bytes >= 70 * GIB and "a100" not in gpu.name.lower():
        return Defaults(1024, 16384 if gpu.total_bytes >= 160 * GIB else 8192)
    return Defaults(256, 2048)


def resolve(arguments: Arguments) -> EngineConfig:
    """The configuration of one start; ConfigurationError where vLLM raises one."""
    _check_ranges(arguments)
    profile = arguments.simulator.profile
    max_model_len, auto = _max_model_len(arguments, profile)
    quantization = _quantization(arguments, profile)
    chunked = bool(arguments.value("enable_chunked_prefill"))
    batched_tokens, seqs = _scheduler_sizes(arguments, profile, max_model_len, chunked)
    _check_scheduler(arguments, batched_tokens, seqs, max_model_len, chunked)
    _check_parallel(arguments)
    eager = _is_eager(arguments)
    return EngineConfig(
        profile=profile,
        model=arguments.model,
        served_model_names=tuple(arguments.value("served_model_name") or (arguments.model,)),
        max_num_seqs=seqs,
        max_num_batched_tokens=batched_tokens,
        max_model_len=max_model_len,
        auto_max_model_len=auto,
        gpu_memory_utilization=arguments.value("gpu_memory_utilization"),
        enforce_eager=eager,
        enable_chunked_prefill=chunked,
        enable_prefix_caching=bool(arguments.value("enable_prefix_caching")),
        quantization=quantization,
        kv_cache_dtype=arguments.value("kv_cache_dtype"),
        block_size=arguments.value("block_size") or 16,
        tensor_parallel_size=arguments.value("tensor_parallel_size"),
        pipeline_parallel_size=arguments.value("pipeline_parallel_size"),
        cudagraph_sizes=() if eager else _cudagraph_sizes(arguments, seqs, batched_tokens),
        async_scheduling=arguments.value("async_scheduling") is not False,
        stream_interval=arguments.value("stream_interval"),
        long_prefill_token_threshold=arguments.value("long_prefill_token_threshold"),
        num_gpu_blocks_override=arguments.value("num_gpu_blocks_override"),
        kv_cache_memory_bytes=arguments.value("kv_cache_memory_bytes"),
        cpu_offload_bytes=int(arguments.value("cpu_offload_gb") * GIB),
        load_format=arguments.value("load_format"),
    )


def _check_ranges(arguments: Arguments) -> None:
    """Checks pydantic's field bounds."""
    for name, config, minimum in (
        ("max_num_seqs", "SchedulerConfig", 1),
        ("max_num_batched_tokens", "SchedulerConfig", 1),
        ("stream_interval", "SchedulerConfig", 1),
        ("tensor_parallel_size", "ParallelConfig", 1),
        ("pipeline_parallel_size", "ParallelConfig", 1),
        ("block_size", "CacheConfig", 1),
    ):
        value = arguments.value(name)
        if value is not None and value < minimum:
            raise _bound(config, name, f"Input should be greater than or equal to {minimum}", value)
    utilization = arguments.value("gpu_memory_utilization")
    if not utilization > 0:
        raise _bound("CacheConfig", "gpu_memory_utilization", "Input should be greater than 0", utilization)
    if utilization > 1:
        raise _bound("CacheConfig", "gpu_memory_utilization", "Input should be less than or equal to 1", utilization)


def _bound(config: str, name: str, message: str, value: object) -> ConfigurationError:
    reason = f"{message} [type={'greater_than' if 'greater' in message else 'less_than_equal'}, input_value={value!r}, "
    return ConfigurationError(config, f"{reason}input_type={type(value).__name__}]", name)


def _max_model_len(arguments: Arguments, profile: Profile) -> tuple[int, bool]:
    given = arguments.value("max_model_len")
    longest = profile.model.max_position
    if given is None or given == -1:
        return longest, given == -1
    if given < 1:
        raise _bound("ModelConfig", "max_model_len", "Input should be greater than or equal to -1", given)
    if given > longest:
        raise ConfigurationError(
            "ModelConfig",
            f"Value error, User-specified max_model_len ({given}) is greater than the derived max_model_len "
            f"(max_position_embeddings={longest} or model_max_length=None in model's config.json). To allow "
            "overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. VLLM_ALLOW_LONG_MAX_MODEL_LEN "
            "must be used with extreme caution. If the model uses relative position encoding (RoPE), positions "
            "exceeding derived_max_model_len lead to nan. If the model uses absolute position encoding, positions "
            "exceeding derived_max_model_len will cause a CUDA array out-of-bounds error.",
        )
    return given, False


def _quantization(arguments: Arguments, profile: Profile) -> str | None:
    method = arguments.value("quantization")
    if method is None:
        return None
    known = sorted([*ONLINE_QUANTIZATION, *CHECKPOINT_QUANTIZATION])
    if method not in known:
        raise ConfigurationError(
            "ModelConfig", f"Value error, Unknown quantization method: {method}. Must be one of {known}."
        )
    if method in CHECKPOINT_QUANTIZATION:
        raise ConfigurationError(None, f"Cannot find the config file for {method}")
    minimum = ONLINE_QUANTIZATION[method][1]
    if profile.gpu.compute_capability < minimum:
        raise ConfigurationError(
            None,
            f"The quantization method {method} is not supported for the current GPU. Minimum capability: {minimum}. "
            f"Current capability: {profile.gpu.compute_capability}.",
        )
    return method


def _scheduler_sizes(arguments: Arguments, profile: Profile, max_model_len: int, chunked: bool) -> tuple[int, int]:
    """(max_num_batched_tokens, max_num_seqs), each vLLM's default where not given."""
    base = defaults(profile.gpu)
    factor = 2 if arguments.value("performance_mode") == "throughput" else 1
    batched_tokens, seqs = arguments.value("max_num_batched_tokens"), arguments.value("max_num_seqs")
    default_seqs = base.max_num_seqs * factor
    if batched_tokens is None:
        batched_tokens = base.max_num_batched_tokens * factor
        if not chunked:
            batched_tokens = max(batched_tokens, max_model_len)
        batched_tokens = min(batched_tokens, (seqs or default_seqs) * max_model_len)
    if seqs is None:
        seqs = min(default_seqs, batched_tokens)
    if (active := arguments.value("max_num_active_seqs")) is not None:
        seqs = min(seqs, active)
    return batched_tokens, seqs


def _check_scheduler(arguments: Arguments, batched_tokens: int, seqs: int, max_model_len: int, chunked: bool) -> None:
    suffix = (
        f" [type=value_error, input_value=ArgsKwargs((), {{'runner_t..., 'stream_interval': "
        f"{arguments.value('stream_interval')}}}), input_type=ArgsKwargs]"
    )
    if batched_tokens < max_model_len and not chunked:
        raise ConfigurationError(
            "SchedulerConfig",
            f"Value error, max_num_batched_tokens ({batched_tokens}) is smaller than max_model_len ({max_model_len}). "
            "This effectively limits the maximum sequence length to max_num_batched_tokens and makes vLLM reject "
            "longer sequences. Please increase max_num_batched_tokens or decrease max_model_len." + suffix,
        )
    if batched_tokens < seqs:
        raise ConfigurationError(
            "SchedulerConfig",
            f"Value error, max_num_batched_tokens ({batched_tokens}) must be greater than or equal to max_num_seqs "
            f"({seqs})." + suffix,
        )


def _check_parallel(arguments: Arguments) -> None:
    tensor, pipeline = arguments.value("tensor_parallel_size"), arguments.value("pipeline_parallel_size")
    model, gpus = arguments.simulator.profile.model, arguments.simulator.gpus
    if tensor * pipeline > gpus:
        raise ConfigurationError(
            "ParallelConfig",
            f"Value error, World size ({tensor * pipeline}) is larger than the number of available GPUs ({gpus}) in "
            "this node. If this is intentional and you are using:\n"
            "- ray, set '--distributed-executor-backend ray'.\n"
            "- multiprocessing, set '--nnodes' appropriately.",
        )
    if model.attention_heads % tensor:
        raise ConfigurationError(
            "VllmConfig",
            f"Value error, Total number of attention heads ({model.attention_heads}) must be divisible by tensor "
            f"parallel size ({tensor}).",
        )


def _compilation(arguments: Arguments) -> dict[str, Any]:
    return arguments.value("compilation_config") or {}


def _is_eager(arguments: Arguments) -> bool:
    if arguments.value("enforce_eager") or arguments.value("optimization_level") == 0:
        return True
    mode = str(_compilation(arguments).get("cudagraph_mode", "")).lower()
    return mode == "none"


def _cudagraph_sizes(arguments: Arguments, seqs: int, batched_tokens: int) -> tuple[int, ...]:
    """Batch sizes with a captured graph: 1, 2, 4, then by 8 up to 256, by 16 up to 512, within twice the sequences."""
    config = _compilation(arguments)
    given = arguments.value("cudagraph_capture_sizes") or config.get("cudagraph_capture_sizes")
    largest = arguments.value("max_cudagraph_capture_size") or config.get("max_cudagraph_capture_size")
    if given:
        return tuple(sorted(set(given)))
    largest = min(largest or min(2 * seqs, _CUDAGRAPH_MAX), batched_tokens)
    sizes = [1, 2, 4, *range(8, 257, 8), *range(272, largest + 1, 16)]
    return tuple(size for size in sizes if size <= largest)
