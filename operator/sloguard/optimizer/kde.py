"""Parzen windows over configurations: where good ones lie densely, and draws from there."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

import numpy as np

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.knobs import value_text
from sloguard.domain.result import Value, Values
from sloguard.domain.rules import effective

from .domains import Domain
from .rows import Rows
from .space import Space

LEAST_BANDWIDTH = 0.06
"""Of a knob's range: less would only find what is known again."""


@dataclass(frozen=True)
class Parzen:
    """A density on the space: one kernel for each point, and one that is even over the whole space.

    Numbers have Gaussian kernels on their own scale, of Silverman's width with the points' own spread;
    a choice keeps a point's value with probability `keep`, else any of them is as likely.
    """

    space: Space
    points: Sequence[Values]

    @cached_property
    def keep(self) -> float:
        return len(self.points) / (len(self.points) + 2.0)

    @cached_property
    def centres(self) -> Rows:
        return places(self.space, self.points)

    @cached_property
    def bandwidths(self) -> Rows:
        """Silverman's rule for several dimensions: sd x n^(-1/(d + 4)), with 0.25 as a range's sd at most."""
        count, dimensions = self.centres.shape
        spread = np.minimum(np.std(self.centres, axis=0), 0.25)
        return np.maximum(spread * count ** (-1.0 / (dimensions + 4)), LEAST_BANDWIDTH)

    def log_density(self, at: Rows) -> Rows:
        """Of each row of `places`."""
        total = np.zeros((len(at), len(self.centres)))
        for column, domain in enumerate(self.space.domains.values()):
            here, centre = at[:, column, None], self.centres[None, :, column]
            if domain.scale is None:
                even = (1.0 - self.keep) / len(domain.values)
                total += np.log(np.where(here == centre, self.keep + even, even) * len(domain.values))
            else:
                width = self.bandwidths[column]
                total -= 0.5 * ((here - centre) / width) ** 2 + np.log(width * np.sqrt(2.0 * np.pi))
        with_even = np.concatenate([total, np.zeros((len(at), 1))], axis=1)
        return np.logaddexp.reduce(with_even, axis=1) - np.log(with_even.shape[1])

    def draw(self, rng: Random) -> dict[KnobName, Value]:
        """A configuration near one of the points; it may break a rule."""
        point = effective(self.points[rng.randrange(len(self.points))], self.space.context)
        drawn = {
            name: self._drawn(column, domain, point.get(name), rng)
            for column, (name, domain) in enumerate(self.space.domains.items())
        }
        return self.space.restricted(drawn)

    def _drawn(self, column: int, domain: Domain, value: Value | None, rng: Random) -> Value:
        place = None if value is None else domain.place(value)
        if place is None or (domain.scale is None and rng.random() > self.keep):
            return domain.at(rng.random())
        if domain.scale is None:
            return domain.at(place)
        return domain.at(reflected(rng.gauss(place, float(self.bandwidths[column]))))


def reflected(place: float) -> float:
    """Thrown back from the ends of [0, 1], so that moves there are no rarer than elsewhere."""
    place = abs(place) % 2.0
    return 2.0 - place if place > 1.0 else place


def places(space: Space, configurations: Sequence[Values]) -> Rows:
    """A row for each: numbers by their place, choices by the index of their value, -1 for an unknown one."""
    table = np.empty((len(configurations), len(space.domains)))
    for index, values in enumerate(configurations):
        known = effective(values, space.context)
        for column, (name, domain) in enumerate(space.domains.items()):
            table[index, column] = _place(domain, known.get(name))
    return table


def _place(domain: Domain, value: Value | None) -> float:
    if domain.scale is None:
        texts = [value_text(other) for other in domain.values]
        text = None if value is None else value_text(value)
        return float(texts.index(text)) if text in texts else -1.0
    place = None if value is None else domain.place(value)
    return 0.5 if place is None else place
