"""Moves of TBA's chain: another value of a choice, or a step of a number on that number's own scale."""

from collections.abc import Callable, Iterator
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

SECOND_KNOB = 0.35
"""Probability that a second number moves too: a ridge between two knobs is climbed along both."""

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
    structural = STRUCTURAL_COLD + (STRUCTURAL_HOT - STRUCTURAL_COLD) * temperature
    choices = [n for n, domain in _movable(space, current) if domain.scale is None]
    numbers = [n for n, domain in _movable(space, current) if domain.scale is not None]
    changed = dict(current)
    if choices and (not numbers or rng.random() < structural):
        name = rng.choice(choices)
        changed[name] = rng.choice(list(space.domains[name].neighbours(current[name])))
        return space.completed(space.restricted(changed))
    if not numbers:
        return changed
    step = STEP_COLD + (STEP_HOT - STEP_COLD) * temperature
    count = 2 if len(numbers) > 1 and rng.random() < SECOND_KNOB else 1
    for name in rng.sample(numbers, count):
        changed[name] = _stepped(space.domains[name], current[name], step, rng)
    return changed


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
