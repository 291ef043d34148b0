"""Configurations as numbers: a point for distances, and each knob's value in effect."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

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
        return {name: _column(domain, unset.get(name)) for name, domain in self.space.domains.items()}

    def configurations(self, those: Sequence[Values]) -> Points:
        """Of any configurations, also from outside the space."""
        known = [effective(values, self.context) for values in those]
        cells = {name: column.cells_of([row.get(name) for row in known]) for name, column in self.columns.items()}
        numbers = {
            name: cells[name].numbers if name in cells else np.array([_number(row.get(name)) for row in known])
            for name in self._numbered
        }
        texts = {
            name: cells[name].texts
            if name in cells
            else np.array([_text(row.get(name)) for row in known], dtype=np.str_)
            for name in FORMATS
        }
        units = np.hstack([column.units for column in cells.values()])
        return Points(units, numbers, {name: column.codes for name, column in cells.items()}, texts)

    def rows(self, indices: Ints) -> Points:
        """Of candidates: row numbers of each knob's table, in the order of the space's knobs (see `Column`)."""
        unset = effective({}, self.context)
        picked = {name: column.table.take(indices[:, i]) for i, (name, column) in enumerate(self.columns.items())}
        numbers = {
            name: picked[name].numbers if name in picked else np.full(len(indices), _number(unset.get(name)))
            for name in self._numbered
        }
        texts = {
            name: picked[name].texts if name in picked else np.full(len(indices), _text(unset.get(name)))
            for name in FORMATS
        }
        units = np.hstack([column.units for column in picked.values()])
        return Points(units, numbers, {name: column.codes for name, column in picked.items()}, texts)

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


@dataclass(frozen=True)
class Cells:
    """Values of one knob, one a row; see `Points`."""

    units: Floats
    codes: Ints
    numbers: Floats
    texts: NDArray[np.str_]

    def take(self, rows: Ints) -> "Cells":
        """Some of them, in that order."""
        return Cells(self.units[rows], self.codes[rows], self.numbers[rows], self.texts[rows])

    def and_then(self, more: "Cells") -> "Cells":
        """Both, these first."""
        return Cells(
            np.vstack([self.units, more.units]),
            np.append(self.codes, more.codes),
            np.append(self.numbers, more.numbers),
            np.append(self.texts, more.texts),
        )


class Column:
    """A table with one row for each value of a knob, and a last one for where it is left out."""

    def __init__(self, domain: Domain, unset: Value | None) -> None:
        self.domain = domain
        self._known_texts = [value_text(known) for known in domain.values]
        values: list[Value | None] = [*domain.values, unset]
        self.table = self._cells(values)
        # From the end, so that of two that are the same the first one counts.
        self._rows = {(type(value), value): row for row, value in reversed(list(enumerate(values)))}

    def cells_of(self, those: Sequence[Value | None]) -> Cells:
        """Of any values, also of some that the table does not hold."""
        keys = [(type(value), value) for value in those]
        foreign = [key for key in dict.fromkeys(keys) if key not in self._rows]
        rows = self._rows | {key: len(self.table.codes) + i for i, key in enumerate(foreign)}
        table = self.table.and_then(self._cells([value for _, value in foreign])) if foreign else self.table
        return table.take(np.array([rows[key] for key in keys], dtype=np.int64))

    def _cells(self, values: Sequence[Value | None]) -> Cells:
        texts = [_text(value) for value in values]
        codes = [FOREIGN] * len(values)
        if self.domain.scale is not None:
            places = [None if value is None else self.domain.place(value) for value in values]
            units = [[0.5 if place is None else place] for place in places]
        else:
            known = self._known_texts
            codes = [known.index(text) if text in known else FOREIGN for text in texts]
            units = [[CHOICE_SCALE * (i == code) for i in range(len(known))] for code in codes]
        numbers = np.array([_number(value) for value in values])
        return Cells(np.array(units), np.array(codes, dtype=np.int64), numbers, np.array(texts, dtype=np.str_))


_column = lru_cache(maxsize=64)(Column)
"""A study's columns are the same at each ask."""


def _number(value: Value | None) -> float:
    return float("nan") if value is None or isinstance(value, str) else float(value)


def _text(value: Value | None) -> str:
    return "" if value is None else value_text(value)
