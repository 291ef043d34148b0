"""The search spaces that a study gets by naming a preset: ranges that hold on every GPU this project has seen.

Where they come from: the original SLO-Guard's eight knobs, widened by what real trials on H100 and H200 showed
(best max_num_seqs above 128, best max_num_batched_tokens up to 16384, utilization above 0.95 starting on large cards).
Each range is stretched to hold production's own value, so that the search can begin around it.
"""

from collections.abc import Mapping
from decimal import Decimal

from sloguard.api.v1alpha1 import KnobName, Preset, Scale
from sloguard.domain.knobs import KNOBS, NO_QUANTIZATION
from sloguard.domain.result import Value, Values
from sloguard.domain.rules import Context

from .domains import Domain, choice, decimals, integers

LONGEST_GUESS_TOKENS = 4096
"""Upper end for max_model_len where production leaves it to the model: more might exceed what the model can do."""

SHORTEST_TOKENS = 512

_CORE = (
    KnobName.MAX_NUM_SEQS,
    KnobName.MAX_NUM_BATCHED_TOKENS,
    KnobName.GPU_MEMORY_UTILIZATION,
    KnobName.MAX_MODEL_LEN,
    KnobName.ENFORCE_EAGER,
    KnobName.ENABLE_CHUNKED_PREFILL,
    KnobName.ENABLE_PREFIX_CACHING,
    KnobName.QUANTIZATION,
)

# Not in a preset: the parallel sizes need other GPUs than production's pod asks for, and stream_interval
# changes what clients see. A study may name them itself.
_EXTENDED = (
    *_CORE,
    KnobName.KV_CACHE_DTYPE,
    KnobName.BLOCK_SIZE,
    KnobName.ASYNC_SCHEDULING,
    KnobName.PERFORMANCE_MODE,
    KnobName.LONG_PREFILL_TOKEN_THRESHOLD,
)

_NAMES = {Preset.CORE: _CORE, Preset.EXTENDED: _EXTENDED, Preset.NONE: ()}

_INTEGERS = {KnobName.MAX_NUM_SEQS: (4, 512), KnobName.MAX_NUM_BATCHED_TOKENS: (512, 16384)}
_DECIMALS = {KnobName.GPU_MEMORY_UTILIZATION: (Decimal("0.60"), Decimal("0.98"))}
_CHOICES: Mapping[KnobName, tuple[Value, ...]] = {
    KnobName.ENFORCE_EAGER: (False, True),
    KnobName.ENABLE_CHUNKED_PREFILL: (True, False),
    KnobName.ENABLE_PREFIX_CACHING: (True, False),
    KnobName.QUANTIZATION: (NO_QUANTIZATION, "fp8"),
    KnobName.KV_CACHE_DTYPE: ("auto", "fp8"),
    KnobName.BLOCK_SIZE: (16, 32, 64),
    KnobName.ASYNC_SCHEDULING: (True, False),
    KnobName.PERFORMANCE_MODE: ("balanced", "interactivity"),
    KnobName.LONG_PREFILL_TOKEN_THRESHOLD: (0, 256, 512, 1024, 2048),
}


def preset_domains(preset: Preset, production: Values, context: Context) -> dict[KnobName, Domain]:
    """The preset's knobs and values, before anything is narrowed."""
    return {name: _domain(name, production, context) for name in _NAMES[preset]}


def _domain(name: KnobName, production: Values, context: Context) -> Domain:
    today = production.get(name)
    if name is KnobName.MAX_MODEL_LEN:
        return _lengths(today, context)
    if name in _INTEGERS:
        low, high = _INTEGERS[name]
        inside = [today] if isinstance(today, int) else []
        return integers(name, min([low, *inside]), max([high, *inside]), Scale.LOG)
    if name in _DECIMALS:
        low, high = _DECIMALS[name]
        inside = [Decimal(str(today))] if isinstance(today, float) else []
        return decimals(name, min([low, *inside]), max([high, *inside]))
    values = _CHOICES[name]
    if today is None or today in values:
        return choice(name, values)
    if name is KnobName.QUANTIZATION:
        # Production's checkpoint is compressed already; another method on top of it fails to load.
        return choice(name, (today,))
    return choice(name, (*values, today))


def _lengths(today: Value | None, context: Context) -> Domain:
    floor = max(SHORTEST_TOKENS, context.min_model_len_tokens or 0)
    high = today if isinstance(today, int) else max(floor, LONGEST_GUESS_TOKENS)
    return integers(KnobName.MAX_MODEL_LEN, min(floor, high), high, Scale.LOG)


def quality_changing_names(preset: Preset) -> tuple[KnobName, ...]:
    """The preset's knobs that change what the model answers."""
    return tuple(n for n in _NAMES[preset] if KNOBS[n].quality_changing or KNOBS[n].quality_changing_when_lower)
