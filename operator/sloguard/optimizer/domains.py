"""The values that one knob may take, as an ordered grid with a place for each value on the unit interval."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

from sloguard.api.v1alpha1 import KnobName, Scale
from sloguard.domain.knobs import DECIMAL_PLACES, value_text
from sloguard.domain.result import Value

STEPS_PER_OCTAVE = 16
"""Of a logarithmic range: values then differ by 3 to 6 %, less than which no measurement tells apart, and are round
numbers (multiples of a power of two), which vLLM's CUDA graphs and kernels like."""

EVERY_VALUE_BELOW = 64
"""A logarithmic range this narrow is searched whole number by whole number."""

LARGEST_GRID = 1024
"""A linear range with more values than this is searched at as many evenly spaced ones."""


@dataclass(frozen=True, slots=True)
class Domain:
    """Values of `name`: ascending numbers on a scale, or a choice (`scale` is None), which has no order."""

    name: KnobName
    values: tuple[Value, ...]
    scale: Scale | None = None

    @property
    def low(self) -> float:
        return _number(self.values[0])

    @property
    def high(self) -> float:
        return _number(self.values[-1])

    def contains(self, value: Value) -> bool:
        """Whether the value may be tried; between the ends of a scale, off the grid counts too."""
        if self.scale is None:
            return value_text(value) in {value_text(known) for known in self.values}
        if isinstance(value, bool | str):
            return False
        return self.low <= value <= self.high and (isinstance(value, int) or isinstance(self.values[0], float))

    def at(self, place: float) -> Value:
        """The grid's value at a place of [0, 1]."""
        if self.scale is None:
            return self.values[min(int(place * len(self.values)), len(self.values) - 1)]
        return self.values[self._nearest(self._unscaled(place))]

    def place(self, value: Value) -> float | None:
        """Where on [0, 1] the value lies; numbers beyond the ends are clipped, an unknown choice has no place."""
        if self.scale is None:
            texts = [value_text(known) for known in self.values]
            text = value_text(value)
            return (texts.index(text) + 0.5) / len(texts) if text in texts else None
        if isinstance(value, bool | str):
            return None
        if self.low == self.high:
            return 0.5
        low, high = self._scaled(self.low), self._scaled(self.high)
        return (self._scaled(min(max(value, self.low), self.high)) - low) / (high - low)

    def snapped(self, value: Value) -> Value | None:
        """The grid's value nearest to one in range; None for others."""
        if not self.contains(value):
            return None
        return value if self.scale is None else self.values[self._nearest(_number(value))]

    def neighbours(self, value: Value) -> Iterator[Value]:
        """One step away on a scale; every other value of a choice."""
        if self.scale is None:
            yield from (other for other in self.values if value_text(other) != value_text(value))
            return
        if isinstance(value, bool | str):
            return
        index = self._nearest(value)
        around = {max(index - 1, 0), index, min(index + 1, len(self.values) - 1)}
        yield from (self.values[i] for i in sorted(around) if self.values[i] != value)

    def _scaled(self, number: float) -> float:
        return math.log(number) if self.scale is Scale.LOG else number

    def _unscaled(self, place: float) -> float:
        low, high = self._scaled(self.low), self._scaled(self.high)
        number = low + place * (high - low)
        return math.exp(number) if self.scale is Scale.LOG else number

    def _nearest(self, number: float) -> int:
        right = bisect_left(self.values, number, key=_number)
        if right == 0:
            return 0
        if right == len(self.values):
            return right - 1
        left = right - 1
        return left if number - _number(self.values[left]) <= _number(self.values[right]) - number else right


def choice(name: KnobName, values: Sequence[Value]) -> Domain:
    return Domain(name, tuple(values))


def integers(name: KnobName, low: int, high: int, scale: Scale) -> Domain:
    """Whole numbers, both ends included, thinned out as the constants above say."""
    if scale is Scale.LOG and high - low >= EVERY_VALUE_BELOW:
        return Domain(name, tuple(sorted({low, high, *_round_numbers(low, high)})), scale)
    count = min(high - low + 1, LARGEST_GRID)
    values = {low + round(i * (high - low) / max(count - 1, 1)) for i in range(count)}
    return Domain(name, tuple(sorted(values)), scale)


def decimals(name: KnobName, low: Decimal, high: Decimal) -> Domain:
    """Decimal fractions, both ends included, in hundredths, or finer where the ends are."""
    places = max(2, *(min(-int(end.normalize().as_tuple().exponent), DECIMAL_PLACES) for end in (low, high)))
    unit = Decimal(1).scaleb(-places)
    steps = int(((high - low) / unit).to_integral_value(ROUND_HALF_EVEN))
    stride = max(1, math.ceil(steps / (LARGEST_GRID - 1)))
    values = {*(float(low + unit * i) for i in range(0, steps + 1, stride)), float(high)}
    return Domain(name, tuple(sorted(values)), Scale.LINEAR)


def _round_numbers(low: int, high: int) -> Iterator[int]:
    number = low
    while number <= high:
        step = max(1, 2 ** (number.bit_length() - 1) // STEPS_PER_OCTAVE)
        number = (number + step - 1) // step * step
        if number <= high:
            yield number
        number += 1 if step == 1 else step


def _number(value: Value) -> float:
    assert not isinstance(value, str), f"{value!r} is not a number"
    return value
