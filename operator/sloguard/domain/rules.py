"""What vLLM checks about its settings before it loads anything: combinations that no trial should be spent on.

Read in vLLM 0.33.0: `SchedulerConfig.verify_max_model_len` in `vllm/config/scheduler.py`, and
`get_batch_defaults` with `_set_default_max_num_seqs_and_batched_tokens_args` in `vllm/engine/arg_utils.py`.
An unset setting takes vLLM's default where that is known, and a rule is applied only when both of its sides are:
a rule must never forbid what vLLM might accept.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sloguard.api.v1alpha1 import KnobName

from .knobs import KNOBS, value_text
from .result import Value, Values

GIB = 2**30
_LARGE_GPU_BYTES = 70 * GIB
_LARGEST_GPU_BYTES = 160 * GIB
_LARGE_BUT_SLOW = ("a100", "gb10")
"""GPUs with 70 GiB or more that vLLM still gives the defaults of a small one."""


RULED = frozenset(
    {
        KnobName.MAX_NUM_SEQS,
        KnobName.MAX_NUM_BATCHED_TOKENS,
        KnobName.GPU_MEMORY_UTILIZATION,
        KnobName.MAX_MODEL_LEN,
        KnobName.ENABLE_CHUNKED_PREFILL,
        KnobName.LONG_PREFILL_TOKEN_THRESHOLD,
        KnobName.PERFORMANCE_MODE,
    }
)
"""The knobs that rules or the defaults in them speak of; no other can make a configuration invalid."""


@dataclass(frozen=True, slots=True)
class Context:
    """What is known beside a candidate's own values.

    `fixed`: production's settings that are not tuned and stay as they are. `min_model_len_tokens`: prompt and answer
    of the workload's longest request together; `request_tokens` those of its mean request. `concurrency`: requests that
    run at once when the load is served as slowly as the SLOs allow. `gpu_name` as the driver says it; "" where unknown.
    """

    fixed: Values = field(default_factory=dict[KnobName, Value])
    vram_bytes: int | None = None
    min_model_len_tokens: int | None = None
    gpu_name: str = ""
    request_tokens: float | None = None
    concurrency: float | None = None


class BatchDefaults(NamedTuple):
    """vLLM's defaults of `vllm serve` for one kind of GPU."""

    max_num_seqs: int
    max_num_batched_tokens: int


def batch_defaults(vram_bytes: int | None, gpu_name: str = "") -> BatchDefaults | None:
    """The default batch sizes of vLLM for a GPU, or None where memory and name do not tell them."""
    if vram_bytes is None:
        return None
    if vram_bytes >= _LARGEST_GPU_BYTES:
        return BatchDefaults(1024, 16384)
    if vram_bytes < _LARGE_GPU_BYTES or any(name in gpu_name.lower() for name in _LARGE_BUT_SLOW):
        return BatchDefaults(256, 2048)
    return BatchDefaults(1024, 8192) if gpu_name else None


_STATIC_DEFAULTS: Mapping[KnobName, Value] = {
    name: knob.default for name, knob in KNOBS.items() if knob.default is not None
}


def effective(values: Values, context: Context) -> dict[KnobName, Value]:
    """The settings that a server started with these values would have, as far as they are known."""
    known: dict[KnobName, Value] = {**_STATIC_DEFAULTS, **context.fixed, **values}
    defaults = batch_defaults(context.vram_bytes, context.gpu_name)
    if defaults is not None:
        _fill_batch_sizes(known, defaults)
    return known


def _fill_batch_sizes(known: dict[KnobName, Value], defaults: BatchDefaults) -> None:
    """As vLLM does: a default batch adapts to what was given, so that only explicit values can contradict."""
    factor = 2 if known[KnobName.PERFORMANCE_MODE] == "throughput" else 1
    seqs = _number(known, KnobName.MAX_NUM_SEQS)
    tokens = _number(known, KnobName.MAX_NUM_BATCHED_TOKENS)
    length = _number(known, KnobName.MAX_MODEL_LEN)
    wanted_seqs = seqs if seqs is not None else defaults.max_num_seqs * factor
    if tokens is None:
        tokens = defaults.max_num_batched_tokens * factor
        if known[KnobName.ENABLE_CHUNKED_PREFILL] is False:
            if length is None:
                return
            tokens = max(tokens, length)
        if length is not None:
            tokens = min(tokens, wanted_seqs * length)
    known[KnobName.MAX_NUM_BATCHED_TOKENS] = tokens
    known[KnobName.MAX_NUM_SEQS] = seqs if seqs is not None else min(wanted_seqs, tokens)


def broken_rule(values: Values, context: Context) -> str | None:
    """Why vLLM or the workload cannot do with these values, as a sentence; None when nothing is known against them."""
    known = effective(values, context)
    return next((sentence for rule in _RULES if (sentence := rule(known, context)) is not None), None)


def _number(known: Mapping[KnobName, Value], name: KnobName) -> int | None:
    value = known.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _utilization_is_a_share(known: Mapping[KnobName, Value], _: Context) -> str | None:
    value = known[KnobName.GPU_MEMORY_UTILIZATION]
    if isinstance(value, int | float) and 0 < value <= 1:
        return None
    return f"gpu_memory_utilization {value_text(value)} is not above 0 and at most 1"


def _batch_holds_every_sequence(known: Mapping[KnobName, Value], _: Context) -> str | None:
    tokens = _number(known, KnobName.MAX_NUM_BATCHED_TOKENS)
    seqs = _number(known, KnobName.MAX_NUM_SEQS)
    if tokens is None or seqs is None or tokens >= seqs:
        return None
    return f"max_num_batched_tokens {tokens} is below max_num_seqs {seqs}, and vLLM wants at least one token a sequence"


def _whole_prompt_fits_without_chunks(known: Mapping[KnobName, Value], context: Context) -> str | None:
    if known[KnobName.ENABLE_CHUNKED_PREFILL] is not False:
        return None
    tokens = _number(known, KnobName.MAX_NUM_BATCHED_TOKENS)
    # Where the model's own length is unknown, it is at least what the workload needs.
    length = _number(known, KnobName.MAX_MODEL_LEN) or context.min_model_len_tokens
    if tokens is None or length is None or tokens >= length:
        return None
    return (
        f"max_num_batched_tokens {tokens} is below max_model_len {length}, "
        "which vLLM refuses with enable_chunked_prefill false"
    )


def _long_prompts_are_possible(known: Mapping[KnobName, Value], _: Context) -> str | None:
    threshold = _number(known, KnobName.LONG_PREFILL_TOKEN_THRESHOLD)
    length = _number(known, KnobName.MAX_MODEL_LEN)
    if threshold is None or length is None or threshold <= length:
        return None
    return f"long_prefill_token_threshold {threshold} is above max_model_len {length}"


def _workload_fits(known: Mapping[KnobName, Value], context: Context) -> str | None:
    length = _number(known, KnobName.MAX_MODEL_LEN)
    floor = context.min_model_len_tokens
    if length is None or floor is None or length >= floor:
        return None
    return f"max_model_len {length} is below {floor}, the workload's longest prompt and answer together"


_RULES: tuple[Callable[[Mapping[KnobName, Value], Context], str | None], ...] = (
    _utilization_is_a_share,
    _batch_holds_every_sequence,
    _whole_prompt_fits_without_chunks,
    _long_prompts_are_possible,
    _workload_fits,
)
