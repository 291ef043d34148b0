"""What servers print when the machine, the network or a neighbour fails them, and when they stop making progress.

The same form and the same sources as `crash_patterns`; issues of vllm-project/vllm where a source cannot show it.
"""

import re
from typing import Final

from sloguard.api.v1alpha1 import CrashClass, Fault

from .crash_pattern import Pattern, Rank
from .proof import says, sized

XID_OF_A_LOST_CARD: Final = "48|62|63|64|74|79|92|94|95|110|119|120|136|140|143|154|155|156|158"

INFRASTRUCTURE: Final = (
    Pattern(
        crash_class=CrashClass.SHARED_MEMORY_TOO_SMALL,
        needles=("Insufficient space in",),
        regex=re.compile(
            r"Insufficient space in \S*shm\S*(?:.{0,400}?(?P<needed>[\d.]+) MiB (?:required|are needed)"
            r"(?:, (?P<free>[\d.]+) MiB free)?)?"
        ),
        limit=sized("shared memory of {needed} MiB needed", unit="MiB", needed_shared_memory_bytes="needed"),
        confidence=98,
        serving=True,
        front_end=True,
        seen="0.33.0; CPU 0.32.0",
    ),
    Pattern(
        crash_class=CrashClass.SHARED_MEMORY_TOO_SMALL,
        needles=("dev/shm", "shared memory (shm)", "out of shared memory"),
        regex=re.compile(
            r"Error while (?:creating|attaching to) shared memory segment /dev/shm"
            r"|No space left on device.{0,80}/dev/shm|/dev/shm.{0,160}No space left on device"
            r"|insufficient shared memory \(shm\)|workers are out of shared memory"
        ),
        confidence=92,
        serving=True,
        front_end=True,
        seen="NCCL 2.18 to 2.27 (issues 4383, 6574, 18831), Python, torch",
    ),
    Pattern(
        crash_class=CrashClass.SHARED_MEMORY_TOO_SMALL,
        needles=("Bus error",),
        regex=re.compile(r"Fatal Python error: Bus error|\bBus error \(core dumped\)"),
        confidence=50,
        rank=Rank.SYMPTOM,
        serving=True,
        front_end=True,
        seen="Linux: a page of a full tmpfs was touched; other mapped files can do it too",
    ),
    Pattern(
        crash_class=CrashClass.PORT_IN_USE,
        needles=("ddress already in use", "EADDRINUSE", "Could not find open port", "nly one usage of each socket"),
        regex=re.compile(
            r"[Aa]ddress already in use|EADDRINUSE|Could not find open port|Only one usage of each socket"
        ),
        confidence=97,
        serving=True,
        front_end=True,  # uvicorn binds after "Application startup complete"
        seen="H200 0.24.0; uvicorn, ZeroMQ, c10d",
    ),
    Pattern(
        crash_class=CrashClass.MODEL_DOWNLOAD,
        needles=("LocalEntryNotFoundError", "OfflineModeIsEnabled", "t connect to", "HfHubHTTPError"),
        regex=re.compile(
            r"\bLocalEntryNotFoundError\b|\bOfflineModeIsEnabled\b|\bHfHubHTTPError\b"
            r"|couldn't connect to 'https?://[^']+'|Can't connect to HTTPS URL"
        ),
        confidence=96,
        seen="H200 0.24.0; huggingface_hub, transformers",
    ),
    Pattern(
        crash_class=CrashClass.MODEL_DOWNLOAD,
        needles=("RepoError", "NotFoundError", "gated repo", "model identifier", "epository ID"),
        regex=re.compile(
            r"\bGatedRepoError\b|\bRepositoryNotFoundError\b|\bRevisionNotFoundError\b|\bRemoteEntryNotFoundError\b"
            r"|trying to access a gated repo|is not a local folder and is not a valid model identifier"
            r"|Invalid repository ID or local directory specified"
        ),
        confidence=94,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0; huggingface_hub, transformers",
    ),
    Pattern(
        crash_class=CrashClass.MODEL_DOWNLOAD,
        needles=("Max retries exceeded", "Client Error", "Server Error", "ailed to resolve", "ReadTimeout"),
        regex=re.compile(
            r"(?:huggingface\.co|hf\.co|hf-mirror|modelscope).{0,300}(?:Max retries exceeded|Read timed out)"
            r"|(?:\d{3} (?:Client|Server) Error|Failed to resolve).{0,200}(?:huggingface\.co|hf\.co|modelscope)"
        ),
        confidence=93,
        seen="requests, urllib3, httpx under huggingface_hub",
    ),
    Pattern(
        crash_class=CrashClass.MODEL_DOWNLOAD,
        needles=("Cannot find any model weights", "SafetensorError", "does not appear to have a file"),
        regex=re.compile(
            r"Cannot find any model weights with|SafetensorError: .{0,200}(?:deserializing header|[Ii]ncomplete)"
            r"|does not appear to have (?:a file named|files named)"
        ),
        confidence=85,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0; safetensors, transformers: the download is not whole",
    ),
    Pattern(
        crash_class=CrashClass.MODEL_DOWNLOAD,
        needles=(
            *("HFValidationError", "Consistency check failed", "hf_transfer", "CAS service error", "reconstruction"),
            *("PytorchStreamReader failed", "Weight files referenced in index", "not find checkpoint files"),
            *("Unable to load", "an't load tokenizer", "an't load the configuration"),
            *("ind any safetensors model weights", "Failed to load mistral", "modelscope", "o file named"),
        ),
        regex=re.compile(
            r"\bHFValidationError\b|Consistency check failed: file should be of size"
            r"|error occurred while downloading using `?hf_transfer|CAS service error|[Ff]ile reconstruction error"
            r"|PytorchStreamReader failed|Weight files referenced in index but missing|Could not find checkpoint files"
            r"|Cannot find any safetensors model weights|Failed to load mistral .{0,40}config|Error no file named"
            r"|Unable to load (?:vocabulary|weights) from|Can't load (?:tokenizer for|the configuration of)"
            r"|modelscope\.\S{0,60}(?:Error|NotExist)"
        ),
        confidence=88,
        seen="0.19.0, 0.24.0, 0.28.0, 0.33.0; huggingface_hub, hf_xet, torch, transformers, modelscope",
    ),
    Pattern(
        crash_class=CrashClass.MODEL_DOWNLOAD,
        needles=(
            *(
                "gaierror",
                "NameResolutionError",
                "ProxyError",
                "SSLError",
                "ConnectTimeout",
                "ConnectError",
                "ReadTimeout",
            ),
            *(
                "NewConnectionError",
                "Max retries exceeded",
                "EndpointConnectionError",
                "NoCredentialsError",
                "botocore",
            ),
            *(
                "DefaultCredentialsError",
                "google.api_core",
                "azure.core",
                "CERTIFICATE_VERIFY_FAILED",
                "HTTPStatusError",
            ),
            *("HTTPError", "IncompleteRead", "ChunkedEncodingError", "RemoteProtocolError", "ClientConnectorError"),
        ),
        regex=re.compile(
            r"^(?:[|+-]\s*)*(?:(?:requests|urllib3?|httpx|httpcore|aiohttp|socket|ssl|http|botocore|boto3|google|azure"
            r"|modelscope)\b[\w.]*\.)?(?:gaierror|NameResolutionError|ProxyError|SSLError|SSLCertVerificationError"
            r"|ConnectTimeoutError|ConnectTimeout|ConnectError|ReadTimeout|ReadTimeoutError|NewConnectionError|MaxRetryError|HTTPError"
            r"|HTTPStatusError|IncompleteRead|ChunkedEncodingError|RemoteProtocolError|EndpointConnectionError"
            r"|ClientConnectorError|NoCredentialsError|ClientError|DefaultCredentialsError|Forbidden|NotFound"
            r"|ResourceNotFoundError|ClientAuthenticationError)(?::|$)"
            r"|requests\.exceptions\.ConnectionError: |: Max retries exceeded with url: "
        ),
        confidence=82,
        seen="requests, urllib3, httpx, aiohttp, botocore, google and azure clients: what a start fetches is the model",
    ),
    Pattern(
        crash_class=CrashClass.MOUNT,
        needles=(
            "Stale file handle",
            "Transport endpoint is not connected",
            "Input/output error",
            "Read-only file system",
        ),
        regex=re.compile(
            r"Errno (?:116|107|5|30)\] (?:Stale file handle|Transport endpoint is not connected|Input/output error"
            r"|Read-only file system)|Stale file handle"
        ),
        confidence=85,
        serving=True,
        front_end=True,
        seen="Linux: a network file system went away, or a volume cannot be written",
    ),
    Pattern(
        crash_class=CrashClass.UNKNOWN,
        fault=Fault.INFRASTRUCTURE,
        needles=("Too many open files", "can't start new thread", "pthread_create", "Resource temporarily unavailable"),
        regex=re.compile(
            r"^(?:[|+-]\s*)*(?:[\w.]+: )?\[Errno 24\] Too many open files|^RuntimeError: can't start new thread"
            r"|pthread_create(?: failed|\(\) failed)?.{0,80}(?:Resource temporarily unavailable|failed)"
            r"|Errno 11\] Resource temporarily unavailable"
        ),
        limit=says("the container's limit of processes or open files is reached"),
        confidence=80,
        serving=True,
        front_end=True,
        seen="Linux, Python, OpenBLAS",
    ),
    Pattern(
        crash_class=CrashClass.UNKNOWN,
        fault=Fault.INFRASTRUCTURE,
        needles=(
            "Permission denied",
            "corrupted compilation artifact",
            "Inductor cache lookup failed",
            "ind C compiler",
        ),
        regex=re.compile(
            r"^PermissionError: \[Errno 13\]|corrupted compilation artifact|Inductor cache lookup failed"
            r"|Failed to find C compiler"
        ),
        confidence=70,
        seen="Python, Triton; 0.19.0, 0.24.0, 0.28.0, 0.33.0: a folder, the compile cache or the image is not right",
    ),
    Pattern(
        crash_class=CrashClass.UNKNOWN,
        fault=Fault.INFRASTRUCTURE,
        needles=("No space left on device", "Disk quota exceeded"),
        regex=re.compile(r"No space left on device|Disk quota exceeded"),
        limit=says("a disk is full"),
        confidence=85,
        serving=True,
        front_end=True,
        seen="Linux",
    ),
)

DEVICE: Final = (
    Pattern(
        crash_class=CrashClass.GPU_LOST,
        needles=("Xid",),
        regex=re.compile(rf"\bXid\b(?: \([^)]*\))?:? (?P<xid>{XID_OF_A_LOST_CARD})\b"),
        limit=says("XID {xid}"),
        confidence=96,
        serving=True,
        seen="the NVIDIA driver",
    ),
    Pattern(
        crash_class=CrashClass.GPU_LOST,
        needles=("allen off the bus", "GPU is lost", "GpuIsLost", "GPU_IS_LOST", "ncorrectable", "ncontained"),
        regex=re.compile(
            r"fallen off the bus|GPU is lost|NVMLError_GpuIsLost|NVML_ERROR_GPU_IS_LOST"
            r"|uncorrectable (?:ECC|NVLink) error|[Uu]ncontained memory error"
        ),
        confidence=96,
        serving=True,
        seen="CUDA, NVML",
    ),
    Pattern(
        crash_class=CrashClass.GPU_LOST,
        needles=("CUDA", "NVIDIA", "NVML", "device type", "display driver", "libcuda.so", "cudaGetDeviceCount"),
        regex=re.compile(
            r"Unexpected error from cudaGetDeviceCount"
            r"|NVIDIA driver on your system is too old|CUDA driver version is insufficient|unsupported display driver"
            r"|libcuda\.so(?:\.1)?: cannot open shared object|NVML Shared Library Not Found|NVMLError_LibraryNotFound"
            r"|\bNVMLError_(?!GpuIsLost)\w+|Failed to initialize NVML|NVML returned no GPU PCI bus ID"
            r"|No CUDA GPUs are available|[Nn]o CUDA-capable device is detected|Found no NVIDIA driver"
            r"|Failed to infer device type|CUDA-capable device\(s\) is/are busy or unavailable"
            r"|NVML: Driver/library version mismatch|CUDA driver initialization failed|CUDA unknown error"
            r"|CUDA error: (?:initialization error|system not yet initialized)"
        ),
        confidence=80,
        seen="torch 2.x, NVML, vLLM 0.8.5 to 0.33.0: the container has no usable GPU",
    ),
    Pattern(
        crash_class=CrashClass.GPU_FAULT,
        needles=("Xid",),
        regex=re.compile(r"\bXid\b(?: \([^)]*\))?:? (?P<xid>13|31|32|43|45|68|69)\b"),
        limit=says("XID {xid}"),
        confidence=85,
        serving=True,
        seen="the NVIDIA driver",
    ),
    Pattern(
        crash_class=CrashClass.GPU_FAULT,
        needles=("CUDA", "Cuda failure", "Cuda error", "HIP error"),
        regex=re.compile(
            r"(?:(?:CUDA|HIP)(?: driver| runtime)? [Ee]rror(?: \[CUDA\])?: |Triton Error \[CUDA\]: |CUDART error: "
            r"|Cuda (?:failure|error).{0,120}')(?:an )?(?:illegal memory access"
            r"|illegal instruction|unspecified launch failure|misaligned address|device-side assert"
            r"|invalid program counter|hardware stack error|operation not supported on global/shared address space"
            r"|no kernel image is available|invalid (?:device function|configuration argument|argument)"
            r"|the launch timed out|too many resources requested|device kernel image is invalid|unknown error)"
        ),
        confidence=95,
        serving=True,
        seen="CUDA runtime and driver, every version",
    ),
    Pattern(
        crash_class=CrashClass.GPU_FAULT,
        needles=("EXECUTION_FAILED", "_STATUS_INTERNAL_ERROR"),
        regex=re.compile(r"CU(?:BLAS|DNN|SPARSE)_STATUS_(?:EXECUTION_FAILED|INTERNAL_ERROR)"),
        confidence=75,
        rank=Rank.SYMPTOM,
        serving=True,
        seen="cuBLAS, cuDNN",
    ),
)

PROGRESS: Final = (
    Pattern(
        crash_class=CrashClass.COLLECTIVE_FAILURE,
        needles=("NCCL", "nccl", "RCCL"),
        regex=re.compile(
            r"\b[NR]CCL error\b|\bnccl(?:System|UnhandledCuda|Internal|Remote)Error\b|\bDistBackendError\b"
            r"|collective operation timeout|NCCL communicator was aborted|NCCL WARN .{0,200}(?:failed|error|[Tt]imeout)"
        ),
        confidence=90,
        rank=Rank.SYMPTOM,
        serving=True,
        seen="torch 2.x, NCCL 2.x, pynccl of vLLM 0.8.5 to 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.COLLECTIVE_FAILURE,
        needles=(
            *("EP all2all communication", "collective operation timeout", "gloo", "DistStoreError", "DistNetworkError"),
            *("Barrier", "waiting for clients", "socket has timed out"),
        ),
        regex=re.compile(
            r"Fault detected in EP all2all communication|collective operation timeout"
            r"|\bDist(?:Store|Network)Error\b|Barrier (?:departure )?timed out after \d"
            r"|Timed out after \d+ seconds waiting for clients|client socket has timed out after"
            r"|gloo.{0,200}(?:Timed out waiting|Connection (?:refused|reset|closed by peer)|timed out)"
        ),
        confidence=85,
        rank=Rank.SYMPTOM,
        serving=True,
        seen="0.19.0, 0.24.0, 0.28.0, 0.33.0; torch 2.x (Gloo, c10d)",
    ),
    Pattern(
        crash_class=CrashClass.HANG,
        needles=("RPC call to", "iteration timed out"),
        regex=re.compile(r"RPC call to (?P<method>\w+) timed out|Engine iteration timed out"),
        limit=says("{method} did not return"),
        confidence=90,
        rank=Rank.SYMPTOM,
        serving=True,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.STARTUP_TIMEOUT,
        needles=("imed out waiting for", "response from front-end process", "failed to report ZMQ addresses"),
        regex=re.compile(
            r"Did not receive response from front-end process within|failed to report ZMQ addresses within timeout"
            r"|Timed out waiting for (?:new )?engines?\b(?:.{0,400}?Waited (?P<seconds>\d+)\s?s)?"
        ),
        limit=says("start-up over {seconds} s"),
        confidence=95,
        seen="0.11.0, 0.19.0, 0.20.2, 0.30.0, 0.33.0",
    ),
)

MACHINE_PATTERNS: Final = INFRASTRUCTURE + DEVICE + PROGRESS
