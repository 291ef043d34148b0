"""The configurations that one ask looks at: some from everywhere, some around the best.

They are rows of the encoding's tables, so that thousands cost a few milliseconds; argument rules are asked only of
those that are about to be suggested.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from sloguard.api.v1alpha1 import KnobName, Scale
from sloguard.domain.knobs import value_text
from sloguard.domain.result import Value, Values
from sloguard.domain.rules import effective
from sloguard.optimizer.domains import Domain

from .encoding import Encoding, Floats, Ints

SPREADS = (0.04, 0.12, 0.3)
"""Standard deviations of a change, as shares of a knob's range: fine, middling, coarse."""

MOST_CHANGED = 3


class Pool:
    """Draws candidates of one encoding."""

    def __init__(self, encoding: Encoding, rng: np.random.Generator) -> None:
        self._encoding = encoding
        self._space = encoding.space
        self._domains = list(encoding.space.domains.values())
        self._rng = rng

    def everywhere(self, count: int) -> Ints:
        """Spread over the space; all of a space that is small enough to be listed."""
        if self._space.listed is not None:
            return self.rows(self._space.listed)
        return self._settled(self._nearest(self._rng.random((count, len(self._domains)))))

    def around(self, centres: Ints, count: int) -> Ints:
        """Copies of the centres with one to three knobs changed."""
        if not len(centres):
            return centres
        rows = centres[self._rng.integers(len(centres), size=count)]
        places = self._places(rows) + self._rng.normal(size=rows.shape) * self._rng.choice(SPREADS, size=(count, 1))
        jumps = self._rng.random(rows.shape)
        choices = np.array([domain.scale is None for domain in self._domains])
        moved = self._nearest(np.where(choices, jumps, np.clip(places, 0.0, 1.0)))
        changed = min(MOST_CHANGED, len(self._domains))
        order = np.argsort(self._rng.random(rows.shape), axis=1)
        touched = order < self._rng.integers(1, changed + 1, size=(count, 1))
        return self._settled(np.where(touched, moved, rows))

    def rows(self, those: Sequence[Values]) -> Ints:
        """The nearest candidates to any configurations; a knob that is left out takes its value in effect."""
        found = np.zeros((len(those), len(self._domains)), dtype=np.int64)
        for i, values in enumerate(those):
            known = values if len(values) == len(self._domains) else effective(values, self._encoding.context)
            found[i] = [self._row(domain, known.get(domain.name)) for domain in self._domains]
        return self._settled(found)

    def _row(self, domain: Domain, value: Value | None) -> int:
        text = "" if value is None else value_text(value)
        return self._by_text[domain.name][text] if text in self._by_text[domain.name] else _row(domain, value)

    @cached_property
    def _by_text(self) -> dict[KnobName, dict[str, int]]:
        return {domain.name: {value_text(v): i for i, v in enumerate(domain.values)} for domain in self._domains}

    def _nearest(self, unit: Floats) -> Ints:
        rows = np.empty(unit.shape, dtype=np.int64)
        for i, domain in enumerate(self._domains):
            if domain.scale is None:
                rows[:, i] = np.minimum((unit[:, i] * len(domain.values)).astype(np.int64), len(domain.values) - 1)
            else:
                rows[:, i] = np.searchsorted(self._borders[i], unit[:, i])
        return rows

    @cached_property
    def _borders(self) -> list[Floats]:
        """Half-way between neighbouring values, on the knob's own scale."""
        return [(table[1:] + table[:-1]) / 2 for table in self._tables]

    @cached_property
    def _tables(self) -> list[Floats]:
        return [_table(domain) for domain in self._domains]

    def _places(self, rows: Ints) -> Floats:
        return np.column_stack([table[np.minimum(rows[:, i], len(table) - 1)] for i, table in enumerate(self._tables)])

    def _settled(self, rows: Ints) -> Ints:
        """With inactive knobs left out, and a value for those that are active."""
        names = list(self._space.domains)
        for name, (parent, wanted) in self._space.conditions.items():
            own, other = names.index(name), self._domains[names.index(parent)]
            active = rows[:, names.index(parent)] == _row(other, wanted)
            last = len(self._domains[own].values)
            rows[:, own] = np.where(active, np.minimum(rows[:, own], last - 1), last)
        return rows


def _table(domain: Domain) -> Floats:
    if domain.scale is None or len(domain.values) == 1:
        return np.linspace(0.0, 1.0, len(domain.values))
    numbers = np.array([float(value) for value in domain.values if not isinstance(value, str)])
    scaled = np.log(numbers) if domain.scale is Scale.LOG else numbers
    return (scaled - scaled[0]) / (scaled[-1] - scaled[0])


def _row(domain: Domain, value: Value | None) -> int:
    """The row of the value or of the nearest one; the middle for what has none."""
    if value is None:
        return len(domain.values) // 2
    if domain.scale is None:
        texts = [value_text(known) for known in domain.values]
        return texts.index(value_text(value)) if value_text(value) in texts else 0
    place = domain.place(value)
    return len(domain.values) // 2 if place is None else int(np.abs(_table(domain) - place).argmin())
