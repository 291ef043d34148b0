"""Configurations as rows of numbers, for forests, kernels and Gaussian processes."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sloguard.domain.knobs import value_text
from sloguard.domain.result import Value, Values
from sloguard.domain.rules import effective

from .domains import Domain
from .space import Space

Rows = NDArray[np.float64]


def rows(space: Space, configurations: Iterable[Values]) -> Rows:
    """A row for each: numbers by their place on their own scale, choices by one column a value (two values: one)."""
    made = [list(_row(space, values)) for values in configurations]
    return np.array(made, dtype=np.float64).reshape(len(made), -1 if made else 0)


def ordered(space: Space) -> NDArray[np.bool_]:
    """For each column of `rows`, whether it is a number's; else it says whether a choice has one of its values."""
    columns = [
        domain.scale is not None
        for domain in space.domains.values()
        for _ in range(1 if domain.scale is not None or len(domain.values) == 2 else len(domain.values))
    ]
    return np.array(columns, dtype=np.bool_)


def _row(space: Space, values: Values) -> Iterator[float]:
    known = effective(values, space.context)
    for name, domain in space.domains.items():
        value = known.get(name)
        if domain.scale is None:
            yield from _columns(domain, value)
        else:
            place = None if value is None else domain.place(value)
            yield 0.5 if place is None else place


def _columns(domain: Domain, value: Value | None) -> Iterator[float]:
    """An unknown value lies in the middle of two, and is none of several."""
    text = None if value is None else value_text(value)
    texts = [value_text(other) for other in domain.values]
    if len(texts) == 2:
        yield float(texts.index(text)) if text in texts else 0.5
    else:
        yield from (float(text == other) for other in texts)
