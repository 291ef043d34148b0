"""Configurations as numbers: a point for distances, and each knob's value in effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.knobs import value_text
from sloguard.domain.result import Value, Values
from sloguard.domain.rules import Context, effective
from sloguard.optimizer.domains import Domain
from sloguard.optimizer.space import Space

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHOICE_SCALE = 0.4
"""One value of a choice lies 0.57 from any other, on a scale where a number's whole range is 1."""

FOREIGN = -1
"""The code of a choice's value that is not among those searched, and of every number."""

USED_BY_MEMORY = (
    KnobName.MAX_NUM_SEQS,
    KnobName.MAX_NUM_BATCHED_TOKENS,
    KnobName.GPU_MEMORY_UTILIZATION,
    KnobName.MAX_MODEL_LEN,
    KnobName.ENFORCE_EAGER,
    KnobName.ENABLE_CHUNKED_PREFILL,
    KnobName.ENABLE_PREFIX_CACHING,
)
"""Knobs whose numbers are wanted even where they are not tuned."""


@dataclass(frozen=True)
class Points:
    """Configurations, one a row.

    `unit` is for distances. `numbers` are values in effect (switches 0 or 1; NaN where unknown), `codes` say which of
    a choice's values it is, and `texts` are the values of quantization and kv_cache_dtype.
    """

    unit: Floats
    numbers: Mapping[KnobName, Floats]
    codes: Mapping[KnobName, Ints]
    texts: Mapping[KnobName, NDArray[np.str_]]

    def __len__(self) -> int:
        return len(self.unit)

    def and_then(self, more: "Points") -> "Points":
        """Both, these first."""
        return Points(
            np.vstack([self.unit, more.unit]),
            {name: np.append(column, more.numbers[name]) for name, column in self.numbers.items()},
            {name: np.append(column, more.codes[name]) for name, column in self.codes.items()},
            {name: np.append(column, more.texts[name]) for name, column in self.texts.items()},
        )

    def take(self, rows: Sequence[int]) -> "Points":
        """Some of them, in that order."""
        index = np.array(rows, dtype=np.int64)
        return Points(
            self.unit[index],
            {name: column[index] for name, column in self.numbers.items()},
            {name: column[index] for name, column in self.codes.items()},
            {name: column[index] for name, column in self.texts.items()},
        )


FORMATS = (KnobName.QUANTIZATION, KnobName.KV_CACHE_DTYPE)


@dataclass(frozen=True)
class Encoding:
    """Of one space; `context` knows the GPU's memory where that was learnt since."""

    space: Space
    context: Context

    @cached_property
    def columns(self) -> Mapping[KnobName, "Column"]:
        unset = effective({}, self.context)
        return {name: Column(domain, unset.get(name)) for name, domain in self.space.domains.items()}

    def configurations(self, those: Sequence[Values]) -> Points:
        """Of any configurations, also from outside the space."""
        known = [effective(values, self.context) for values in those]
        cells = {name: [column.cell(row.get(name)) for row in known] for name, column in self.columns.items()}
        numbers = {name: np.array([_number(row.get(name)) for row in known]) for name in self._numbered}
        texts = {name: np.array([_text(row.get(name)) for row in known], dtype=np.str_) for name in FORMATS}
        units = [
            np.array([cell.unit for cell in column]).reshape(len(known), self.columns[name].units.shape[1])
            for name, column in cells.items()
        ]
        codes = {name: np.array([cell.code for cell in column], dtype=np.int64) for name, column in cells.items()}
        return Points(np.hstack(units), numbers, codes, texts)

    def rows(self, indices: Ints) -> Points:
        """Of candidates: row numbers of each knob's table, in the order of the space's knobs (see `Column`)."""
        unset = effective({}, self.context)
        picked = {name: indices[:, i] for i, name in enumerate(self.columns)}
        units = [column.units[picked[name]] for name, column in self.columns.items()]
        codes = {name: column.codes[picked[name]] for name, column in self.columns.items()}
        numbers = {
            name: self.columns[name].numbers[picked[name]]
            if name in picked
            else np.full(len(indices), _number(unset.get(name)))
            for name in self._numbered
        }
        texts = {
            name: self.columns[name].texts[picked[name]]
            if name in picked
            else np.full(len(indices), _text(unset.get(name)))
            for name in FORMATS
        }
        return Points(np.hstack(units), numbers, codes, texts)

    def values(self, row: Ints) -> dict[KnobName, Value]:
        """The configuration of one candidate."""
        domains = self.space.domains.items()
        chosen: dict[KnobName, Value] = {
            name: domain.values[index]
            for (name, domain), index in zip(domains, row.tolist(), strict=True)
            if index < len(domain.values)
        }
        return self.space.restricted(chosen)

    @cached_property
    def _numbered(self) -> tuple[KnobName, ...]:
        return tuple(dict.fromkeys((*USED_BY_MEMORY, *self.columns)))


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of one knob."""

    unit: tuple[float, ...]
    code: int


class Column:
    """A table with one row for each value of a knob, and a last one for where it is left out."""

    def __init__(self, domain: Domain, unset: Value | None) -> None:
        self.domain = domain
        self._known: dict[str, Cell] = {}
        values: list[Value | None] = [*domain.values, unset]
        cells = [self.cell(value) for value in values]
        self.units: Floats = np.array([cell.unit for cell in cells])
        self.codes: Ints = np.array([cell.code for cell in cells], dtype=np.int64)
        self.numbers: Floats = np.array([_number(value) for value in values])
        self.texts = np.array([_text(value) for value in values], dtype=np.str_)

    def cell(self, value: Value | None) -> Cell:
        text = _text(value)
        if text not in self._known:
            self._known[text] = self._cell(value)
        return self._known[text]

    def _cell(self, value: Value | None) -> Cell:
        if self.domain.scale is not None:
            place = None if value is None else self.domain.place(value)
            return Cell((0.5 if place is None else place,), FOREIGN)
        texts = [value_text(known) for known in self.domain.values]
        code = texts.index(_text(value)) if value is not None and _text(value) in texts else FOREIGN
        return Cell(tuple(CHOICE_SCALE * (i == code) for i in range(len(texts))), code)


def _number(value: Value | None) -> float:
    return float("nan") if value is None or isinstance(value, str) else float(value)


def _text(value: Value | None) -> str:
    return "" if value is None else value_text(value)
