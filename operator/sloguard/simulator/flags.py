"""The flags of `vllm serve` that the simulator knows: name, type, default.

The list follows vLLM 0.24 and 0.33 (config groups of its --help). A flag that changes nothing a tuner can see is
accepted and ignored, as a production command line carries many of them; an unknown flag is an error, as in vLLM.
"""

from __future__ import annotations

import argparse
import json
import re
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_HUMAN = re.compile(r"^(\d+(?:\.\d+)?)([kKmMgGtT])$")
_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def human_readable_int(value: str) -> int:
    """`4096`, `32k` (x1000), `32K` (x1024), `25.6k`: vLLM's own reading."""
    match = _HUMAN.match(value.strip())
    if match is None:
        return int(value)
    number, unit = match.groups()
    if unit in _DECIMAL:
        return int(float(number) * _DECIMAL[unit])
    if "." in number:
        raise argparse.ArgumentTypeError(f"Decimals are not allowed with binary suffixes like {unit}.")
    return int(number) * _BINARY[unit]


human_readable_int.__name__ = "human_readable_int"


def human_readable_int_or_auto(value: str) -> int:
    """As human_readable_int; `auto` and -1 mean: the longest that fits, here -1."""
    if value.strip().lower() == "auto":
        return -1
    return human_readable_int(value)


def optional_str(value: str) -> str | None:
    return None if value in ("", "None", "none", "null") else value


def json_object(value: str) -> dict[str, Any]:
    try:
        parsed = json.loads(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"Value {value} cannot be converted to {json.loads}.") from error
    if not isinstance(parsed, dict):
        raise argparse.ArgumentTypeError(f"Value {value} is not a JSON object.")
    return cast("dict[str, Any]", parsed)


# name: (type, default[, choices])
VALUE_FLAGS: dict[str, tuple[Any, ...]] = {
    # Frontend
    "host": (str, None),
    "port": (int, 8000),
    "uds": (str, None),
    "root-path": (str, None),
    "uvicorn-log-level": (str, "info", ("critical", "error", "warning", "info", "debug", "trace")),
    "disable-access-log-for-endpoints": (str, None),
    "chat-template": (str, None),
    "chat-template-content-format": (str, "auto", ("auto", "openai", "string")),
    "default-chat-template-kwargs": (json_object, None),
    "response-role": (str, "assistant"),
    "tool-call-parser": (str, None),
    "tool-parser-plugin": (str, ""),
    "reasoning-parser": (str, ""),
    "ssl-keyfile": (str, None),
    "ssl-certfile": (str, None),
    "ssl-ca-certs": (str, None),
    "max-log-len": (int, None),
    "log-config-file": (str, None),
    "api-server-count": (int, None),
    "config": (str, None),
    "shutdown-timeout": (int, 0),
    "fingerprint-mode": (str, "full", ("full", "hash", "custom", "none")),
    "fingerprint-value": (str, None),
    # ModelConfig
    "tokenizer": (str, None),
    "tokenizer-mode": (str, "auto"),
    "tokenizer-revision": (str, None),
    "revision": (str, None),
    "code-revision": (str, None),
    "runner": (str, "auto", ("auto", "draft", "generate", "pooling")),
    "dtype": (str, "auto", ("auto", "bfloat16", "float", "float16", "float32", "half")),
    "seed": (int, 0),
    "max-model-len": (human_readable_int_or_auto, None),
    "quantization": (optional_str, None),
    "hf-overrides": (json_object, None),
    "hf-token": (str, None),
    "hf-config-path": (str, None),
    "generation-config": (str, "auto"),
    "override-generation-config": (json_object, None),
    "max-logprobs": (int, 20),
    "config-format": (str, "auto"),
    "model-impl": (str, "auto"),
    "logprobs-mode": (str, "raw_logprobs"),
    # LoadConfig
    "load-format": (str, "auto"),
    "download-dir": (str, None),
    "safetensors-load-strategy": (str, None),
    "model-loader-extra-config": (json_object, None),
    # ParallelConfig
    "tensor-parallel-size": (int, 1),
    "pipeline-parallel-size": (int, 1),
    "data-parallel-size": (int, 1),
    "decode-context-parallel-size": (int, 1),
    "distributed-executor-backend": (str, None, ("external_launcher", "mp", "ray", "uni")),
    "max-parallel-loading-workers": (int, None),
    "nnodes": (int, 1),
    "node-rank": (int, 0),
    "master-addr": (str, "127.0.0.1"),
    "master-port": (int, 29501),
    "worker-cls": (str, "auto"),
    # CacheConfig
    "block-size": (int, None),
    "gpu-memory-utilization": (float, 0.92),
    "kv-cache-memory-bytes": (human_readable_int, None),
    "kv-cache-dtype": (str, "auto", ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc")),
    "num-gpu-blocks-override": (int, None),
    "prefix-caching-hash-algo": (str, "sha256", ("sha256", "sha256_cbor", "xxhash", "xxhash_cbor")),
    "swap-space": (float, 4.0),
    "cpu-offload-gb": (float, 0.0),
    "kv-offloading-size": (float, None),
    "kv-offloading-backend": (str, "native", ("lmcache", "native")),
    "mamba-cache-dtype": (str, "auto"),
    # SchedulerConfig
    "max-num-batched-tokens": (human_readable_int, None),
    "max-num-seqs": (int, None),
    "max-num-active-seqs": (int, None),
    "long-prefill-token-threshold": (int, 0),
    "scheduling-policy": (str, "fcfs", ("fcfs", "priority")),
    "stream-interval": (int, 1),
    # VllmConfig and others
    "performance-mode": (str, "balanced", ("balanced", "interactivity", "throughput")),
    "optimization-level": (int, 2, (0, 1, 2, 3)),
    "cudagraph-capture-sizes": (int, None),
    "max-cudagraph-capture-size": (int, None),
    "attention-backend": (str, None),
    "moe-backend": (str, "auto"),
    "speculative-config": (json_object, None),
    "compilation-config": (json_object, None),
    "attention-config": (json_object, None),
    "kv-transfer-config": (json_object, None),
    "kv-events-config": (json_object, None),
    "additional-config": (json_object, None),
    "structured-outputs-config": (json_object, None),
    "otlp-traces-endpoint": (str, None),
    "show-hidden-metrics-for-version": (str, None),
    "custom-histogram-buckets": (json_object, None),
    "max-loras": (int, 1),
    "max-lora-rank": (int, 16),
}

# Accepted with any one value; they change nothing here.
IGNORED_VALUE_FLAGS = (
    "all2all-backend", "allowed-local-media-path", "allowed-media-domains", "collect-detailed-traces", "convert",
    "cpu-distributed-timeout-seconds", "data-parallel-address", "data-parallel-backend", "data-parallel-rank",
    "data-parallel-rpc-port", "data-parallel-size-local", "data-parallel-start-rank", "distributed-timeout-seconds",
    "ec-transfer-config", "eplb-config", "expert-placement-strategy", "ignore-patterns", "io-processor-plugin",
    "kernel-config", "kv-cache-metrics-sample", "limit-mm-per-prompt", "linear-backend", "logits-processors",
    "lora-dtype", "lora-modules", "mamba-block-size", "mamba-cache-mode", "mamba-ssm-cache-dtype", "max-cpu-loras",
    "max-num-scheduled-tokens", "mm-encoder-tp-mode", "mm-processor-cache-gb", "mm-processor-cache-type",
    "mm-processor-kwargs", "offload-backend", "pooler-config", "prefill-context-parallel-size", "profiler-config",
    "pt-load-map-location", "reasoning-config", "reasoning-parser-plugin", "renderer-num-workers", "scheduler-cls",
    "spec-method", "spec-model", "spec-tokens", "video-pruning-rate", "weight-transfer-config", "worker-extension-cls",
)  # fmt: skip

LIST_FLAGS = frozenset({"cudagraph-capture-sizes"})
STRING_LIST_FLAGS = (
    "served-model-name",
    "api-key",
    "allowed-origins",
    "allowed-methods",
    "allowed-headers",
    "middleware",
)

# name: default; each also has its --no- form
BOOLEAN_FLAGS: dict[str, bool | None] = {
    "headless": False,
    "allow-credentials": False,
    "aggregate-engine-logging": False,
    "disable-uvicorn-access-log": False,
    "disable-fastapi-docs": False,
    "disable-frontend-multiprocessing": False,
    "disable-log-requests": True,
    "disable-log-stats": False,
    "enable-auto-tool-choice": False,
    "enable-force-include-usage": False,
    "enable-log-requests": False,
    "enable-log-outputs": False,
    "enable-per-request-metrics": False,
    "enable-prompt-tokens-details": False,
    "enable-request-id-headers": False,
    "enable-server-load-tracking": False,
    "enable-tokenizer-info-endpoint": False,
    "enable-ssl-refresh": False,
    "trust-remote-code": False,
    "enforce-eager": False,
    "disable-sliding-window": False,
    "disable-cascade-attn": True,
    "skip-tokenizer-init": False,
    "enable-prompt-embeds": False,
    "enable-sleep-mode": False,
    "use-tqdm-on-load": True,
    "disable-custom-all-reduce": False,
    "enable-expert-parallel": False,
    "enable-dbo": False,
    "enable-prefix-caching": True,
    "calculate-kv-scales": False,
    "enable-chunked-prefill": True,
    "disable-chunked-mm-input": False,
    "disable-hybrid-kv-cache-manager": None,
    "async-scheduling": None,
    "enable-lora": False,
    "enable-mfu-metrics": False,
    "kv-cache-metrics": False,
    "language-model-only": False,
    "cudagraph-metrics": False,
    "data-parallel-external-lb": False,
    "data-parallel-hybrid-lb": False,
    "enable-cumem-allocator": False,
    "enable-eplb": False,
    "enable-flashinfer-autotune": True,
    "enable-layerwise-nvtx-tracing": False,
    "enable-logging-iteration-details": False,
    "enable-mm-embeds": False,
    "fully-sharded-loras": False,
    "interleave-mm-strings": False,
    "kv-sharing-fast-prefill": False,
    "ray-workers-use-nsight": False,
    "skip-mm-profiling": False,
}

SHORT_FLAGS = {
    "tensor-parallel-size": ("-tp",),
    "pipeline-parallel-size": ("-pp",),
    "data-parallel-size": ("-dp",),
    "decode-context-parallel-size": ("-dcp",),
    "quantization": ("-q",),
    "nnodes": ("-n",),
    "node-rank": ("-r",),
    "api-server-count": ("-asc",),
    "speculative-config": ("-sc",),
    "compilation-config": ("-cc",),
    "attention-config": ("-ac",),
}


def add_vllm_flags(parser: argparse.ArgumentParser) -> None:
    """Adds every flag above; a flag that was not given stays out of the namespace (argparse.SUPPRESS)."""
    group = parser.add_argument_group("vLLM options", "as `vllm serve` takes them, with vLLM's own defaults")
    for name, (kind, _default, *choices) in VALUE_FLAGS.items():
        flags = (*SHORT_FLAGS.get(name, ()), f"--{name}")
        extra: dict[str, Any] = {"type": kind, "default": argparse.SUPPRESS}
        if choices:
            extra["choices"] = choices[0]
        if name in LIST_FLAGS:
            extra["nargs"] = "+"
        _add(group.add_argument, flags, extra)
    for name in IGNORED_VALUE_FLAGS:
        _add(group.add_argument, (f"--{name}",), {"default": argparse.SUPPRESS})
    for name in STRING_LIST_FLAGS:
        _add(group.add_argument, (f"--{name}",), {"nargs": "+", "default": argparse.SUPPRESS})
    for name in BOOLEAN_FLAGS:
        action = argparse.BooleanOptionalAction
        _add(group.add_argument, (f"--{name}",), {"action": action, "default": argparse.SUPPRESS})


def _add(add_argument: Callable[..., object], flags: tuple[str, ...], extra: dict[str, Any]) -> None:
    add_argument(*flags, **extra)


def default_of(name: str) -> Any:  # noqa: ANN401 - flags have several types
    """Returns vLLM's default of a flag, given its name with underscores or dashes."""
    name = name.replace("_", "-")
    if name in VALUE_FLAGS:
        return VALUE_FLAGS[name][1]
    return BOOLEAN_FLAGS.get(name)
