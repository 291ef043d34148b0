"""The script of a start: log lines in vLLM's wording, how long each phase lasts, and how it may end. Pure.

Durations are nominal seconds and are scaled when played. Recorded were 58-125 s with graphs, 42-87 eager, on hosts
whose cores 5 to 12 starting servers shared: imports and process starts 50 s, of which 25 until arguments are refused.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sloguard.simulator import tracebacks
from sloguard.simulator.config import ConfigurationError, EngineConfig, resolve
from sloguard.simulator.log import API_SERVER, ENGINE_CORE
from sloguard.simulator.memory import (
    GpuMemoryError,
    KvCache,
    MemoryPlan,
    check_free_memory,
    check_graphs,
    check_load,
    check_profile,
    check_sampler,
    cuda_oom_message,
    full_graph_count,
    plan_memory,
    size_kv_cache,
)
from sloguard.simulator.profiles import GIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sloguard.simulator.arguments import Arguments
    from sloguard.simulator.faults import Fault

VERSION = "0.24.0"
LOAD_BYTES_PER_SECOND = 1.0e9  # safetensors from a network volume
DUMMY_LOAD_SECONDS = 0.6
SECONDS_PER_GRAPH = 0.06
COMPILE_SECONDS_PER_LAYER = 0.7
QUANTIZED_COMPILE_FACTOR = 1.7  # each matrix product brings its quantization along
CACHED_COMPILE_SECONDS_PER_LAYER = 0.17
PROFILE_SECONDS_PER_LAYER = 0.08
GRAPH_PROFILE_SECONDS_PER_LAYER = 0.07  # capturing a few graphs to estimate their memory
SLOW_START_FACTOR = 10.0
FOREVER = math.inf


@dataclass(frozen=True)
class Line:
    """One log record, or text for stderr when it has no level."""

    process: str
    level: str | None
    source: str
    text: str


@dataclass(frozen=True)
class Wait:
    """So many nominal seconds pass."""

    seconds: float


@dataclass(frozen=True)
class Exit:
    """The process ends; 1 for every failure but a bad command line."""

    code: int


@dataclass(frozen=True)
class Bind:
    """The port is taken, as vLLM does before it creates the engine."""


@dataclass(frozen=True)
class Ready:
    """The engine is up: serve."""

    config: EngineConfig
    plan: MemoryPlan
    cache: KvCache


Event = Line | Wait | Exit | Bind | Ready


class StartFailureError(Exception):
    """The start ends here, after these records."""

    def __init__(self, *events: Event) -> None:
        super().__init__()
        self.events = events


def info(process: str, source: str, text: str) -> Line:
    return Line(process, "INFO", source, text)


def script(arguments: Arguments, *, compile_cached: bool = False) -> Iterator[Event]:
    """All events of a start, in order; ends with Ready or Exit."""
    try:
        yield from _Start(arguments, compile_cached).events()
    except StartFailureError as failure:
        yield from failure.events


def engine_failure(stage: str, error: str, *, sequences: int = 0) -> StartFailureError:
    """The engine's error twice, as vLLM prints it, then the API server's, which names no cause."""
    if stage == "sampler":
        trace = tracebacks.sampler_warm_up(error, sequences)
    else:
        trace = tracebacks.core_startup(stage, error)
    return StartFailureError(
        Line(ENGINE_CORE, "ERROR", "core.py:1231", f"EngineCore failed to start.\n{trace}"),
        Line(ENGINE_CORE, None, "", f"Process EngineCore:\n{trace}"),
        Line(API_SERVER, None, "", tracebacks.ENGINE_FAILED),
        Exit(1),
    )


class _Start:
    def __init__(self, arguments: Arguments, compile_cached: bool) -> None:
        self.arguments = arguments
        self.simulator = arguments.simulator
        self.compile_cached = compile_cached
        self.faults = {fault.phase: fault for fault in self.simulator.faults if fault.phase is not None}
        seconds = self.simulator.profile.startup_seconds
        self.import_seconds, self.engine_seconds, self.finish_seconds = 0.49 * seconds, 0.41 * seconds, 0.1 * seconds

    def events(self) -> Iterator[Event]:
        profile = self.simulator.profile
        yield Line(
            API_SERVER,
            "WARNING",
            "serve.py:1",
            f"This is SLO-Guard's simulator of vLLM {VERSION}, not vLLM: profile {profile.name}, {profile.model.name} "
            f"on {profile.gpu.name}. No GPU is used and no text is meaningful.",
        )
        yield Wait(self.import_seconds)
        yield from self._banner()
        yield Bind()
        yield from self._model_faults()
        try:
            config = resolve(self.arguments)
        except ConfigurationError as error:
            text = tracebacks.invalid_configuration(error.config, error.reason, error.hint)
            raise StartFailureError(Line(API_SERVER, None, "", text), Exit(1)) from None
        yield from self._configuration(config)
        yield Wait(self.engine_seconds)
        yield from self._engine(config)

    def _banner(self) -> Iterator[Event]:
        yield info(
            API_SERVER,
            "api_utils.py:339",
            f"\n       █     █     █▄   ▄█\n ▄▄ ▄█ █     █     █ ▀▄▀ █  version {VERSION}\n"
            f"  █▄█▀ █     █     █     █  model   {self.arguments.model}\n   ▀▀  ▀▀▀▀▀ ▀▀▀▀▀ ▀     ▀\n",
        )
        yield info(API_SERVER, "api_utils.py:273", f"non-default args: {self.arguments.non_default}")

    def _model_faults(self) -> Iterator[Event]:
        kinds = {fault.kind for fault in self.faults.values()}
        if "model-download" in kinds:
            yield Wait(self.engine_seconds)  # retries with back-off
            raise StartFailureError(Line(API_SERVER, None, "", tracebacks.model_download()), Exit(1))
        if "model-missing" in kinds:
            raise StartFailureError(Line(API_SERVER, None, "", tracebacks.model_missing()), Exit(1))

    def _configuration(self, config: EngineConfig) -> Iterator[Event]:
        model = config.profile.model
        yield info(API_SERVER, "model.py:598", f"Resolved architecture: {model.architecture}")
        yield info(API_SERVER, "model.py:1725", f"Using max model len {config.max_model_len}")
        if config.enable_chunked_prefill:
            text = f"Chunked prefill is enabled with max_num_batched_tokens={config.max_num_batched_tokens}."
            yield info(API_SERVER, "scheduler.py:252", text)
        else:
            yield Line(
                API_SERVER,
                "WARNING",
                "arg_utils.py:2476",
                "This model does not officially support disabling chunked prefill. Disabling this manually may cause "
                "the engine to crash or produce incorrect outputs.",
            )
        if config.async_scheduling:
            yield info(API_SERVER, "vllm.py:1006", "Asynchronous scheduling is enabled.")
        if config.enforce_eager:
            yield Line(
                API_SERVER,
                "WARNING",
                "vllm.py:1062",
                "Enforce eager set, disabling torch.compile and CUDAGraphs. This is equivalent to setting "
                "-cc.mode=none -cc.cudagraph_mode=none",
            )
            yield info(API_SERVER, "vllm.py:1288", "Cudagraph is disabled under eager mode")

    def _engine(self, config: EngineConfig) -> Iterator[Event]:
        yield info(ENGINE_CORE, "core.py:114", _engine_banner(config))
        yield from self._fault("init", config, None)
        world = config.world_size
        text = f"world_size={world} rank=0 local_rank=0 distributed_init_method=tcp://127.0.0.1:59797 backend=nccl"
        yield info(ENGINE_CORE, "parallel_state.py:1588", text)
        plan = plan_memory(config, others_bytes=self._taken_bytes(config), compile_cached=self.compile_cached)
        yield from self._checked(config, lambda: check_free_memory(plan, config.gpu_memory_utilization))
        yield from self._load(config, plan)
        yield from self._profile(config, plan)
        cache = size_kv_cache_or_fail(plan, config)
        yield from self._kv_cache(cache)
        yield from self._graphs(config, plan, cache)
        yield from self._finish(config, plan, cache)

    def _taken_bytes(self, config: EngineConfig) -> int:
        taken = int(self.simulator.taken_gib * GIB)
        if any(fault.kind == "gpu-memory-taken" for fault in self.faults.values()):
            taken = max(taken, config.profile.gpu.total_bytes // 2)
        return taken

    def _checked(self, config: EngineConfig, check: Callable[[], None]) -> Iterator[Event]:
        try:
            check()
        except GpuMemoryError as error:
            name = "ValueError" if error.stage in ("init", "kv") else "torch.OutOfMemoryError"
            raise engine_failure(error.stage, f"{name}: {error.message}", sequences=config.max_num_seqs) from None
        yield from ()

    def _load(self, config: EngineConfig, plan: MemoryPlan) -> Iterator[Event]:
        yield info(ENGINE_CORE, "gpu_model_runner.py:5160", f"Starting to load model {config.model}...")
        yield info(
            ENGINE_CORE,
            "cuda.py:480",
            "Using FLASH_ATTN attention backend out of potential backends: "
            "['FLASH_ATTN', 'TRITON_ATTN', 'FLEX_ATTENTION'].",
        )
        seconds = DUMMY_LOAD_SECONDS if config.load_format == "dummy" else plan.weights / LOAD_BYTES_PER_SECOND
        fault = self.faults.get("load")
        if fault is not None and fault.kind == "slow-start":
            seconds *= SLOW_START_FACTOR
        seconds += sum(f.after_seconds or 0.0 for f in self.simulator.faults if f.kind == "slow-start")
        yield Wait(seconds)
        yield from self._fault("load", config, plan)
        yield from self._checked(config, lambda: check_load(plan))
        text = f"Model loading took {plan.weights / GIB:.2f} GiB memory and {seconds:.6f} seconds"
        yield info(ENGINE_CORE, "gpu_model_runner.py:5255", text)

    def _profile(self, config: EngineConfig, plan: MemoryPlan) -> Iterator[Event]:
        layers = config.profile.model.layers
        if config.cudagraph_sizes:
            yield from self._compile(config)
        yield Wait(PROFILE_SECONDS_PER_LAYER * layers)
        yield from self._fault("profile", config, plan)
        yield from self._checked(config, lambda: check_profile(plan))
        if config.cudagraph_sizes:
            yield Wait(GRAPH_PROFILE_SECONDS_PER_LAYER * layers)
            sizes, full = config.cudagraph_sizes, full_graph_count(config)
            text = f"Profiling CUDA graph memory: PIECEWISE={len(sizes)} (largest={sizes[-1]})"
            if full:
                text += f", FULL={full} (largest={sizes[full - 1]})"
            yield info(ENGINE_CORE, "gpu_model_runner.py:6483", text)
            text = f"Estimated CUDA graph memory: {plan.graphs_estimated / GIB:.2f} GiB total"
            yield info(ENGINE_CORE, "gpu_model_runner.py:6588", text)
        if config.kv_cache_memory_bytes is None:
            text = f"Available KV cache memory: {plan.kv_available / GIB:.2f} GiB"
            yield info(ENGINE_CORE, "gpu_worker.py:508", text)

    def _compile(self, config: EngineConfig) -> Iterator[Event]:
        directory = self.simulator.compile_cache or "~/.cache/vllm"
        yield info(
            ENGINE_CORE,
            "backends.py:1089",
            f"Using cache directory: {directory}/torch_compile_cache/backbone for vLLM's torch.compile",
        )
        seconds = CACHED_COMPILE_SECONDS_PER_LAYER if self.compile_cached else COMPILE_SECONDS_PER_LAYER
        seconds *= config.profile.model.layers * (QUANTIZED_COMPILE_FACTOR if config.quantization else 1.0)
        yield Wait(seconds)
        yield info(ENGINE_CORE, "backends.py:1148", f"Dynamo bytecode transform time: {seconds / 4:.2f} s")
        if self.compile_cached:
            text = "Directly load the compiled graph(s) for compile range (1, 2048) from the cache, took "
            yield info(ENGINE_CORE, "backends.py:292", f"{text}{seconds / 3:.3f} s")
        yield info(ENGINE_CORE, "monitor.py:53", f"torch.compile took {seconds:.2f} s in total")

    def _kv_cache(self, cache: KvCache) -> Iterator[Event]:
        yield info(ENGINE_CORE, "kv_cache_utils.py:2146", f"GPU KV cache size: {cache.tokens:,} tokens")
        yield info(
            ENGINE_CORE,
            "kv_cache_utils.py:2147",
            f"Maximum concurrency for {cache.max_model_len:,} tokens per request: {cache.max_concurrency:.2f}x",
        )

    def _graphs(self, config: EngineConfig, plan: MemoryPlan, cache: KvCache) -> Iterator[Event]:
        kv_bytes = cache.blocks * cache.block_size * plan.kv_bytes_per_token
        seconds = (len(config.cudagraph_sizes) + full_graph_count(config)) * SECONDS_PER_GRAPH
        yield Wait(seconds)
        yield from self._fault("graphs", config, plan)
        if config.cudagraph_sizes:
            yield from self._checked(config, lambda: check_graphs(plan, kv_bytes))
            text = f"Graph capturing finished in {max(1, round(seconds))} secs, took {plan.graphs / GIB:.2f} GiB"
            yield info(ENGINE_CORE, "gpu_model_runner.py:6656", text)
        yield from self._checked(config, lambda: check_sampler(plan, kv_bytes))

    def _finish(self, config: EngineConfig, plan: MemoryPlan, cache: KvCache) -> Iterator[Event]:
        layers = config.profile.model.layers
        text = f"init engine (profile, create kv cache, warmup model) took {layers * 0.5:.2f} s"
        yield info(ENGINE_CORE, "core.py:337", text)
        yield info(API_SERVER, "api_server.py:577", "Supported tasks: ['generate']")
        yield Wait(self.finish_seconds)
        address = f"http://{self.arguments.host or '0.0.0.0'}:{self.arguments.port}"  # noqa: S104 - only text
        yield info(API_SERVER, "api_server.py:581", f"Starting vLLM server on {address}")
        yield Ready(config, plan, cache)

    def _fault(self, phase: str, config: EngineConfig, plan: MemoryPlan | None) -> Iterator[Event]:
        fault = self.faults.get(phase)
        if fault is None:
            return
        if fault.kind == "stuck-start":
            yield Wait(FOREVER)
        failure = _injected(fault, phase, config, plan)
        if failure is not None:
            raise failure


def size_kv_cache_or_fail(plan: MemoryPlan, config: EngineConfig) -> KvCache:
    try:
        return size_kv_cache(plan, config)
    except GpuMemoryError as error:
        raise engine_failure("kv", f"ValueError: {error.message}") from None


def _injected(fault: Fault, phase: str, config: EngineConfig, plan: MemoryPlan | None) -> StartFailureError | None:
    """The failure of an injected fault; None for kinds that act elsewhere."""
    if fault.kind == "engine-killed":
        return StartFailureError(Line(API_SERVER, None, "", tracebacks.ENGINE_FAILED), Exit(1))
    if fault.kind == "engine-timeout":
        return StartFailureError(Line(API_SERVER, None, "", tracebacks.ENGINE_TIMEOUT), Exit(1))
    error = FAULT_ERRORS.get(fault.kind)
    if fault.kind == "cuda-oom":
        plan = plan or plan_memory(config)
        error = f"torch.OutOfMemoryError: {cuda_oom_message(plan, plan.total - GIB // 64, GIB // 8)}"
    return None if error is None else engine_failure(phase, error)


FAULT_ERRORS = {
    "nccl": (
        "torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:94, "
        "unhandled system error (run with NCCL_DEBUG=INFO for details), NCCL version 2.28.9\n"
        "ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error."
    ),
    "illegal-memory-access": (
        "torch.AcceleratorError: CUDA error: an illegal memory access was encountered\n"
        "CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
        "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
        "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions."
    ),
    "shm-too-small": (
        "RuntimeError: Insufficient space in /dev/shm: 160.0 MiB are needed for the shared memory of the executor, "
        "64.0 MiB are free. Use --shm-size or --ipc=host with Docker, or mount an emptyDir of medium Memory."
    ),
}


def _engine_banner(config: EngineConfig) -> str:
    return (
        f"Initializing a V1 LLM engine (v{VERSION}) with config: model='{config.model}', speculative_config=None, "
        f"tokenizer='{config.model}', dtype=torch.bfloat16, max_seq_len={config.max_model_len}, "
        f"load_format={config.load_format}, tensor_parallel_size={config.tensor_parallel_size}, "
        f"pipeline_parallel_size={config.pipeline_parallel_size}, quantization={config.quantization}, "
        f"enforce_eager={config.enforce_eager}, kv_cache_dtype={config.kv_cache_dtype}, device_config=cuda, seed=0, "
        f"served_model_name={config.served_model_names[0]}, enable_prefix_caching={config.enable_prefix_caching}, "
        f"enable_chunked_prefill={config.enable_chunked_prefill}"
    )
