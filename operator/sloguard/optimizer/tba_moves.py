"""Moves of TBA's chain: another value of a choice, or a step of a number on that number's own scale."""

from collections.abc import Callable, Iterator, Sequence
from random import Random

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.result import Value, Values
from sloguard.domain.rules import effective

from .domains import Domain
from .kde import reflected
from .space import Space

STRUCTURAL_HOT = 0.5
STRUCTURAL_COLD = 0.15
"""Probability that a move changes a choice, hottest and coldest."""

STEP_HOT = 0.30
STEP_COLD = 0.05
"""Standard deviation of a step, as a share of the knob's range on its own scale."""

FURTHER_KNOB_HOT = 0.6
FURTHER_KNOB_COLD = 0.3
"""Probability that one more knob moves, and again one more: a ridge between two knobs is climbed along both."""

TRIES = 10
"""Moves drawn for each one that is wanted."""


def moves(
    space: Space, current: Values, temperature: float, wanted: int, fresh: Callable[[Values], bool], rng: Random
) -> Iterator[dict[KnobName, Value]]:
    """Up to `wanted` different valid configurations around `current` for which `fresh` holds."""
    made: set[tuple[str, ...]] = set()
    start = _inside(space, current)
    for _ in range(TRIES * wanted):
        values = _moved(space, start, temperature, rng)
        key = space.key(values)
        if key not in made and space.broken(values) is None and fresh(values):
            made.add(key)
            yield values
            if len(made) == wanted:
                return


def _inside(space: Space, values: Values) -> dict[KnobName, Value]:
    """The configuration, or where it lies outside the space (production may), the one nearest to it inside."""
    known = effective(values, space.context)
    near: dict[KnobName, Value] = {}
    for name, domain in space.domains.items():
        value = known.get(name)
        place = None if value is None else domain.place(value)
        if value is not None and place is not None:
            near[name] = value if domain.contains(value) else domain.at(place)
    return space.completed(space.restricted(near))


def _moved(space: Space, current: Values, temperature: float, rng: Random) -> dict[KnobName, Value]:
    further = _between(FURTHER_KNOB_COLD, FURTHER_KNOB_HOT, temperature)
    left = [name for name, _ in _movable(space, current)]
    changed = dict(current)
    while left:
        name = _picked(space, left, temperature, rng)
        left.remove(name)
        changed[name] = _changed(space.domains[name], current[name], temperature, rng)
        if rng.random() >= further:
            break
    return space.completed(space.restricted(changed))


def _picked(space: Space, names: Sequence[KnobName], temperature: float, rng: Random) -> KnobName:
    choices = [name for name in names if space.domains[name].scale is None]
    numbers = [name for name in names if space.domains[name].scale is not None]
    structural = _between(STRUCTURAL_COLD, STRUCTURAL_HOT, temperature)
    return rng.choice(choices if choices and (not numbers or rng.random() < structural) else numbers)


def _changed(domain: Domain, value: Value, temperature: float, rng: Random) -> Value:
    if domain.scale is None:
        return rng.choice(list(domain.neighbours(value)))
    return _stepped(domain, value, _between(STEP_COLD, STEP_HOT, temperature), rng)


def _between(cold: float, hot: float, temperature: float) -> float:
    return cold + (hot - cold) * temperature


def _movable(space: Space, current: Values) -> Iterator[tuple[KnobName, Domain]]:
    for name in space.active(current):
        domain = space.domains[name]
        if len(domain.values) > 1 and name in current:
            yield name, domain


def _stepped(domain: Domain, value: Value, step: float, rng: Random) -> Value:
    """Never the value itself: a step too small to leave it goes to the next one."""
    place = domain.place(value)
    offset = rng.gauss(0.0, step)
    moved = domain.at(reflected((0.5 if place is None else place) + offset))
    if moved != value:
        return moved
    around = list(domain.neighbours(value))
    return around[-1] if offset > 0 else around[0]
