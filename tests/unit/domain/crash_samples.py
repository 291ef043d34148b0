# ruff: noqa: E501 - messages are quoted as servers write them
"""Messages that end a start: class, whose fault, a part of the limit, and the words of a server or of vLLM's sources."""

from sloguard.api.v1alpha1 import CrashClass, Fault

OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 150.00 MiB. GPU 0 has a total capacity of 139.80 GiB "
    "of which 116.67 GiB is free. Process 4509 has 7.63 GiB memory in use."
)
FREE = (
    "ValueError: Free memory on device cuda:0 ({} GiB) on startup is less than desired GPU memory utilization ({}). "
    "Decrease GPU memory utilization or reduce GPU memory used by other processes."
)
BELOW = (
    "ValueError: To serve at least one request with the model's max seq len (32768), (1.75 GiB KV cache is needed, which "
    "is larger than the available KV cache memory (1.41 GiB). Based on the available memory, the estimated maximum model "
    "length is 26464. Try increasing `gpu_memory_utilization`"
)
BELOW_OLD = (
    "ValueError: To serve at least one request with the models's max seq len (32768), (1.75 GiB KV cache is needed, which "
    "is larger than the available KV cache memory (1.41 GiB). Try increasing `gpu_memory_utilization`"
)
SEQ_LEN = (
    "ValueError: The model's max seq len (32768) is larger than the maximum number of tokens that can be stored in KV "
    "cache (26464). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the engine."
)
TOO_LONG = (
    "  Value error, User-specified max_model_len (65536) is greater than the derived max_model_len "
    "(max_position_embeddings=32768.0 or model_max_length=None in model's config.json)."
)
VALIDATION = "pydantic_core._pydantic_core.ValidationError: 1 validation error for {}\n"
CAPABILITY = (
    "  Value error, The quantization method modelopt_fp4 is not supported for the current GPU. Minimum capability: 100. "
    "Current capability: 90. [type=value_error, input_value=ArgsKwargs((), {...}), input_type=ArgsKwargs]"
)

C, I = Fault.CONFIGURATION, Fault.INFRASTRUCTURE  # noqa: E741

STARTS = [
    # class, fault, limit, message
    (
        CrashClass.GPU_MEMORY_REQUEST_TOO_HIGH,
        C,
        "gpu_memory_utilization at most 0.978",
        FREE.format("23.49/24.0", "0.987, 23.69 GiB"),
    ),
    (
        CrashClass.GPU_MEMORY_REQUEST_TOO_HIGH,
        C,
        "free memory 7.49 of 8.0 GiB",
        FREE.format("7.49/8.0", "0.97, 7.76 GiB"),
    ),
    (CrashClass.GPU_MEMORY_TAKEN, I, "free memory 38.15 of 79.18 GiB", FREE.format("38.15/79.18", "0.92, 72.85 GiB")),
    (CrashClass.GPU_MEMORY_TAKEN, I, "free memory 74.9 of 79.18 GiB", FREE.format("74.9/79.18", "0.95, 75.22 GiB")),
    (
        CrashClass.GPU_MEMORY_TAKEN,
        I,
        "free memory rose from 20.1 to 30.5",
        "AssertionError: Error in memory profiling. Initial free memory 20.1 GiB, current free memory 30.5 GiB. This happens",
    ),
    (
        CrashClass.NO_KV_CACHE_ROOM,
        C,
        None,
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing",
    ),
    (
        CrashClass.NO_KV_CACHE_ROOM,
        C,
        "max_num_seqs at most 96",
        "ValueError: max_num_seqs (256) exceeds available Mamba cache blocks (96). Each decode sequence requires one",
    ),
    (CrashClass.KV_CACHE_BELOW_ONE_REQUEST, C, "max_model_len at most 26464; KV short by 0.34 GiB", BELOW),
    (CrashClass.KV_CACHE_BELOW_ONE_REQUEST, C, "KV short by 0.34 GiB", BELOW_OLD),
    (CrashClass.KV_CACHE_BELOW_ONE_REQUEST, C, "max_model_len at most 26464", SEQ_LEN),
    (CrashClass.CUDA_OUT_OF_MEMORY, C, "150.00 MiB more could not be allocated", OOM),
    (CrashClass.CUDA_OUT_OF_MEMORY, C, None, "RuntimeError: CUDA error: out of memory"),
    (
        CrashClass.CUDA_OUT_OF_MEMORY,
        C,
        "2.00 GiB more",
        "Exception in worker VllmWorkerProcess while processing method load_model: CUDA out of memory. Tried to allocate 2.00 GiB.",
    ),
    (
        CrashClass.CUDA_OUT_OF_MEMORY,
        C,
        None,
        "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ),
    (CrashClass.HOST_OUT_OF_MEMORY, C, None, "OSError: [Errno 12] Cannot allocate memory"),
    (CrashClass.HOST_OUT_OF_MEMORY, C, None, "MemoryError"),
    (
        CrashClass.HOST_OUT_OF_MEMORY,
        C,
        "8589934592 bytes",
        (
            "RuntimeError: [enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
            "allocate 8589934592 bytes. Error code 12 (Cannot allocate memory)"
        ),
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "max_num_batched_tokens at least 10110",
        VALIDATION.format("SchedulerConfig")
        + "  Value error, max_num_batched_tokens (5289) is smaller than max_model_len (10110). This effectively limits the",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "max_num_seqs at most 512",
        VALIDATION.format("SchedulerConfig")
        + "  Value error, max_num_batched_tokens (512) must be greater than or equal to max_num_seqs (1024). [type=value_error",
    ),
    (CrashClass.INVALID_ARGUMENTS, C, "max_model_len at most 32768", VALIDATION.format("ModelConfig") + TOO_LONG),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "gpu_memory_utilization at most 1",
        VALIDATION.format("CacheConfig")
        + "gpu_memory_utilization\n  Input should be less than or equal to 1 [type=less_than_equal, input_value=1.5]",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        None,
        VALIDATION.format("VllmConfig") + "  Value error, something that no table has ever heard of [type=value_error",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "at most 2",
        VALIDATION.format("ParallelConfig")
        + "  Value error, World size (4) is larger than the number of available GPUs (2) in this node. If this is intentional",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "tensor_parallel_size a divisor of 28",
        "ValueError: Total number of attention heads (28) must be divisible by tensor parallel size (3).",
    ),
    (
        CrashClass.UNSUPPORTED_QUANTIZATION,
        C,
        None,
        VALIDATION.format("ModelConfig")
        + "  Value error, Unknown quantization method: nonesuch. Must be one of ['awq', 'fp8'].",
    ),
    (
        CrashClass.UNSUPPORTED_QUANTIZATION,
        C,
        "compute capability at least 100",
        VALIDATION.format("VllmConfig") + CAPABILITY,
    ),
    (CrashClass.UNSUPPORTED_QUANTIZATION, C, None, "ValueError: Cannot find the config file for awq"),
    (
        CrashClass.UNSUPPORTED_QUANTIZATION,
        C,
        None,
        "ValueError: torch.bfloat16 is not supported for quantization method gptq. Supported dtypes: [torch.float16]",
    ),
    (
        CrashClass.STARTUP_TIMEOUT,
        C,
        "start-up over 600 s",
        (
            "TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow weight loading for "
            "large models. Waited 600s (configured by VLLM_ENGINE_READY_TIMEOUT_S)."
        ),
    ),
    (CrashClass.GPU_FAULT, C, None, "torch.AcceleratorError: CUDA error: an illegal memory access was encountered"),
    (CrashClass.GPU_FAULT, C, None, "RuntimeError: CUDA error: device-side assert triggered"),
    (CrashClass.GPU_FAULT, C, "XID 31", "NVRM: Xid (PCI:0000:3b:00): 31, pid=4509, name=python3, Ch 00000008"),
    (CrashClass.GPU_LOST, I, "XID 79", "NVRM: Xid (PCI:0000:3b:00): 79, pid=4509, GPU has fallen off the bus."),
    (CrashClass.GPU_LOST, I, None, "pynvml.NVMLError_GpuIsLost: GPU is lost"),
    (CrashClass.GPU_LOST, I, None, "RuntimeError: No CUDA GPUs are available"),
    (CrashClass.GPU_LOST, I, None, "RuntimeError: CUDA error: uncorrectable ECC error encountered"),
    (
        CrashClass.COLLECTIVE_FAILURE,
        C,
        None,
        "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
    ),
    (
        CrashClass.SHARED_MEMORY_TOO_SMALL,
        I,
        "160 MiB needed",
        "RuntimeError: Insufficient space in /dev/shm for shared-memory ring buffer: 160 MiB required, 64 MiB free. Increase",
    ),
    (
        CrashClass.SHARED_MEMORY_TOO_SMALL,
        I,
        None,
        (
            "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:1970, unhandled system error\n"
            "Last error:\nError while creating shared memory segment /dev/shm/nccl-bWHyCi (size 9637888)"
        ),
    ),
    (CrashClass.PORT_IN_USE, I, None, "OSError: [Errno 98] Address already in use"),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified",
    ),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "OSError: We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them in the cached files.",
    ),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-66)",
    ),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        VALIDATION.format("ModelConfig")
        + "  Value error, Invalid repository ID or local directory specified: '/models/absent'.",
    ),
    (CrashClass.UNKNOWN, I, "a disk is full", "OSError: [Errno 28] No space left on device: '/root/.cache/vllm'"),
    (
        CrashClass.GPU_MEMORY_REQUEST_TOO_HIGH,
        C,
        "available memory 3.10 of 7.75 GiB",
        "ValueError: Available memory on node 0 (3.10/7.75 GiB) on kv cache allocation is less than requested memory for kv (4.00 GiB).",
    ),
    (
        CrashClass.NO_KV_CACHE_ROOM,
        C,
        "5.20 GiB used",
        "ValueError: The worker already uses 5.20 GiB (model weights and runtime), more than the 4.00 GiB of CPU memory reserved for it on node 0, leaving none for the KV cache.",
    ),
    (
        CrashClass.CUDA_OUT_OF_MEMORY,
        C,
        None,
        "Failed to load model - not enough GPU memory. Try lowering --gpu-memory-utilization to free memory for weights (original error: CUDA out of memory.)",
    ),
    (
        CrashClass.CUDA_OUT_OF_MEMORY,
        C,
        None,
        "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    ),
    (
        CrashClass.HOST_OUT_OF_MEMORY,
        C,
        None,
        "Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "max_num_active_seqs at most 64",
        "ValueError: max_num_active_seqs (128) cannot be greater than max_num_seqs (64).",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        None,
        "pydantic_core._pydantic_core.ValidationError: 2 validation errors for CacheConfig",
    ),
    (
        CrashClass.UNSUPPORTED_QUANTIZATION,
        C,
        None,
        "ImportError: Please install bitsandbytes>=0.46.1 via `pip install bitsandbytes>=0.46.1`",
    ),
    (CrashClass.SHARED_MEMORY_TOO_SMALL, I, None, "Fatal Python error: Bus error"),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded with url: /api/models/x",
    ),
    (CrashClass.MODEL_DOWNLOAD, I, None, "RuntimeError: Cannot find any model weights with `/models/llama`"),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer",
    ),
    (
        CrashClass.GPU_FAULT,
        C,
        None,
        "RuntimeError: CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`",
    ),
    (
        CrashClass.COLLECTIVE_FAILURE,
        C,
        None,
        "RuntimeError: [/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:2734",
    ),
    (
        CrashClass.HANG,
        C,
        "determine_available_memory",
        "TimeoutError: RPC call to determine_available_memory timed out.",
    ),
    (
        CrashClass.NO_KV_CACHE_ROOM,
        C,
        None,
        "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token. Try increasing",
    ),
    (
        CrashClass.GPU_MEMORY_TAKEN,
        I,
        "40.10 of 79.18 GiB held",
        "ValueError: Externally held weights on device cuda:0 (40.10/79.18 GiB) exceed the desired GPU memory utilization (0.4, 31.67 GiB). Increase",
    ),
    (
        CrashClass.GPU_MEMORY_TAKEN,
        I,
        "free memory 30.0 of 79.18 GiB",
        "ValueError: Free memory on device cuda:0 (30.0/79.18 GiB) on startup is less than the engine's budget after excluding external process's weights (0.9, 71.2 GiB).",
    ),
    (
        CrashClass.CUDA_OUT_OF_MEMORY,
        C,
        "1.20 GiB more",
        "RuntimeError: Worker failed with error 'CUDA out of memory. Tried to allocate 1.20 GiB. GPU 0 has', please check the stack trace above for the root cause",
    ),
    (
        CrashClass.CUDA_OUT_OF_MEMORY,
        C,
        None,
        "RuntimeError: CUDA Error: out of memory at /workspace/csrc/cumem_allocator.cpp:62",
    ),
    (CrashClass.CUDA_OUT_OF_MEMORY, C, None, "RuntimeError: Triton Error [CUDA]: out of memory"),
    (
        CrashClass.CUDA_OUT_OF_MEMORY,
        C,
        None,
        "Failed: Cuda error /workspace/csrc/custom_all_reduce.cuh:453 'out of memory'",
    ),
    (
        CrashClass.HOST_OUT_OF_MEMORY,
        C,
        None,
        "RuntimeError: unable to mmap 4976698672 bytes from file </models/model-00001.safetensors>: Cannot allocate memory (12)",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "at most 2",
        "AssertionError: local_world_size (4) must be less than or equal to the number of visible devices (2).",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "at most 1",
        "AssertionError: local_world_size (2) exceeds assigned_physical_gpu_ids count (1)",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "at most 2",
        "ValueError: The number of required GPUs exceeds the total number of available GPUs in the placement group. Required number of devices: 4. Total number of devices: 2.",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "8 GPUs are not there",
        "ValueError: Cannot provide a placement group requiring 8 GPUs (placement_group_specs=[{'GPU': 1.0}]) within 1800 seconds.",
    ),
    (CrashClass.INVALID_ARGUMENTS, C, None, "torch.AcceleratorError: CUDA error: invalid device ordinal"),
    (CrashClass.INVALID_ARGUMENTS, C, "151936 is not divisible by 3", "AssertionError: 151936 is not divisible by 3"),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "28 is not divisible by 3",
        "AssertionError: num_heads (28) is not divisible by num_kv_heads (3)",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "compute capability at least 8.0",
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has compute capability 7.5.",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        None,
        "ValueError: No valid attention backend found for cuda with AttentionSelectorConfig(head_size=80, dtype=torch.bfloat16). Reasons: {FLASH_ATTN: [x]}.",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        None,
        "ValueError: Selected backend AttentionBackendEnum.FLASHMLA is not valid for this configuration. Reason: ['not MLA']",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        None,
        "ValueError: FP8 KV cache is not supported by the Triton attention backend on NVIDIA A100 (compute capability 8.0); native FP8 requires SM89+.",
    ),
    (CrashClass.INVALID_ARGUMENTS, C, None, "ValueError: fp8_e5m2 kv-cache is not supported with fp8 checkpoints."),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        None,
        "NotImplementedError: FlashAttention does not support fp8 kv-cache on this device.",
    ),
    (CrashClass.INVALID_ARGUMENTS, C, "multiple of 16", "ValueError: Block size must be a multiple of 16."),
    (CrashClass.INVALID_ARGUMENTS, C, None, "ValueError: No common block size for 24. "),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        None,
        "ValueError: CUDAGraphMode.FULL is not supported with FlashInferBackend backend (support:NEVER) ; please try cudagraph_mode=PIECEWISE",
    ),
    (
        CrashClass.PORT_IN_USE,
        I,
        None,
        "RuntimeError: Could not find open port after 100 attempts starting from port 29500",
    ),
    (
        CrashClass.PORT_IN_USE,
        I,
        None,
        "torch.distributed.DistNetworkError: The server socket has failed to listen on any local network address. port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: address already in use",
    ),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/llama'.",
    ),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "OSError: Consistency check failed: file should be of size 4976698672 but has size 1048576 (model-00001-of-00004.safetensors).",
    ),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "RuntimeError: Data processing error: CAS service error : ReqwestMiddleware Error: Request failed",
    ),
    (CrashClass.MODEL_DOWNLOAD, I, None, "httpx.ConnectError: [Errno -3] Temporary failure in name resolution"),
    (CrashClass.MODEL_DOWNLOAD, I, None, "httpx.ProxyError: 407 Proxy Authentication Required"),
    (CrashClass.MODEL_DOWNLOAD, I, None, "socket.gaierror: [Errno -2] Name or service not known"),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "requests.exceptions.SSLError: HTTPSConnectionPool(host='hub.corp', port=443): Max retries exceeded with url: /api/models/x (Caused by SSLError(...))",
    ),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "requests.exceptions.ReadTimeout: HTTPSConnectionPool(host='hub.corp', port=443): Read timed out.",
    ),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: https://huggingface.co/api",
    ),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        'botocore.exceptions.EndpointConnectionError: Could not connect to the endpoint URL: "https://s3/m"',
    ),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "botocore.exceptions.ClientError: An error occurred (403) when calling the HeadObject operation: Forbidden",
    ),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "FileNotFoundError: Weight files referenced in index but missing: ['model-00002.safetensors']",
    ),
    (CrashClass.MOUNT, I, None, "OSError: [Errno 116] Stale file handle: '/models/model-00001.safetensors'"),
    (CrashClass.MOUNT, I, None, "OSError: [Errno 30] Read-only file system: '/root/.cache/vllm'"),
    (CrashClass.UNKNOWN, I, "limit of processes", "RuntimeError: can't start new thread"),
    (CrashClass.UNKNOWN, I, "open files", "OSError: [Errno 24] Too many open files"),
    (CrashClass.UNKNOWN, I, None, "PermissionError: [Errno 13] Permission denied: '/root/.cache/huggingface'"),
    (
        CrashClass.UNKNOWN,
        I,
        None,
        "RuntimeError: vLLM failed to compile the model. The most likely reason for this is that a previous compilation failed, leading to a corrupted compilation artifact.",
    ),
    (CrashClass.GPU_LOST, I, None, "RuntimeError: The NVIDIA driver on your system is too old (found version 12020)."),
    (
        CrashClass.GPU_LOST,
        I,
        None,
        "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory",
    ),
    (CrashClass.GPU_LOST, I, None, "Failed to initialize NVML: Unknown Error"),
    (CrashClass.GPU_FAULT, C, None, "RuntimeError: Triton Error [CUDA]: an illegal memory access was encountered"),
    (CrashClass.GPU_FAULT, C, None, "Failed: Cuda error /workspace/csrc/custom_all_reduce.cuh:453 'invalid argument'"),
    (CrashClass.COLLECTIVE_FAILURE, C, None, "RuntimeError: Barrier timed out after 30.0 seconds"),
    (
        CrashClass.COLLECTIVE_FAILURE,
        C,
        None,
        "torch.distributed.DistStoreError: Timed out after 601 seconds waiting for clients. 1/2 clients joined.",
    ),
    (
        CrashClass.STARTUP_TIMEOUT,
        C,
        None,
        "RuntimeError: Did not receive response from front-end process within 5 minutes",
    ),
    (
        CrashClass.CUDA_OUT_OF_MEMORY,
        C,
        None,
        "torch.OutOfMemoryError: Allocation on device 0 would exceed allowed memory.",
    ),
    (
        CrashClass.HOST_OUT_OF_MEMORY,
        C,
        None,
        "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.",
    ),
    (
        CrashClass.HOST_OUT_OF_MEMORY,
        C,
        None,
        "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 2.00 GiB for an array",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        None,
        "ValueError: Model architectures ['FooForCausalLM'] are not supported for now.",
    ),
    (
        CrashClass.UNSUPPORTED_QUANTIZATION,
        C,
        None,
        "ValueError: Weight output_size_per_partition = 4736 is not divisible by min_thread_n = 64. Consider reducing tensor_parallel_size",
    ),
    (CrashClass.GPU_LOST, I, None, "pynvml.NVMLError_DriverNotLoaded: Driver Not Loaded"),
    (
        CrashClass.MODEL_DOWNLOAD,
        I,
        None,
        "OSError: Can't load tokenizer for '/models/llama'. If you were trying to load it from",
    ),
    (
        CrashClass.SHARED_MEMORY_TOO_SMALL,
        I,
        None,
        "RuntimeError: DataLoader worker (pid 88) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory.",
    ),
    (
        CrashClass.INVALID_ARGUMENTS,
        C,
        "max_num_batched_tokens at least 16384",
        "ValueError: Chunked MM input disabled but max_tokens_per_mm_item (16384) is larger than max_num_batched_tokens (2048). Please increase max_num_batched_tokens.",
    ),
]
