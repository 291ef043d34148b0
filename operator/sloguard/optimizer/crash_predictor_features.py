"""Configuration, GPU and model as columns of a forest: as given, and as the memory that they leave.

Raw columns cannot carry over to a GPU that was never seen; how many GiB are left for the KV cache can.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.knobs import KNOBS, Kind, value_text
from sloguard.domain.result import Value, Values
from sloguard.domain.rules import GIB

from .crash_predictor_records import CrashRecord, Platform
from .rows import Rows

BYTES_PER_WEIGHT = {"none": 2.0, "fp8": 1.0, "experts_int8": 1.0, "mxfp8": 1.0, "awq": 0.5, "gptq": 0.5}
"""After the checkpoint's 16 bits; a method that is not listed may be anything."""

UNKNOWN = math.nan
"""A forest sends an unknown figure to the side where it serves best."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns there are: one for each number and switch, one for each value of a choice, then the platform's."""

    numbers: tuple[KnobName, ...]
    choices: tuple[tuple[KnobName, str], ...]

    def table(self, tried: Sequence[tuple[Values, Platform]]) -> Rows:
        made = [[*self._row(values, platform)] for values, platform in tried]
        return np.array(made, dtype=np.float64).reshape(len(made), -1 if made else 0)

    def _row(self, values: Values, platform: Platform) -> Iterator[float]:
        yield from (_number(values.get(name)) for name in self.numbers)
        for name, text in self.choices:
            yield float(name in values and value_text(values[name]) == text)
        yield from (_number(figure) for figure in astuple(platform))
        yield from memory_left(values, platform)


def columns_of(records: Sequence[CrashRecord]) -> Columns:
    """The columns for what these records hold, in the catalogue's order."""
    names = [name for name in KNOBS if any(name in record.parameters for record in records)]
    numbers = tuple(name for name in names if KNOBS[name].kind is not Kind.CHOICE)
    choices = {
        (name, value_text(record.parameters[name]))
        for name in names
        if KNOBS[name].kind is Kind.CHOICE
        for record in records
        if name in record.parameters
    }
    return Columns(numbers, tuple(sorted(choices)))


def memory_left(values: Values, platform: Platform) -> Iterator[float]:
    """Estimates in GiB, NaN where a figure is missing:

    - left of what the server may use when the weights are loaded: utilization x memory - parameters x bytes each,
    - left when one request of the full length has its KV cache too: 2 x layers x KV heads x head size x bytes a token,
    - left on the card beyond the server's share,
    - activations of a full batch, as 12 numbers of 16 bits for each hidden unit and token.
    """
    share = _number(values.get(KnobName.GPU_MEMORY_UTILIZATION))
    memory = _number(platform.gpu_memory_gib)
    quantization = values.get(KnobName.QUANTIZATION, "none")
    per_weight = BYTES_PER_WEIGHT.get(str(quantization), UNKNOWN)
    after_weights = share * memory - _number(platform.parameters_billions) * 1e9 * per_weight / GIB
    yield after_weights
    yield after_weights - _number(values.get(KnobName.MAX_MODEL_LEN)) * _kv_bytes_a_token(values, platform) / GIB
    yield (1.0 - share) * memory
    yield _number(values.get(KnobName.MAX_NUM_BATCHED_TOKENS)) * _number(platform.hidden_size) * 24.0 / GIB


def _kv_bytes_a_token(values: Values, platform: Platform) -> float:
    element = 1.0 if str(values.get(KnobName.KV_CACHE_DTYPE, "auto")).startswith("fp8") else 2.0
    head_size = _number(platform.hidden_size) / _number(platform.heads)
    return 2.0 * _number(platform.layers) * _number(platform.kv_heads) * head_size * element


def _number(value: Value | None) -> float:
    return UNKNOWN if value is None or isinstance(value, str) else float(value)
