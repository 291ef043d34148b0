"""What servers print when their configuration does not work, one row a message.

Sources read: the wheels of vLLM 0.8.5, 0.11.0, 0.19.0, 0.20.2, 0.24.0, 0.28.0, 0.30.0 and 0.33.0; "H100",
"H200" and "CPU" are running servers.
Within a line the first row that fits counts, so what is specific stands before what is general.
"""

import re
from re import Match
from typing import Final

from sloguard.api.v1alpha1 import CrashClass, CrashPhase, KnobName, Proof

from .crash_pattern import Pattern, Rank
from .proof import (
    GIB,
    NOTHING,
    Context,
    Proven,
    at_least,
    at_most,
    bounded,
    counts,
    in_bytes,
    is_share,
    proof,
    says,
    share_bounded,
    sized,
    together,
)

_EMPTY_CARD_SHARE: Final = 0.07
_EMPTY_CARD_LEAST_GIB: Final = 1.0
_EMPTY_CARD_MOST_GIB: Final = 2.0


def _on_an_empty_card(match: Match[str]) -> bool:
    """Only a CUDA context's worth is missing: no neighbour, and no retry, can make this start.

    Seen: 23.49 of 24 GiB and 7.49 of 8 GiB (6.4 %) with nobody else on the card.
    """
    free, total = float(match["free"]), float(match["total"])
    context = min(max(total * _EMPTY_CARD_SHARE, _EMPTY_CARD_LEAST_GIB), _EMPTY_CARD_MOST_GIB)
    return total - free <= context


def _somebody_else_has_it(match: Match[str]) -> bool:
    return not _on_an_empty_card(match)


def _highest_utilization(match: Match[str], context: Context) -> Proven | None:
    free, total = float(match["free"]), float(match["total"])
    memory = _free_memory(match, context)
    if memory is None or total <= 0:
        return memory
    setting = KnobName.GPU_MEMORY_UTILIZATION.value
    said = f"{setting} at most {int(free / total * 1000) / 1000:.3f}"
    bound = Proven(said, share_bounded(setting, at_most=free / total))
    return together(memory, bound)


_free_memory: Final = sized(
    "free memory {free} of {total} GiB",
    unit="GiB",
    free_device_memory_bytes="free",
    device_memory_bytes="total",
)


def _missing_kv(match: Match[str], context: Context) -> Proven:
    needed, available = float(match["needed"]), float(match["available"])
    short = Proven(
        f"KV short by {needed - available:.2f} GiB",
        proof(
            needed_kv_cache_bytes=round(needed * GIB),
            available_kv_cache_bytes=round(available * GIB),
            short_kv_cache_bytes=round((needed - available) * GIB),
        ),
    )
    longest = _longest(match, context)
    return together(longest, short) if longest else short


def _negative_kv(_: Match[str], context: Context) -> Proven | None:
    """Beside what the log said was left: graphs can be done without (enforce_eager)."""
    available, graphs = context.memory("available"), context.memory("graphs") or context.memory("estimate")
    if available is None or available > 0:
        return None
    figures = proof(available_kv_cache_bytes=available, short_kv_cache_bytes=-available, cuda_graph_bytes=graphs)
    said = f"KV short by {abs(available) / GIB:.2f} GiB"
    return Proven(f"{said}; CUDA graphs need {graphs / GIB:.2f} GiB" if graphs else said, figures)


def _bounded_field(match: Match[str], context: Context) -> Proven | None:
    """Pydantic names the field on the line before."""
    if match["kind"] is None or not re.fullmatch(r"[A-Za-z_][\w.]*", context.previous):
        return None
    words = {"greater than or equal to": "at least", "less than or equal to": "at most"}
    kind, bound = words.get(match["kind"], match["kind"]), match["bound"]
    return Proven(f"{context.previous} {kind} {bound}", _field_bound(context.previous, kind, bound))


def _field_bound(setting: str, kind: str, bound: str) -> Proof:
    if is_share(setting) and kind == "at most":
        return share_bounded(setting, at_most=float(bound))
    if not bound.isdecimal():
        return NOTHING
    limits = {"at least": 0, "greater than": 1, "at most": 0, "less than": -1}
    value = int(bound) + limits[kind]
    return bounded(setting, at_least=value) if kind in {"at least", "greater than"} else bounded(setting, at_most=value)


def _most_gpus(match: Match[str], _: Context) -> Proven:
    gpus = match["gpus"] or match["of"]
    return Proven(f"tensor_parallel_size times pipeline_parallel_size at most {gpus}", proof(gpus=int(gpus)))


def _not_allocated(match: Match[str], _: Context) -> Proven | None:
    """What was free beside it is said by most versions of torch."""
    if match["size"] is None:
        return None
    figures = proof(
        unallocated_bytes=in_bytes(match["size"]),
        device_memory_bytes=in_bytes(match["total"] or ""),
        free_device_memory_bytes=in_bytes(match["free"] or ""),
    )
    return Proven(f"{match['size']} more could not be allocated", figures)


_longest: Final = at_most("max_model_len", "length")

_FREE_MEMORY: Final = re.compile(
    r"Free memory on device\s?\S* \((?P<free>\d{1,9}(?:\.\d{1,9})?)\s?/\s?(?P<total>\d{1,9}(?:\.\d{1,9})?) GiB\)"
    r"\s+(?:on startup\s+)?is less than\b"
)

MEMORY: Final = (
    Pattern(
        crash_class=CrashClass.GPU_MEMORY_REQUEST_TOO_HIGH,
        needles=("Free memory on device",),
        regex=_FREE_MEMORY,
        accepts=_on_an_empty_card,
        limit=_highest_utilization,
        confidence=95,
        seen="0.11.0, 0.19.0, 0.33.0; H200 0.24.0",
    ),
    Pattern(
        crash_class=CrashClass.GPU_MEMORY_TAKEN,
        needles=("Free memory on device",),
        regex=_FREE_MEMORY,
        accepts=_somebody_else_has_it,
        limit=_free_memory,
        confidence=95,
        seen="0.11.0, 0.19.0, 0.33.0; H100 0.24.0",
    ),
    Pattern(
        crash_class=CrashClass.GPU_MEMORY_TAKEN,
        needles=("Error in memory profiling",),
        regex=re.compile(
            r"Error in memory profiling\..{0,200}?Initial free memory (?P<before>[\d.]+).{0,200}?"
            r"current free memory (?P<after>[\d.]+)"
        ),
        limit=says("free memory rose from {before} to {after} while profiling: a neighbour came or went"),
        confidence=90,
        seen="0.8.5 (bytes), 0.11.0, 0.19.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.GPU_MEMORY_TAKEN,
        needles=("held weights on device",),
        regex=re.compile(r"Externally held weights on device \S* \((?P<held>[\d.]+)/(?P<total>[\d.]+) GiB\) exceed"),
        limit=says("{held} of {total} GiB held by another process's weights"),
        confidence=90,
        seen="0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.GPU_MEMORY_REQUEST_TOO_HIGH,
        needles=("Available memory on node",),
        regex=re.compile(
            r"Available memory on node \S+ \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\) on .{1,40}is less than"
        ),
        limit=says("available memory {free} of {total} GiB"),
        confidence=70,
        seen="0.33.0 on CPUs, where gpu_memory_utilization is a share of the host's memory",
    ),
    Pattern(
        crash_class=CrashClass.NO_KV_CACHE_ROOM,
        needles=("No available memory for",),
        regex=re.compile(r"No available memory for (?:the )?cache blocks"),
        limit=_negative_kv,
        confidence=98,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0; H100, H200 0.24.0",
    ),
    Pattern(
        crash_class=CrashClass.NO_KV_CACHE_ROOM,
        needles=("auto-fit max_model_len",),
        regex=re.compile(r"Cannot auto-fit max_model_len: not enough GPU memory"),
        limit=_negative_kv,
        confidence=97,
        seen="0.19.0, 0.24.0, 0.28.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.NO_KV_CACHE_ROOM,
        needles=("leaving none for the KV cache",),
        regex=re.compile(r"already uses (?P<used>[\d.]+) GiB .{0,300}?leaving none for the KV cache"),
        limit=says("{used} GiB used before any KV cache"),
        confidence=95,
        seen="0.33.0 on CPUs",
    ),
    Pattern(
        crash_class=CrashClass.NO_KV_CACHE_ROOM,
        needles=("Mamba cache blocks",),
        regex=re.compile(r"max_num_seqs \(\d+\) exceeds available Mamba cache blocks \((?P<blocks>\d+)\)"),
        limit=at_most("max_num_seqs", "blocks"),
        confidence=90,
        seen="0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.KV_CACHE_BELOW_ONE_REQUEST,
        needles=("o serve at least one request",),
        regex=re.compile(
            r"o serve at least one request with the models?'s max seq len \(\d+\),?\s+\(?"
            r"(?P<needed>\d{1,9}(?:\.\d{1,9})?) GiB KV cache is needed, which is larger than the available "
            r"KV cache memory \((?P<available>-?\d{1,9}(?:\.\d{1,9})?) GiB\)"
            r"(?:.{0,400}?estimated maximum model length is (?P<length>\d+))?"
        ),
        limit=_missing_kv,
        confidence=98,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0; H100, H200 0.24.0",
    ),
    Pattern(
        crash_class=CrashClass.KV_CACHE_BELOW_ONE_REQUEST,
        needles=("max seq len (",),
        regex=re.compile(
            r"max seq len \(\d+\) is larger than the maximum number of tokens that can be stored in KV cache "
            r"\((?P<length>\d+)\)"
        ),
        limit=_longest,
        confidence=98,
        seen="0.8.5 (engine V0)",
    ),
    Pattern(
        crash_class=CrashClass.CUDA_OUT_OF_MEMORY,
        needles=("when warming up",),
        regex=re.compile(r"out of memory occurred when warming up (?:sampler|pooler) with (?P<seqs>\d+) dummy"),
        phase=CrashPhase.SAMPLER,
        limit=at_most("max_num_seqs", "seqs", "max_num_seqs below {seqs}", less=1),
        confidence=98,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0; H200 0.24.0",
    ),
    Pattern(
        crash_class=CrashClass.CUDA_OUT_OF_MEMORY,
        needles=("not enough GPU memory",),
        regex=re.compile(r"Failed to load model - not enough GPU memory"),
        phase=CrashPhase.LOAD,
        confidence=97,
        seen="0.11.0, 0.19.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.CUDA_OUT_OF_MEMORY,
        needles=(" out of memory",),
        regex=re.compile(
            r"(?:^|Worker failed with error ['\"]"
            r"|(?:OutOfMemoryError|RuntimeError|AcceleratorError|while processing method)\b.{0,40}?: )"
            r"(?:CUDA|HIP|XPU) out of memory\b"
            r"(?:\. Tried to allocate (?P<size>[\d.]+ [KMGT]iB)"
            r"(?:\. GPU \d+ has a total capacity of (?P<total>[\d.]+ [KMGT]iB)"
            r" of which (?P<free>[\d.]+ (?:[KMGT]i)?B|0 bytes) is free)?)?"
        ),
        limit=_not_allocated,
        confidence=97,
        serving=True,
        seen="torch 2.x; H100, H200 0.24.0",
    ),
    Pattern(
        crash_class=CrashClass.CUDA_OUT_OF_MEMORY,
        needles=("out of memory", "CUDA_ERROR_OUT_OF_MEMORY", "cudaErrorMemoryAllocation", "ALLOC_FAILED"),
        regex=re.compile(
            r"(?:CUDA|HIP) (?:driver |runtime )?[Ee]rror(?: \[CUDA\])?: out of memory|CUDA_ERROR_OUT_OF_MEMORY"
            r"|cudaErrorMemoryAllocation|Triton Error \[CUDA\]: out of memory|CUDART error: out of memory"
            r"|Cuda (?:failure|error).{0,120}'out of memory'|CU(?:BLAS|DNN)_STATUS_ALLOC_FAILED"
        ),
        confidence=92,
        serving=True,
        seen="CUDA runtime and driver, cuBLAS, NCCL 2.x, Triton; vLLM's own allocator and all-reduce",
    ),
    Pattern(
        crash_class=CrashClass.CUDA_OUT_OF_MEMORY,
        needles=("torch.OutOfMemoryError: ", "torch.cuda.OutOfMemoryError: "),
        regex=re.compile(r"^torch\.(?:cuda\.)?OutOfMemoryError: "),
        confidence=92,
        serving=True,
        seen="torch 2.x, with an allocator of its own words",
    ),
    Pattern(
        crash_class=CrashClass.CUDA_OUT_OF_MEMORY,
        needles=("CUBLAS_STATUS_NOT_INITIALIZED",),
        regex=re.compile(r"CUBLAS_STATUS_NOT_INITIALIZED when calling `?cublasCreate"),
        confidence=60,
        rank=Rank.SYMPTOM,
        serving=True,
        seen="torch 2.x: cuBLAS found no memory for its workspace",
    ),
    Pattern(
        crash_class=CrashClass.HOST_OUT_OF_MEMORY,
        needles=(
            *("MemoryError", "annot allocate memory", "an't allocate memory", "not enough memory: you tried"),
            *("bad_alloc", "Out of memory: Killed", "ray.exceptions.OutOfMemoryError"),
        ),
        regex=re.compile(
            r"^(?:\w+\.)*(?:_Array)?MemoryError(?::(?! Not enough space in the data buffer)|$)"
            r"|Errno 12\] Cannot allocate memory|unable to mmap .{0,300}Cannot allocate memory|std::bad_alloc"
            r"|DefaultCPUAllocator: (?:can't allocate|not enough) memory(?:: you tried to allocate (?P<size>\d+))?"
            r"|Out of memory: Killed process|^ray\.exceptions\.OutOfMemoryError: "
        ),
        limit=sized("{size} bytes more could not be allocated", unit="B", unallocated_bytes="size"),
        confidence=90,
        serving=True,
        front_end=True,
        seen="Python, libc, torch 2.x on CPUs, the Linux kernel",
    ),
    Pattern(
        crash_class=CrashClass.HOST_OUT_OF_MEMORY,
        needles=("exit code", "Failed core proc"),
        regex=re.compile(
            r"died(?: unexpectedly)?(?:,| \(| with) ?exit code:? -9\b"
            r"|Failed (?:core|frontend) proc\(s\): \{[^}]*: -9\b"
        ),
        confidence=55,
        rank=Rank.SYMPTOM,
        serving=True,
        front_end=True,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0; CPU 0.32.0; a person may have sent the signal",
    ),
)

ARGUMENTS: Final = (
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=(": error: ",),
        regex=re.compile(
            r"(?:^|\s)\S+(?: [\w-]+){0,2}: error: (?:unrecognized arguments: |argument -"
            r"|the following arguments are required|ambiguous option|one of the arguments)"
            r"|^(?:\S*/)?(?:vllm|\S+\.py)(?: [\w-]+){0,2}: error: \S"
        ),
        confidence=99,
        seen="argparse of every version; exit code 2",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("is smaller than max_model_len",),
        regex=re.compile(r"max_num_batched_tokens \(\d+\) is smaller than max_model_len \((?P<length>\d+)\)"),
        limit=at_least(
            "max_num_batched_tokens",
            "length",
            "max_num_batched_tokens at least {length} while chunked prefill is off",
        ),
        confidence=99,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0; H200 0.24.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("max_num_seqs",),
        regex=re.compile(
            r"max_num_batched_tokens \((?P<tokens>\d+)\) must be greater than or equal to max_num_seqs \(\d+\)"
        ),
        limit=at_most("max_num_seqs", "tokens"),
        confidence=99,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0; H100 0.24.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("max_tokens_per_mm_item",),
        regex=re.compile(r"max_tokens_per_mm_item \((?P<tokens>\d+)\) is larger than max_num_batched_tokens"),
        limit=at_least("max_num_batched_tokens", "tokens"),
        confidence=97,
        seen="0.20.2, 0.30.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("max_num_active_seqs",),
        regex=re.compile(r"max_num_active_seqs \(\d+\) cannot be greater than max_num_seqs \((?P<seqs>\d+)\)"),
        limit=at_most("max_num_active_seqs", "seqs"),
        confidence=99,
        seen="0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("derived max_model_len",),
        regex=re.compile(
            r"User-specified max_model_len \(\d+\) is greater than the derived max_model_len "
            r"\([\w.]+=(?P<length>\d+)"
        ),
        limit=_longest,
        confidence=99,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("is larger than the number of available GPUs",),
        regex=re.compile(r"World size \(\d+\) is larger than the number of available GPUs \((?P<gpus>\d+)\)"),
        limit=counts("tensor_parallel_size times pipeline_parallel_size at most {gpus}", gpus="gpus"),
        confidence=97,
        seen="0.19.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=(
            "visible device",
            "visible XPU devices",
            "assigned_physical_gpu_ids count",
            "total number of available",
        ),
        regex=re.compile(
            r"(?:local_world_size|replica size) \(\d+\) (?:must be less than or equal to|exceeds) .{0,60}?"
            r"(?:devices|count) \((?P<gpus>\d+)\)"
            r"|number of required \w+ exceeds the total number of available .{0,120}"
            r"Total number of devices: (?P<of>\d+)"
        ),
        limit=_most_gpus,
        confidence=95,
        seen="0.19.0, 0.24.0, 0.28.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=(
            "invalid device ordinal",
            "Cannot provide a placement group requiring",
            "Not enough resources to allocate",
        ),
        regex=re.compile(
            r"CUDA error: invalid device ordinal|Cannot provide a placement group requiring (?P<asked>\d+) GPUs"
            r"|Not enough resources to allocate \d+ (?:DP ranks|placement groups)"
        ),
        limit=says("{asked} GPUs are not there"),
        confidence=85,
        seen="CUDA runtime; 0.19.0, 0.24.0, 0.28.0, 0.33.0 with Ray",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("is not divisible by",),
        regex=re.compile(
            r"(?:AssertionError: |\()?(?P<heads>\d+)\)? is not divisible by (?!min_thread|group_size)\D{0,40}\(?"
            r"(?P<parts>\d+)"
        ),
        limit=says("{heads} is not divisible by {parts}: tensor_parallel_size has to divide the model"),
        confidence=85,
        seen="0.8.5, 0.11.0, 0.19.0, 0.24.0, 0.28.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("odel architecture",),
        regex=re.compile(
            r"Model architectures? .{0,200}(?:are|is) not supported|architectures? .{0,200}failed to be inspected"
        ),
        confidence=88,
        seen="0.8.5, 0.11.0, 0.19.0, 0.24.0, 0.28.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("only supported on GPUs with compute capability",),
        regex=re.compile(
            r"(?:Bfloat16|bfloat16) is only supported on GPUs with compute capability of at least (?P<needed>[\d.]+\d)"
        ),
        limit=says("compute capability at least {needed} for this dtype"),
        confidence=97,
        seen="0.8.5, 0.11.0, 0.19.0, 0.24.0, 0.28.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("attention backend", "not valid for this configuration", "prefill backend"),
        regex=re.compile(
            r"No valid (?:\w+ ){0,3}(?:attention|prefill) backend found|Invalid attention backend for"
            r"|Selected (?:\w+ ){0,3}backend .{0,120}is not valid for this configuration"
        ),
        confidence=92,
        seen="0.19.0, 0.24.0, 0.28.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("kv-cache", "KV cache", "kv_cache_dtype", "kvcache", "kv cache"),
        regex=re.compile(
            r"(?:ValueError|NotImplementedError|AssertionError): .{0,160}?(?:"
            r"--kv-cache-dtype .{0,60}(?:is not supported|requires|only valid)"
            r"|(?:[Ff][Pp]8|bfloat16|[Qq]uantized|nvfp4)\S* (?:kv|KV)[- ]cache.{0,60}"
            r"(?:not (?:yet )?supported|unsupported|requires)"
            r"|does not support .{0,30}kv-?cache|[Ii]nvalid kv cache dtype|Unsupported kv_cache_dtype"
            r"|supports? only .{0,80}KV cache)"
        ),
        confidence=88,
        seen="0.19.0, 0.24.0, 0.28.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("lock size", "block size"),
        regex=re.compile(
            r"(?:ValueError|AssertionError|NotImplementedError): .{0,80}?"
            r"(?:Block size must be a multiple of (?P<step>\d+)|No common block size for"
            r"|share no supported KV cache block size|block size \S+ is not supported"
            r"|cache block size .{0,60}must (?:be|divide))"
        ),
        limit=says("block_size a multiple of {step}"),
        confidence=90,
        seen="0.8.5, 0.11.0, 0.19.0, 0.24.0, 0.28.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("CUDAGraphMode.", "cudagraph_mode", "cudagraph"),
        regex=re.compile(
            r"(?:CUDAGraphMode\.\w+|piecewise CUDA graphs .{0,80}) (?:is not supported with|unavailable)"
            r"|cudagraph\w* .{0,60}(?:must be|should be|is not supported|cannot be)"
        ),
        confidence=88,
        seen="0.11.0, 0.19.0, 0.24.0, 0.28.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("must be divisible by tensor parallel size",),
        regex=re.compile(
            r"Total number of attention heads \((?P<heads>\d+)\) must be divisible by tensor parallel size"
        ),
        limit=says("tensor_parallel_size a divisor of {heads}"),
        confidence=99,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0",
    ),
)

QUANTIZATION: Final = (
    Pattern(
        crash_class=CrashClass.UNSUPPORTED_QUANTIZATION,
        needles=("nknown quantization",),
        regex=re.compile(r"Unknown quantization (?:method|strategy|scheme)"),
        confidence=98,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.UNSUPPORTED_QUANTIZATION,
        needles=("is not supported for the current GPU",),
        regex=re.compile(
            r"[Qq]uantization (?:method|scheme).{0,120}is not supported for the current GPU"
            r"(?:.{0,400}?[Mm]in(?:imum)? capability: (?P<capability>\d+))?"
        ),
        limit=says("compute capability at least {capability}"),
        confidence=98,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.UNSUPPORTED_QUANTIZATION,
        needles=("Cannot find the config file for", "model's quantization config", "uantization config:"),
        regex=re.compile(
            r"Cannot find the config file for \S+|Cannot find any of .{0,300} in the model's quantization config"
            r"|Unsupported quantization config: "
        ),
        confidence=95,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0; H100 0.24.0",
    ),
    Pattern(
        crash_class=CrashClass.UNSUPPORTED_QUANTIZATION,
        needles=("uantization", "quantized weight shape", "modelopt", "ModelOpt", "not divisible by"),
        regex=re.compile(
            r"Quantization method specified in the model config .{0,200} does not match"
            r"|is not supported for quantization (?:method )?\S+|quantization is (?:currently )?not supported"
            r"|no longer supports online quantization|not aligned with the quantized weight shape"
            r"|(?:method|scheme) .{0,80} is not supported for quantiz|ModelOpt currently only supports"
            r"|not divisible by (?:min_thread_|group_size)"
        ),
        confidence=92,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0",
    ),
    Pattern(
        crash_class=CrashClass.UNSUPPORTED_QUANTIZATION,
        needles=("lease install",),
        regex=re.compile(
            r"Please install (?:the )?(?:bitsandbytes|auto-?round|auto-?gptq|autoawq|compressed-tensors)\b"
        ),
        confidence=85,
        seen="0.8.5, 0.11.0, 0.19.0, 0.33.0",
    ),
)

_VALIDATION: Final = "validation error"

VALIDATION: Final = (
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        heading=_VALIDATION,
        regex=re.compile(r"^(?:Value error|Assertion failed), "),
        confidence=93,
        rank=Rank.SYMPTOM,
        seen="pydantic 2, all versions from 0.9: config classes validate themselves",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        heading=_VALIDATION,
        regex=re.compile(
            r"^(?:Input should be(?: (?P<kind>greater than or equal to|less than or equal to|greater than|less than)"
            r" (?P<bound>-?\d{1,9}(?:\.\d{1,9})?))?|Unexpected keyword argument"
            r"|Extra inputs are not permitted|Field required)\b"
        ),
        limit=_bounded_field,
        confidence=93,
        rank=Rank.SYMPTOM,
        seen="pydantic 2, all versions from 0.9",
    ),
    Pattern(
        crash_class=CrashClass.INVALID_ARGUMENTS,
        needles=("validation error",),
        regex=re.compile(r"ValidationError: \d+ validation errors? for \w*Config\b"),
        confidence=85,
        rank=Rank.HEADING,
        seen="pydantic 2, all versions from 0.9; H200 0.24.0",
    ),
)

CONFIGURATION_PATTERNS: Final = MEMORY + ARGUMENTS + QUANTIZATION
