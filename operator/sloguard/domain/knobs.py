"""What each vLLM setting is like: its kind, its flag, vLLM's default and what vLLM accepts.

Read from vLLM 0.33.0: `vllm/config/{scheduler,cache,model,parallel,vllm}.py` for types and bounds,
`vllm/engine/arg_utils.py` for flags, short names and the defaults that depend on the GPU.
Adding a knob means a name in `sloguard.api.v1alpha1.knobs` and an entry here.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from types import MappingProxyType

from sloguard.api.v1alpha1 import KnobName

from .result import Value, Values

DECIMAL_PLACES = 4
AUTO = "auto"
NO_QUANTIZATION = "none"


class KnobError(ValueError):
    """A value that a knob cannot have; the message names knob, value and remedy."""


class Kind(StrEnum):
    """What a knob's values are."""

    INT = "int"
    DECIMAL = "decimal"
    SWITCH = "switch"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting of vLLM.

    `default` is None where it depends on the GPU or the model; `default_text` then says how.
    `minimum` and `maximum` are what vLLM accepts, both included.
    `choices` are the usual values of a CHOICE; vLLM may know more.
    `absent_value` is written by leaving the flag out, because not every vLLM can be told it.
    `quality_changing` settings change what the model answers; `quality_changing_when_lower` ones (max_model_len)
    do so only below production's value.
    """

    name: KnobName
    kind: Kind
    description: str
    default: Value | None
    default_text: str
    source: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    short_flag: str | None = None
    absent_value: Value | None = None
    accepts_auto: bool = False
    quality_changing: bool = False
    quality_changing_when_lower: bool = False

    @property
    def flag(self) -> str:
        return "--" + self.name.value.replace("_", "-")


_SCHEDULER = "vllm/config/scheduler.py"
_CACHE = "vllm/config/cache.py"
_MODEL = "vllm/config/model.py"
_PARALLEL = "vllm/config/parallel.py"
_BATCH_DEFAULTS = "vllm/engine/arg_utils.py, get_batch_defaults"

_CATALOGUE = (
    Knob(
        KnobName.MAX_NUM_SEQS,
        Kind.INT,
        "How many requests one step may work on; more raise throughput and cost latency and KV cache.",
        default=None,
        default_text="1024 on GPUs of 70 GiB or more (not A100), else 256",
        source=f"{_SCHEDULER}; {_BATCH_DEFAULTS}",
        minimum=1,
    ),
    Knob(
        KnobName.MAX_NUM_BATCHED_TOKENS,
        Kind.INT,
        "How many tokens one step may process; more shorten prefill and cost memory and smooth streaming.",
        default=None,
        default_text="16384 on GPUs of 160 GiB or more, 8192 of 70 GiB or more (not A100), else 2048",
        source=f"{_SCHEDULER}; {_BATCH_DEFAULTS}",
        minimum=1,
    ),
    Knob(
        KnobName.GPU_MEMORY_UTILIZATION,
        Kind.DECIMAL,
        "Which share of the GPU's memory the server may use; what weights and activations leave of it is KV cache.",
        default=0.92,
        default_text="0.92 (0.9 before vLLM 0.20)",
        source=_CACHE,
        minimum=0.0001,
        maximum=1,
    ),
    Knob(
        KnobName.MAX_MODEL_LEN,
        Kind.INT,
        "The longest request, prompt and answer together, in tokens.",
        default=None,
        default_text="the model's own length",
        source=_MODEL,
        minimum=1,
        accepts_auto=True,
        quality_changing_when_lower=True,
    ),
    Knob(
        KnobName.ENFORCE_EAGER,
        Kind.SWITCH,
        "Run without compilation and CUDA graphs: starts sooner, saves memory, serves slower.",
        default=False,
        default_text="false",
        source=_MODEL,
        absent_value=False,
    ),
    Knob(
        KnobName.ENABLE_CHUNKED_PREFILL,
        Kind.SWITCH,
        "Split long prompts over several steps, so that running answers keep streaming.",
        default=True,
        default_text="true where the model supports it",
        source=_SCHEDULER,
    ),
    Knob(
        KnobName.ENABLE_PREFIX_CACHING,
        Kind.SWITCH,
        "Keep the KV cache of prompts for later requests that start alike.",
        default=True,
        default_text="true where the model supports it",
        source=_CACHE,
    ),
    Knob(
        KnobName.QUANTIZATION,
        Kind.CHOICE,
        "How the weights are compressed; many methods need a matching checkpoint.",
        default=NO_QUANTIZATION,
        default_text="none: as the checkpoint is",
        source="vllm/model_executor/layers/quantization/__init__.py",
        choices=(NO_QUANTIZATION, "fp8", "awq", "gptq", "compressed-tensors", "experts_int8", "mxfp8"),
        short_flag="-q",
        absent_value=NO_QUANTIZATION,
        quality_changing=True,
    ),
    Knob(
        KnobName.KV_CACHE_DTYPE,
        Kind.CHOICE,
        "In which number format the KV cache is kept; fp8 holds twice the tokens at some loss.",
        default=AUTO,
        default_text="auto: the model's own",
        source=_CACHE,
        choices=(AUTO, "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2"),
        quality_changing=True,
    ),
    Knob(
        KnobName.BLOCK_SIZE,
        Kind.INT,
        "How many tokens one block of the KV cache holds.",
        default=16,
        default_text="16 on most GPUs; some attention kernels choose another",
        source=_CACHE,
        minimum=1,
    ),
    Knob(
        KnobName.TENSOR_PARALLEL_SIZE,
        Kind.INT,
        "Over how many GPUs each layer is split.",
        default=1,
        default_text="1",
        source=_PARALLEL,
        minimum=1,
        short_flag="-tp",
    ),
    Knob(
        KnobName.PIPELINE_PARALLEL_SIZE,
        Kind.INT,
        "Over how many groups of GPUs the layers are dealt out.",
        default=1,
        default_text="1",
        source=_PARALLEL,
        minimum=1,
        short_flag="-pp",
    ),
    Knob(
        KnobName.ASYNC_SCHEDULING,
        Kind.SWITCH,
        "Plan the next step while the GPU works on this one.",
        default=None,
        default_text="true, unless another setting forbids it",
        source="vllm/config/vllm.py",
    ),
    Knob(
        KnobName.PERFORMANCE_MODE,
        Kind.CHOICE,
        "A preset: interactivity captures finer CUDA graphs, throughput doubles the default batch sizes.",
        default="balanced",
        default_text="balanced",
        source="vllm/config/vllm.py",
        choices=("balanced", "interactivity", "throughput"),
    ),
    Knob(
        KnobName.LONG_PREFILL_TOKEN_THRESHOLD,
        Kind.INT,
        "Prompts longer than this many tokens count as long and are given only that many a step; 0 is off.",
        default=0,
        default_text="0: off",
        source=_SCHEDULER,
        minimum=0,
    ),
    Knob(
        KnobName.STREAM_INTERVAL,
        Kind.INT,
        "How many tokens are gathered before they are streamed.",
        default=1,
        default_text="1",
        source=_SCHEDULER,
        minimum=1,
    ),
)

KNOBS: Mapping[KnobName, Knob] = MappingProxyType({knob.name: knob for knob in _CATALOGUE})

_SWITCH_TEXTS = {"true": True, "false": False}
_INT = re.compile(r"[0-9]{1,12}")
_SUFFIXED = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kKmMgG])")
_MULTIPLIERS = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}


def parse_values(parameters: Mapping[KnobName, str]) -> dict[KnobName, Value]:
    """Parameters as text (from a trial or a command line) in Python's types, in the catalogue's order.

    Raises KnobError, which names knob, value and remedy.
    """
    return {name: parse_value(name, parameters[name]) for name in KNOBS if name in parameters}


def text_of(values: Values) -> dict[KnobName, str]:
    """The canonical text of each value, in the catalogue's order; the inverse of parse_values."""
    return {name: value_text(values[name]) for name in KNOBS if name in values}


def parse_value(name: KnobName, text: str) -> Value:
    """One value from its text; whole numbers may carry vLLM's suffixes (32k is 32000, 32K is 32768)."""
    knob = KNOBS[name]
    match knob.kind:
        case Kind.SWITCH:
            return _switch(knob, text)
        case Kind.INT:
            return _within(knob, _whole_number(knob, text), text)
        case Kind.DECIMAL:
            return _within(knob, _decimal(knob, text), text)
        case Kind.CHOICE:
            if not text or text.startswith("-") or any(character.isspace() for character in text):
                raise KnobError(f"{name.value} {text!r} is not a name; use one such as {', '.join(knob.choices)}")
            return NO_QUANTIZATION if knob.absent_value == text.lower() else text


def value_text(value: Value) -> str:
    """64 -> "64", 0.92 -> "0.92", True -> "true"; decimals are rounded to four places."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        text = f"{value:.{DECIMAL_PLACES}f}".rstrip("0").rstrip(".")
        return text or "0"
    return str(value)


def _switch(knob: Knob, text: str) -> bool:
    value = _SWITCH_TEXTS.get(text.lower())
    if value is None:
        raise KnobError(f'{knob.name.value} {text!r} is neither "true" nor "false"; write one of them')
    return value


def _whole_number(knob: Knob, text: str) -> int | str:
    if knob.accepts_auto and text.lower() in {AUTO, "-1"}:
        return AUTO
    if _INT.fullmatch(text):
        return int(text)
    suffixed = _SUFFIXED.fullmatch(text)
    # vLLM refuses a fraction before a binary suffix (human_readable_int in vllm/utils/argparse_utils.py).
    if suffixed and not ("." in suffixed[1] and suffixed[2].isupper()):
        return int(Decimal(suffixed[1]) * _MULTIPLIERS[suffixed[2]])
    raise KnobError(f"{knob.name.value} {text!r} is not a whole number; write one such as {knob.default or 64}")


def _decimal(knob: Knob, text: str) -> float:
    try:
        value = float(Decimal(text))
    except InvalidOperation:
        value = math.nan
    if not math.isfinite(value):
        raise KnobError(f"{knob.name.value} {text!r} is not a decimal fraction; write one such as {knob.default}")
    return value


def _within(knob: Knob, value: Value, text: str) -> Value:
    if isinstance(value, str):
        return value
    if knob.minimum is not None and value < knob.minimum:
        raise KnobError(f"{knob.name.value} {text} is below {knob.minimum:g}, the least that vLLM accepts; raise it")
    if knob.maximum is not None and value > knob.maximum:
        raise KnobError(f"{knob.name.value} {text} is above {knob.maximum:g}, the most that vLLM accepts; lower it")
    return value
