"""Random search, evenly spread: the reference that every other optimizer has to beat, and how they begin."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.result import Result, Value, Values

from .base import Suggestion, lessons, seen_keys
from .sequence import point
from .space import Key, Space

PATIENCE = 1024
"""Points passed over because they were seen or break a rule; then an unseen one is taken from what is left."""


@dataclass(frozen=True, slots=True)
class QuasiRandom:
    """The first point of a scrambled Halton sequence that is valid and unseen."""

    space: Space
    seed: int

    def ask(self, history: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:
        taught = lessons(history)
        found = first_unseen(self.space, self.seed, seen_keys(self.space, taught, pending))
        if found is None:
            return None
        index, values = found
        if index is None:
            return Suggestion(values, "One of the last configurations that are left to try")
        return Suggestion(values, f"Quasi-random point {index + 1}: spreads the trials evenly over the search space")


def first_unseen(space: Space, seed: int, seen: Collection[Key]) -> tuple[int | None, dict[KnobName, Value]] | None:
    """The first unseen valid point and its index (None for one off the sequence); None when all were seen."""
    values: dict[KnobName, Value] = {}
    for index in range(PATIENCE + 2 * len(seen)):
        values = space.decode(point(index, len(space.domains), seed))
        if space.broken(values) is None and space.key(values) not in seen:
            return index, values
        if space.size is not None and space.size <= len(seen):
            break
    left = space.nearest_unseen(values, seen)
    return None if left is None else (None, left)
