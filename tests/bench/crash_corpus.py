# ruff: noqa: E501 - messages are quoted as servers, kernels and the kubelet write them
"""The labelled corpus of the bench of classification: what a server or a cluster said, and what it means.

Four sources: `said`, messages of vLLM, torch, CUDA, NCCL and hubs as their sources or public reports have them, in the
wording of several versions and none of them a sample of the tables' own tests; `simulated`, the simulator's starts;
`recorded`, whole logs of real vLLM; `pods`, bundles in the kubelet's words. Beside them stand logs in which nothing is
wrong, or nothing known: what the classifier must not guess at.
"""

from __future__ import annotations

import gzip
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from sloguard.api.v1alpha1 import CrashClass as C
from sloguard.domain.evidence import Activity, ContainerEnd, EventEvidence, Evidence, NodeCondition

if TYPE_CHECKING:
    from collections.abc import Iterator

RECORDED = Path(__file__).parent / "recordings" / "crash-logs.jsonl.gz"

HEAD = """\
(APIServer pid=1) INFO 07-15 21:00:01 [utils.py:299] vLLM API server version 0.19.0
(APIServer pid=1) INFO 07-15 21:00:01 [utils.py:233] non-default args: {'model': '/models/llama', 'max_num_seqs': 256}
(EngineCore_DP0 pid=272) INFO 07-15 21:00:19 [core.py:103] Initializing a V1 LLM engine (v0.19.0) with config: model='/models/llama'
(EngineCore_DP0 pid=272) WARNING 07-15 21:00:19 [utils.py:7] Reducing Torch parallelism from 16 threads to 1 to avoid unnecessary CPU contention.
(EngineCore_DP0 pid=272) INFO 07-15 21:00:21 [gpu_model_runner.py:4120] Starting to load model /models/llama...
""".splitlines()
SERVING = """\
(APIServer pid=1) INFO:     Started server process [1]
(APIServer pid=1) INFO:     Application startup complete.
(APIServer pid=1) INFO:     10.0.0.7:41000 - "POST /v1/chat/completions HTTP/1.1" 200 OK
(APIServer pid=1) INFO 07-15 21:02:01 [loggers.py:259] Engine 000: Avg prompt throughput: 812.4 tokens/s, Avg generation throughput: 301.2 tokens/s, Running: 12 reqs, Waiting: 0 reqs, GPU KV cache usage: 31.0%, Prefix cache hit rate: 0.0%
""".splitlines()
START_END = """\
(APIServer pid=1) Traceback (most recent call last):
(APIServer pid=1)   File "/usr/local/lib/python3.12/dist-packages/vllm/v1/engine/utils.py", line 1057, in wait_for_engine_startup
(APIServer pid=1)     raise RuntimeError(
(APIServer pid=1) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_DP0': 1}
""".splitlines()
SERVING_END = """\
(APIServer pid=1) ERROR 07-15 21:02:09 [async_llm.py:704] AsyncLLM output_handler failed.
(APIServer pid=1) ERROR 07-15 21:02:09 [async_llm.py:704] vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.
(APIServer pid=1) INFO:     10.0.0.7:41000 - "POST /v1/chat/completions HTTP/1.1" 500 Internal Server Error
(APIServer pid=1) INFO:     Shutting down
""".splitlines()


@dataclass(frozen=True)
class Case:
    """A log with its exit code, or evidence of a pod, and the class that a person gives it; None: nothing is wrong."""

    name: str
    source: str
    label: C | None
    lines: tuple[str, ...] = ()
    exit_code: int | None = None
    evidence: Evidence | None = None


START_MESSAGES: tuple[tuple[C, str], ...] = (
    (
        C.GPU_MEMORY_TAKEN,
        "ValueError: Free memory on device (11.03/23.69 GiB) on startup is less than desired GPU memory utilization (0.9, 21.32 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
    ),
    (
        C.GPU_MEMORY_TAKEN,
        "ValueError: Free memory on device cuda:3 (2.1/139.8 GiB) on startup is less than desired GPU memory utilization (0.92, 128.62 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
    ),
    (
        C.GPU_MEMORY_REQUEST_TOO_HIGH,
        "ValueError: Free memory on device cuda:0 (78.5/79.18 GiB) on startup is less than desired GPU memory utilization (0.995, 78.79 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
    ),
    (
        C.GPU_MEMORY_TAKEN,
        "AssertionError: Error in memory profiling. Initial free memory 9.1 GiB, current free memory 12.77 GiB. This happens when other processes sharing the same container release GPU memory while vLLM is profiling during initialization. To fix this, ensure consistent GPU memory allocation or isolate vLLM in its own container.",
    ),
    (
        C.NO_KV_CACHE_ROOM,
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine (this flag also controls CPU memory reservation on the CPU backend, despite its name). See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details.",
    ),
    (
        C.NO_KV_CACHE_ROOM,
        "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token. Try increasing `gpu_memory_utilization`.",
    ),
    (
        C.KV_CACHE_BELOW_ONE_REQUEST,
        "ValueError: To serve at least one request with the models's max seq len (131072), (16.0 GiB KV cache is needed, which is larger than the available KV cache memory (4.31 GiB). Based on the available memory, the estimated maximum model length is 35312. Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine. See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details.",
    ),
    (
        C.KV_CACHE_BELOW_ONE_REQUEST,
        "ValueError: To serve at least one request with the model's max seq len (40960), (5.62 GiB KV cache is needed, which is larger than the available KV cache memory (0.52 GiB). Try increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU backend) or decreasing `max_model_len` when initializing the engine.",
    ),
    (
        C.CUDA_OUT_OF_MEMORY,
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB. GPU 0 has a total capacity of 23.69 GiB of which 215.94 MiB is free. Including non-PyTorch memory, this process has 23.47 GiB memory in use.",
    ),
    (C.CUDA_OUT_OF_MEMORY, "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU "),
    (
        C.CUDA_OUT_OF_MEMORY,
        "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests. Please try lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine.",
    ),
    (
        C.CUDA_OUT_OF_MEMORY,
        "RuntimeError: Worker failed with error 'CUDA out of memory. Tried to allocate 112.00 MiB. GPU 1 has a total capacity of 44.40 GiB', please check the stack trace above for the root cause",
    ),
    (
        C.CUDA_OUT_OF_MEMORY,
        "torch.AcceleratorError: CUDA error: out of memory\nSearch for `cudaErrorMemoryAllocation' in https://docs.nvidia.com/cuda/ for more information.",
    ),
    (
        C.HOST_OUT_OF_MEMORY,
        "RuntimeError: [enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 33554432 bytes. Error code 12 (Cannot allocate memory)",
    ),
    (
        C.INVALID_ARGUMENTS,
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for SchedulerConfig\n  Value error, max_num_batched_tokens (2048) is smaller than max_model_len (32768). This effectively limits the maximum sequence length to max_num_batched_tokens and makes vLLM reject longer sequences. [type=value_error, input_value=ArgsKwargs((), {...}), input_type=ArgsKwargs]",
    ),
    (
        C.INVALID_ARGUMENTS,
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, User-specified max_model_len (262144) is greater than the derived max_model_len (max_position_embeddings=131072 or model_max_length=None in model's config.json). To allow overriding this maximum, set the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. [type=value_error]",
    ),
    (
        C.INVALID_ARGUMENTS,
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ParallelConfig\n  Value error, World size (8) is larger than the number of available GPUs (4) in this node. If this is intentional and you are using: [type=value_error]",
    ),
    (
        C.INVALID_ARGUMENTS,
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for VllmConfig\n  Value error, Total number of attention heads (14) must be divisible by tensor parallel size (4). [type=value_error]",
    ),
    (
        C.INVALID_ARGUMENTS,
        "pydantic_core._pydantic_core.ValidationError: 2 validation errors for CacheConfig\nblock_size\n  Input should be 1, 8, 16, 32, 64, 128 or 256 [type=literal_error, input_value=48, input_type=int]\ngpu_memory_utilization\n  Input should be greater than 0 [type=greater_than, input_value=0.0, input_type=float]",
    ),
    (C.INVALID_ARGUMENTS, "AssertionError: 18944 is not divisible by 5"),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla V100-SXM2-16GB GPU has compute capability 7.0. You can use float16 instead by explicitly setting the `dtype` flag in CLI, for example: --dtype=half.",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: Selected backend AttentionBackendEnum.FLASH_ATTN is not valid for this configuration. Reason: ['kv_cache_dtype not supported']",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: CUDAGraphMode.FULL_AND_PIECEWISE is not supported with FlexAttentionBackend backend (support:AttentionCGSupport.NEVER) ; please try cudagraph_mode=PIECEWISE, and make sure compilation mode is VLLM_COMPILE",
    ),
    (
        C.UNSUPPORTED_QUANTIZATION,
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, Unknown quantization method: int2. Must be one of ['awq', 'deepspeedfp', 'fp8', 'gptq']. [type=value_error]",
    ),
    (
        C.UNSUPPORTED_QUANTIZATION,
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig\n  Value error, Quantization method specified in the model config (gptq) does not match the quantization method specified in the `quantization` argument (awq). [type=value_error]",
    ),
    (
        C.UNSUPPORTED_QUANTIZATION,
        "ValueError: The quantization method gptq_marlin is not supported for the current GPU. Minimum capability: 75. Current capability: 70.",
    ),
    (
        C.UNSUPPORTED_QUANTIZATION,
        "ValueError: torch.float32 is not supported for quantization method awq. Supported dtypes: [torch.float16, torch.bfloat16]",
    ),
    (
        C.STARTUP_TIMEOUT,
        "TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow weight loading for large models. Waited 1200s (configured by VLLM_ENGINE_READY_TIMEOUT_S). To increase the timeout, set the environment variable: VLLM_ENGINE_READY_TIMEOUT_S=<seconds>",
    ),
    (C.GPU_LOST, "RuntimeError: No CUDA GPUs are available"),
    (
        C.GPU_LOST,
        "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG` to turn on verbose logging to help debug the issue.",
    ),
    (
        C.GPU_LOST,
        "RuntimeError: Unexpected error from cudaGetDeviceCount(). Did you run some cuda functions before calling NumCudaDevices() that might have already set an error? Error 802: system not yet initialized",
    ),
    (
        C.COLLECTIVE_FAILURE,
        "torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:3384, unhandled cuda error (run with NCCL_DEBUG=INFO for details), NCCL version 2.27.3\nncclUnhandledCudaError: Call to CUDA function failed.",
    ),
    (
        C.COLLECTIVE_FAILURE,
        "Exception in worker VllmWorkerProcess while processing method init_device: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details), Traceback (most recent call last):",
    ),
    (
        C.SHARED_MEMORY_TOO_SMALL,
        "RuntimeError: Insufficient space in /dev/shm: 320 MiB required, 64 MiB free. Increase /dev/shm (e.g. --shm-size or --ipc=host).",
    ),
    (C.SHARED_MEMORY_TOO_SMALL, "OSError: [Errno 28] No space left on device: '/dev/shm/psm_2f1c9a4b'"),
    (C.PORT_IN_USE, "OSError: [Errno 98] Address already in use"),
    (C.PORT_IN_USE, "zmq.error.ZMQError: Address already in use (addr='tcp://127.0.0.1:51235')"),
    (
        C.MODEL_DOWNLOAD,
        "OSError: We couldn't connect to 'https://hf-mirror.example.com' to load the files, and couldn't find them in the cached files.\nCheck your internet connection or see how to run the library in offline mode",
    ),
    (
        C.MODEL_DOWNLOAD,
        "huggingface_hub.errors.OfflineModeIsEnabled: Cannot reach https://huggingface.co/api/models/x: offline mode is enabled.",
    ),
    (
        C.MODEL_DOWNLOAD,
        "huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-68)\n\nCannot access gated repo for url https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json.",
    ),
    (
        C.MODEL_DOWNLOAD,
        "huggingface_hub.utils._errors.HfHubHTTPError: 504 Server Error: Gateway Time-out for url: https://huggingface.co/api/models/TheBloke/x",
    ),
    (
        C.MODEL_DOWNLOAD,
        "urllib3.exceptions.ConnectTimeoutError: (<urllib3.connection.HTTPSConnection object at 0x14916743e3d0>, 'Connection to huggingface.co timed out. (connect timeout=None)')",
    ),
    (
        C.MODEL_DOWNLOAD,
        "requests.exceptions.ProxyError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /x/resolve/main/config.json (Caused by ProxyError('Unable to connect to proxy', OSError('Tunnel connection failed: 403 Forbidden')))",
    ),
    (
        C.MODEL_DOWNLOAD,
        "OSError: org/model is not a local folder and is not a valid model identifier listed on 'https://huggingface.co/models'",
    ),
    (C.MODEL_DOWNLOAD, "safetensors_rust.SafetensorError: Error while deserializing header: HeaderTooLarge"),
    (
        C.CUDA_OUT_OF_MEMORY,
        "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 15.98 GiB",
    ),
    (C.CUDA_OUT_OF_MEMORY, "RuntimeError: CUDA driver error: out of memory"),
    (
        C.CUDA_OUT_OF_MEMORY,
        "ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 2 'out of memory'",
    ),
    (
        C.CUDA_OUT_OF_MEMORY,
        "torch.OutOfMemoryError: Allocation on device 0 would exceed allowed memory. (out of memory)",
    ),
    (C.NO_KV_CACHE_ROOM, "ValueError: No available memory for cache blocks; raise gpu_memory_utilization"),
    (
        C.KV_CACHE_BELOW_ONE_REQUEST,
        "ValueError: The model's max seq len (16384) is larger than the maximum number of tokens that can be stored in KV cache (9232). Try increasing `gpu_memory_utilization` or decreasing `max_model_len`",
    ),
    (
        C.GPU_MEMORY_TAKEN,
        "ValueError: Free memory on device cuda:1 (1.06/44.39 GiB) on startup is less than desired GPU memory utilization (0.85, 37.73 GiB).",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: max_num_batched_tokens (1024) must be greater than or equal to max_num_seqs (2048).",
    ),
    (
        C.INVALID_ARGUMENTS,
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for CompilationConfig\n  Value error, cudagraph_capture_sizes must be sorted [type=value_error]",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: dict_keys",
    ),
    (
        C.UNSUPPORTED_QUANTIZATION,
        "ValueError: Weight output_size_per_partition = 4736 is not divisible by min_thread_n = 64. Consider reducing tensor_parallel_size or running with --quantization gptq.",
    ),
    (
        C.UNSUPPORTED_QUANTIZATION,
        "RuntimeError: torch.ops._C.cutlass_scaled_mm is not supported: FP8 quantization is not supported on this GPU",
    ),
    (
        C.UNSUPPORTED_QUANTIZATION,
        "ValueError: BitsAndBytes quantization is currently not supported with tensor parallelism",
    ),
    (C.GPU_FAULT, "RuntimeError: CUDA error: device-side assert triggered"),
    (C.GPU_FAULT, "torch.AcceleratorError: CUDA error: misaligned address"),
    (
        C.GPU_LOST,
        "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver",
    ),
    (C.GPU_LOST, "pynvml.NVMLError_DriverNotLoaded: Driver Not Loaded"),
    (C.GPU_LOST, "RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable"),
    (
        C.COLLECTIVE_FAILURE,
        "RuntimeError: [../third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv operation to complete",
    ),
    (
        C.COLLECTIVE_FAILURE,
        "torch.distributed.DistBackendError: [1] is setting up NCCL communicator and retrieving ncclUniqueId from [0] via c10d key-value store by key '0', but store->get('0') got error: Connection reset by peer",
    ),
    (
        C.MODEL_DOWNLOAD,
        "huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request ID: Root=1-67) Repository Not Found for url: https://huggingface.co/api/models/x",
    ),
    (
        C.MODEL_DOWNLOAD,
        "OSError: /models/llama does not appear to have a file named config.json. Checkout 'https://huggingface.co//models/llama/tree/None' for available files.",
    ),
    (
        C.MODEL_DOWNLOAD,
        "ValueError: Invalid repository ID or local directory specified: '/models/llama'. Please verify the following requirements:",
    ),
    (
        C.MODEL_DOWNLOAD,
        "huggingface_hub.errors.HfHubHTTPError: 403 Forbidden: None. Cannot access content at: https://huggingface.co/x",
    ),
    (C.MODEL_DOWNLOAD, "httpx.ConnectTimeout: timed out"),
    (
        C.MODEL_DOWNLOAD,
        "OSError: Unable to load vocabulary from file. Please check that the provided vocabulary is accessible and not corrupted.",
    ),
    (
        C.SHARED_MEMORY_TOO_SMALL,
        "RuntimeError: DataLoader worker (pid 88) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory. Please try to raise your shared memory limit.",
    ),
    (C.PORT_IN_USE, "[Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use"),
    (
        C.HOST_OUT_OF_MEMORY,
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 2.00 GiB for an array with shape (1,) and data type float32",
    ),
    (C.STARTUP_TIMEOUT, "TimeoutError: Timed out waiting for engine core processes to start. Waited 600s."),
    (C.UNKNOWN, "AttributeError: 'Qwen2Config' object has no attribute 'rope_parameters'"),
    (C.UNKNOWN, "RuntimeError: Triton kernel failed to compile: ptxas fatal"),
    (
        C.UNKNOWN,
        "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 131072, Hardware limit: 101376.",
    ),
    (C.UNKNOWN, "KeyError: 'layers.27.mlp.gate_up_proj.weight'"),
    (C.UNKNOWN, "ModuleNotFoundError: No module named 'vllm._C'"),
    (
        C.UNKNOWN,
        "torch._dynamo.exc.BackendCompilerFailed: backend='<vllm.compilation.backends.VllmBackend object at 0x7f2c>' raised:",
    ),
    (
        C.UNKNOWN,
        "RuntimeError: The size of tensor a (4096) must match the size of tensor b (2048) at non-singleton dimension 1",
    ),
    (
        C.UNKNOWN,
        "ImportError: /usr/local/lib/python3.12/dist-packages/vllm/_C.abi3.so: undefined symbol: _ZN3c106ivalue14ConstantString6createENSt7",
    ),
)
"""What ends a start."""

SERVING_MESSAGES: tuple[tuple[C, str], ...] = (
    (
        C.CUDA_OUT_OF_MEMORY,
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.16 GiB. GPU 0 has a total capacity of 79.18 GiB of which 840.00 MiB is free.",
    ),
    (C.GPU_FAULT, "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"),
    (C.GPU_FAULT, "RuntimeError: CUDA error: unspecified launch failure"),
    (C.GPU_FAULT, "RuntimeError: Triton Error [CUDA]: an illegal memory access was encountered"),
    (C.GPU_LOST, "RuntimeError: CUDA error: uncorrectable ECC error encountered"),
    (
        C.COLLECTIVE_FAILURE,
        "[rank1]:[E ProcessGroupNCCL.cpp:563] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=203441, OpType=GATHER, Timeout(ms)=600000) ran for 600020 milliseconds before timing out.",
    ),
    (C.HANG, "TimeoutError: RPC call to execute_model timed out."),
    (C.HANG, "TimeoutError: RPC call to sample_tokens timed out."),
    (C.HOST_OUT_OF_MEMORY, "Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor."),
    (
        C.DIED_UNDER_LOAD,
        "AssertionError: Sampled token IDs exceed the max model length. Total number of tokens: 32769 > max_model_len: 32768",
    ),
    (C.DIED_UNDER_LOAD, "IndexError: list index out of range"),
    (C.DIED_UNDER_LOAD, "ValueError: No free blocks available"),
)
"""What an engine that serves dies of."""

BENIGN: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "request",
        (
            '(APIServer pid=1) INFO 07-15 21:02:01 [logger.py:43] Received request cmpl-1: prompt: "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", params: SamplingParams(n=1)',
        ),
    ),
    (
        "retry",
        ("(APIServer pid=1) WARNING 07-15 21:02:01 [utils.py:1] Address already in use. Retrying with another port.",),
    ),
    (
        "bad request",
        (
            "(APIServer pid=1) ERROR 07-15 21:02:01 [serving_chat.py:280] Error in preprocessing prompt inputs",
            "(APIServer pid=1) ERROR 07-15 21:02:01 [serving_chat.py:280] ValueError: CUDA out of memory is my favourite prompt",
        ),
    ),
    ("nccl", ("llama-0:272:419 [0] NCCL INFO NCCL error checking is on, ncclSystemError would be reported here",)),
)


SOURCED: tuple[tuple[C, str, str], ...] = (
    (
        C.INVALID_ARGUMENTS,
        "ValueError: Chunked MM input disabled but max_tokens_per_mm_item (16384) is larger than max_num_batched_tokens (8192). Please increase max_num_batched_tokens.",
        "v1/core/encoder_cache_manager.py",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: kernel_block_size 64 must divide block_size 16 evenly",
        "v1/worker/block_table.py",
    ),
    (
        C.INVALID_ARGUMENTS,
        "NotImplementedError: MRV2 PCP does not support PP yet.",
        "v1/worker/gpu/pcp_manager.py",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: Currently, 'draft_tensor_parallel_size' and 'tensor_parallel_size' must be the same. Got 1 and 4. Please pass 'draft_tensor_parallel_size' in the speculative_config.",
        "v1/spec_decode/draft_model.py",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: Multi-module MTP with prefix caching requires scheduler_block_size (=16) >= num_speculative_tokens (=32).",
        "v1/core/kv_cache_coordinator.py",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: Connector NixlConnector does not support HMA but HMA is enabled. Please set `--disable-hybrid-kv-cache-manager`.",
        "distributed/kv_transfer/kv_connector/factory.py",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: moe_backend='cutlass' is not supported for MXFP8 MoE. Expected one of ['triton', 'flashinfer'].",
        "model_executor/layers/fused_moe/oracle/mxfp8.py",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: Unknown speculative decoding method: suffix2",
        "v1/worker/gpu_model_runner.py",
    ),
    (C.INVALID_ARGUMENTS, "NotImplementedError: MLA is not supported on CPU.", "platforms/cpu.py"),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: Load format `streamed` is not supported",
        "model_executor/model_loader/__init__.py",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: Flashinfer allreduce is not supported for multi-node allreduce with 'trtllm' backend. Please use 'mnnvl' backend instead.",
        "distributed/device_communicators/flashinfer_all_reduce.py",
    ),
    (
        C.INVALID_ARGUMENTS,
        "ValueError: FlexAttention currently requires the cache block size (16) to be equal to the kv_block_size (128). Please check your model's configuration.",
        "v1/attention/backends/flex_attention.py",
    ),
    (
        C.STARTUP_TIMEOUT,
        "RuntimeError: DP Coordinator process failed to report ZMQ addresses within timeout=30 seconds during startup.",
        "v1/engine/coordinator.py",
    ),
    (
        C.STARTUP_TIMEOUT,
        "TimeoutError: Timed out waiting for new engine core processes to start. Waited 600s (configured by VLLM_ENGINE_READY_TIMEOUT_S).",
        "v1/engine/core_client.py",
    ),
    (
        C.CUDA_OUT_OF_MEMORY,
        "RuntimeError: CUDA out of memory occurred when warming up pooler (task=embed) with 256 dummy requests. Please try lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine.",
        "v1/worker/gpu/pool/pooling_runner.py",
    ),
    (
        C.GPU_MEMORY_REQUEST_TOO_HIGH,
        "ValueError: Available memory on node 0 (12.1/31.3 GiB) on kv cache allocation is less than requested memory for kv (20.0 GiB).",
        "v1/worker/cpu_worker.py",
    ),
    (
        C.UNKNOWN,
        "ValueError: Following weights were not initialized from checkpoint: {'lm_head.weight'}",
        "model_executor/model_loader/default_loader.py",
    ),
    (C.UNKNOWN, "RuntimeError: NaNs detected in logits: 4 of 4", "v1/worker/utils.py"),
    (
        C.UNKNOWN,
        "ValueError: Mismatched batch sizes: mixed_qkv.shape[0]=7, a.shape[0]=8, b.shape[0]=8.",
        "model_executor/layers/fla/ops/fused_recurrent.py",
    ),
    (C.UNKNOWN, "RuntimeError: Encoder cache miss for 3f2a.", "v1/worker/gpu_model_runner.py"),
)
"""Of vLLM 0.20.2 and 0.30.0, with the file that says it."""


def corpus() -> list[Case]:
    return [*said(), *serving(), *unharmed(), *simulated(), *recorded(), *pods()]


def traced(process: str, level: str, message: str, raised_in: str = "v1/worker/gpu_worker.py") -> list[str]:
    texts = [
        "Traceback (most recent call last):",
        f'  File "/usr/lib/python3.12/vllm/{raised_in}", line 7, in step',
        *message.split("\n"),
    ]
    return [f"({process}) {level}{text}" for text in texts]


def said() -> Iterator[Case]:
    error = "ERROR 07-15 21:00:42 [core.py:1100] "
    elsewhere = [(label, message, "v1/worker/gpu_worker.py") for label, message in START_MESSAGES]
    for number, (label, message, raised_in) in enumerate([*elsewhere, *SOURCED]):
        engine = traced("EngineCore_DP0 pid=272", error, message, raised_in)
        lines = (*HEAD, f"(EngineCore_DP0 pid=272) {error}EngineCore failed to start.", *engine, *START_END)
        yield Case(f"start {number}: {message[:50]}", "said", label, lines, 1)
    for text in (
        "vllm serve: error: unrecognized arguments: --num-lookahead-slots 4",
        "api_server.py: error: argument --dtype: invalid choice: 'fp12'",
    ):
        yield Case(text, "said", C.INVALID_ARGUMENTS, ("usage: vllm serve [model_tag] [options]", text), 2)


def serving() -> Iterator[Case]:
    error = "ERROR 07-15 21:02:08 [core.py:1231] "
    for number, (label, message) in enumerate(SERVING_MESSAGES):
        fatal = f"(EngineCore_DP0 pid=272) {error}EngineCore encountered a fatal error."
        lines = (*HEAD, *SERVING, fatal, *traced("EngineCore_DP0 pid=272", error, message), *SERVING_END)
        yield Case(f"serving {number}: {message[:50]}", "said", label, lines, 0)


def unharmed() -> Iterator[Case]:
    for name, lines in BENIGN:
        yield Case(f"alive, {name}", "said", None, (*HEAD, *SERVING, *lines, *SERVING[2:], *SERVING[2:]))
        yield Case(
            f"exit 0, {name}", "said", C.DIED_UNDER_LOAD, (*HEAD, *SERVING, *lines, *SERVING[2:], *SERVING[2:]), 0
        )
    yield Case("silent exit 0", "said", C.DIED_UNDER_LOAD, (*HEAD, *SERVING), 0)
    yield Case("killed in a start", "said", C.HOST_OUT_OF_MEMORY, tuple(HEAD), 137)


SIMULATED: tuple[tuple[C, str], ...] = (
    (C.INVALID_ARGUMENTS, "--max-num-seqs 1024 --max-num-batched-tokens 512"),
    (C.INVALID_ARGUMENTS, "--no-enable-chunked-prefill --max-num-batched-tokens 512"),
    (C.INVALID_ARGUMENTS, "--gpu-memory-utilization 1.2"),
    (C.INVALID_ARGUMENTS, "-tp 2"),
    (C.UNSUPPORTED_QUANTIZATION, "--quantization magic"),
    (C.UNSUPPORTED_QUANTIZATION, "--quantization awq"),
    (C.GPU_MEMORY_REQUEST_TOO_HIGH, "--gpu-memory-utilization 0.999"),
    (C.NO_KV_CACHE_ROOM, "--gpu-memory-utilization 0.02"),
)


def simulated() -> Iterator[Case]:
    """Starts that fail by themselves, in the simulator's time."""
    from sloguard.simulator.serve import main as simulate

    for label, arguments in SIMULATED:
        output = StringIO()
        with redirect_stdout(output), redirect_stderr(output):
            try:
                code = simulate(["some/model", *arguments.split(), "--startup-scale", "0.0001", "--port", "0"])
            except SystemExit as ended:
                code = int(ended.code or 0)
        yield Case(f"simulate {arguments}", "simulated", label, tuple(output.getvalue().splitlines()), int(code or 0))


REASONS = {
    "gpu_memory_below_request": C.GPU_MEMORY_REQUEST_TOO_HIGH,
    "invalid_arguments": C.INVALID_ARGUMENTS,
    "kv_below_one_request": C.KV_CACHE_BELOW_ONE_REQUEST,
    "model_not_found": C.MODEL_DOWNLOAD,
    "no_kv_room": C.NO_KV_CACHE_ROOM,
    "oom_sampler_warmup": C.CUDA_OUT_OF_MEMORY,
    "oom_under_load": C.CUDA_OUT_OF_MEMORY,
    "port_in_use": C.PORT_IN_USE,
    "engine_died_under_load": C.DIED_UNDER_LOAD,
    "terminated": C.DIED_UNDER_LOAD,
    "engine_lost": C.UNKNOWN,
}


def recorded() -> Iterator[Case]:
    with gzip.open(RECORDED, "rt", newline="\n") as file:
        for line in file:
            log = json.loads(line)
            label = REASONS.get(log["reason"])
            yield Case(f"recorded {log['name']}", "recorded", label, tuple(log["log"].split("\n")), log["exit_code"])


UP = "\n".join((*HEAD, *SERVING))


def pods() -> Iterator[Case]:
    for name, label, evidence in PODS:
        yield Case(name, "pods", label, evidence=evidence)


def event(reason: str, message: str) -> Evidence:
    return Evidence(
        events=(EventEvidence("Scheduled", "Successfully assigned", "Normal"), EventEvidence(reason, message))
    )


def ended(*events: EventEvidence, code: int = 137, reason: str = "Error", activity: Activity | None = None) -> Evidence:
    return Evidence(
        log=UP, became_ready=True, ended=True, exit_code=code, container_reason=reason, events=events, activity=activity
    )


LIVENESS = EventEvidence("Killing", "Container vllm failed liveness probe, will be restarted", "Normal")
PODS: tuple[tuple[str, C | None, Evidence], ...] = (
    (
        "pull back-off",
        C.IMAGE_PULL,
        Evidence(
            waiting_reason="ImagePullBackOff",
            waiting_message='Back-off pulling image "vllm/vllm-openai:v0.99.0": ErrImagePull: failed to resolve reference: not found',
        ),
    ),
    (
        "never pull",
        C.IMAGE_PULL,
        Evidence(
            waiting_reason="ErrImageNeverPull",
            waiting_message='Container image "vllm:dev" is not present with pull policy of Never',
        ),
    ),
    (
        "no GPU",
        C.UNSCHEDULABLE,
        Evidence(
            unschedulable="0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available"
        ),
    ),
    (
        "disk pressure",
        C.UNSCHEDULABLE,
        Evidence(
            unschedulable="0/1 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/disk-pressure: }."
        ),
    ),
    ("gated", None, Evidence(unschedulable="Scheduling is blocked due to non-empty scheduling gates", gated=True)),
    ("creating", None, Evidence(waiting_reason="ContainerCreating")),
    (
        "quota",
        C.QUOTA,
        event(
            "FailedCreate",
            'Error creating: pods "t-7-abc" is forbidden: exceeded quota: gpu, requested: requests.nvidia.com/gpu=1, used: requests.nvidia.com/gpu=2, limited: requests.nvidia.com/gpu=2',
        ),
    ),
    (
        "mount",
        C.MOUNT,
        event("FailedMount", 'MountVolume.SetUp failed for volume "pvc-1" : mount failed: exit status 32'),
    ),
    (
        "attach",
        C.MOUNT,
        event("FailedAttachVolume", 'Multi-Attach error for volume "pvc-1" Volume is already used by pod(s) llama-0'),
    ),
    (
        "secret",
        C.MOUNT,
        Evidence(waiting_reason="CreateContainerConfigError", waiting_message='secret "hf-token" not found'),
    ),
    (
        "sandbox",
        C.SANDBOX,
        event(
            "FailedCreatePodSandBox",
            'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox "7": plugin type="calico" failed (add): no IPs available',
        ),
    ),
    (
        "evicted",
        C.EVICTED,
        Evidence(
            log=UP,
            became_ready=True,
            pod_phase="Failed",
            pod_reason="Evicted",
            pod_message="The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 7Gi.",
            ended=True,
            exit_code=137,
        ),
    ),
    (
        "preempted",
        C.EVICTED,
        Evidence(log=UP, became_ready=True, pod_reason="PreemptionByScheduler", ended=True, exit_code=143),
    ),
    (
        "taint manager",
        C.NODE_LOST,
        Evidence(
            log=UP,
            became_ready=True,
            pod_reason="DeletionByTaintManager",
            pod_message="Taint manager: deleting due to NoExecute taint",
        ),
    ),
    (
        "node shutdown",
        C.NODE_LOST,
        Evidence(
            log=UP,
            became_ready=True,
            pod_phase="Failed",
            pod_reason="Terminated",
            pod_message="Pod was terminated in response to imminent node shutdown.",
        ),
    ),
    (
        "node not ready",
        C.NODE_LOST,
        Evidence(
            log=UP,
            became_ready=True,
            ended=True,
            exit_code=0,
            node_conditions=(
                NodeCondition("Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status."),
            ),
        ),
    ),
    (
        "unhealthy GPU",
        C.GPU_LOST,
        Evidence(
            pod_phase="Failed",
            pod_reason="UnexpectedAdmissionError",
            pod_message="Allocate failed due to no healthy devices present; cannot allocate unhealthy devices nvidia.com/gpu, which is unexpected",
        ),
    ),
    (
        "XID",
        C.GPU_LOST,
        ended(
            EventEvidence(
                "GpuXid", "NVRM: Xid (PCI:0000:41:00): 79, pid='<unknown>', GPU has fallen off the bus.", about="Node"
            ),
            code=0,
        ),
    ),
    ("OOMKilled", C.HOST_OUT_OF_MEMORY, ended(reason="OOMKilled")),
    (
        "OOMKilled start",
        C.HOST_OUT_OF_MEMORY,
        Evidence(log="\n".join(HEAD), ended=True, exit_code=137, container_reason="OOMKilled"),
    ),
    (
        "system OOM",
        C.HOST_OUT_OF_MEMORY,
        ended(EventEvidence("SystemOOM", "System OOM encountered, victim process: java, pid: 99")),
    ),
    ("probe", C.PROBE_KILLED, ended(LIVENESS)),
    (
        "probe, busy",
        C.PROBE_KILLED,
        ended(LIVENESS, code=0, activity=Activity(requests_running=256, still_seconds=0.0)),
    ),
    ("probe, hung", C.HANG, ended(LIVENESS, activity=Activity(requests_running=4, still_seconds=60.0))),
    (
        "startup probe",
        C.STARTUP_TIMEOUT,
        Evidence(
            log="\n".join(HEAD),
            ended=True,
            exit_code=137,
            events=(EventEvidence("Killing", "Container vllm failed startup probe, will be restarted", "Normal"),),
        ),
    ),
    ("completed", C.DIED_UNDER_LOAD, ended(code=0, reason="Completed")),
    (
        "init",
        C.MODEL_DOWNLOAD,
        Evidence(waiting_reason="PodInitializing", others=(ContainerEnd("download-model", "Error", 1, init=True),)),
    ),
    (
        "nvidia hook",
        C.GPU_LOST,
        Evidence(
            ended=True,
            exit_code=128,
            container_reason="StartError",
            container_message="failed to create containerd task: nvidia-container-cli: initialization error: nvml error: driver not loaded",
        ),
    ),
    ("slow", C.STARTUP_TIMEOUT, Evidence(log="\n".join(HEAD), startup_seconds=901, startup_timeout_seconds=900)),
    ("load", C.LOAD_GENERATOR, Evidence(log=UP, became_ready=True, load_invalid="p99 lateness 40 ms")),
)
"""What the kubelet, the scheduler and the controllers leave behind."""
