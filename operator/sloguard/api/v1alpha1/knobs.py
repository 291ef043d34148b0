"""The vLLM settings that a study may tune. What each is like stands in `sloguard.domain.knobs`."""

from enum import StrEnum
from typing import Final


class KnobName(StrEnum):
    """Names as in vLLM's Python arguments; the flag is the same with dashes."""

    MAX_NUM_SEQS = "max_num_seqs"
    MAX_NUM_BATCHED_TOKENS = "max_num_batched_tokens"
    GPU_MEMORY_UTILIZATION = "gpu_memory_utilization"
    MAX_MODEL_LEN = "max_model_len"
    ENFORCE_EAGER = "enforce_eager"
    ENABLE_CHUNKED_PREFILL = "enable_chunked_prefill"
    ENABLE_PREFIX_CACHING = "enable_prefix_caching"
    QUANTIZATION = "quantization"
    KV_CACHE_DTYPE = "kv_cache_dtype"
    BLOCK_SIZE = "block_size"
    TENSOR_PARALLEL_SIZE = "tensor_parallel_size"
    PIPELINE_PARALLEL_SIZE = "pipeline_parallel_size"
    ASYNC_SCHEDULING = "async_scheduling"
    PERFORMANCE_MODE = "performance_mode"
    LONG_PREFILL_TOKEN_THRESHOLD = "long_prefill_token_threshold"
    STREAM_INTERVAL = "stream_interval"


INTEGERS: Final = (
    KnobName.MAX_NUM_SEQS,
    KnobName.MAX_NUM_BATCHED_TOKENS,
    KnobName.MAX_MODEL_LEN,
    KnobName.BLOCK_SIZE,
    KnobName.TENSOR_PARALLEL_SIZE,
    KnobName.PIPELINE_PARALLEL_SIZE,
    KnobName.LONG_PREFILL_TOKEN_THRESHOLD,
    KnobName.STREAM_INTERVAL,
)
SHARES: Final = (KnobName.GPU_MEMORY_UTILIZATION,)
"""Decimal fractions above 0, at most 1."""
SWITCHES: Final = (
    KnobName.ENFORCE_EAGER,
    KnobName.ENABLE_CHUNKED_PREFILL,
    KnobName.ENABLE_PREFIX_CACHING,
    KnobName.ASYNC_SCHEDULING,
)
