"""The search space: which configurations may be tried, and how they lie in a unit cube."""

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, product
from random import Random

from sloguard.api.v1alpha1 import KnobName, SearchSpace
from sloguard.domain.knobs import KNOBS, value_text
from sloguard.domain.result import Value, Values
from sloguard.domain.rules import RULED, Context, broken_rule, effective

from .domains import Domain
from .errors import SpaceError
from .narrowing import Requirement, narrow
from .sequence import point

__all__ = ["Context", "Key", "Space", "SpaceError", "make_space"]

ENUMERABLE = 2048
"""Up to this many combinations are listed one by one; more than any budget could try."""

PROBES = 1024
"""Points of a space too large to list that are looked at before it is called empty."""

SPREAD = 512
"""Points among which the nearest one is sought in a space too large to list."""

NO_ORDER_DISTANCE = 0.5
"""How far apart two values of a choice lie, on a scale where a number's whole range is 1."""

Key = tuple[str, ...]
"""What makes two configurations the same one: the text of each knob's value in effect, in the catalogue's order."""


@dataclass(frozen=True)
class Space:
    """Knobs that are tuned, with their domains; everything else of production stays (`context.fixed`).

    `conditions` say where a knob is active; elsewhere it is left out, and vLLM's default holds.
    """

    domains: Mapping[KnobName, Domain]
    conditions: Mapping[KnobName, Requirement]
    context: Context
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[KnobName, ...]:
        """The knobs that are tuned, in the catalogue's order; what `with_parameters` has to manage."""
        return tuple(self.domains)

    @cached_property
    def size(self) -> int | None:
        """How many different valid configurations there are; None for more than can be listed."""
        return None if self.listed is None else len(self.listed)

    @cached_property
    def listed(self) -> tuple[dict[KnobName, Value], ...] | None:
        """All valid configurations, where they are few enough."""
        if math.prod(len(domain.values) for domain in self.domains.values()) > ENUMERABLE:
            return None
        found: dict[Key, dict[KnobName, Value]] = {}
        for combination in product(*(domain.values for domain in self.domains.values())):
            values = self.restricted(dict(zip(self.domains, combination, strict=True)))
            if self.broken(values) is None:
                found.setdefault(self.key(values), values)
        return tuple(found.values())

    def restricted(self, values: Values) -> dict[KnobName, Value]:
        """The values without those of inactive or foreign knobs."""
        kept: dict[KnobName, Value] = {}
        for name in self.parents_first:
            if name in values and self.is_active(name, kept):
                kept[name] = values[name]
        return {name: kept[name] for name in self.domains if name in kept}

    def active(self, values: Values) -> tuple[KnobName, ...]:
        """The knobs that have a value under these values' conditions."""
        kept = self.restricted(values)
        return tuple(name for name in self.domains if self.is_active(name, kept))

    def broken(self, values: Values) -> str | None:
        """Why vLLM or the workload cannot do with these values, or None."""
        return broken_rule(values, self.context)

    def contains(self, values: Values) -> bool:
        """Whether a configuration may be tried: exactly the active knobs, within their domains, no rule broken."""
        return (
            set(values) == set(self.active(values))
            and all(self.domains[name].contains(value) for name, value in values.items())
            and self.broken(values) is None
        )

    def key(self, values: Values) -> Key:
        """Equal for configurations that a server could not tell apart, also when one leaves a default unsaid."""
        known = effective({name: value for name, value in values.items() if name in self.domains}, self.context)
        return tuple(value_text(known[name]) if name in known else "" for name in self.domains)

    def decode(self, place: Sequence[float]) -> dict[KnobName, Value]:
        """The configuration at a point of the unit cube, one coordinate a knob; it may break a rule."""
        values = {name: domain.at(u) for (name, domain), u in zip(self.domains.items(), place, strict=True)}
        return self.restricted(values)

    def encode(self, values: Values) -> tuple[float, ...]:
        """The point of the unit cube where a configuration lies; unset knobs at their default, or in the middle."""
        known = effective(values, self.context)
        places = (domain.place(known[name]) if name in known else None for name, domain in self.domains.items())
        return tuple(0.5 if place is None else place for place in places)

    def distance(self, one: Values, other: Values) -> float:
        """Euclidean in the unit cube, where any two values of a choice are equally far apart."""
        total = 0.0
        for domain, here, there in zip(self.domains.values(), self.encode(one), self.encode(other), strict=True):
            apart = here - there if domain.scale is not None else NO_ORDER_DISTANCE * (here != there)
            total += apart * apart
        return math.sqrt(total)

    def sample(self, rng: Random) -> dict[KnobName, Value] | None:
        """A valid configuration drawn at random, or None when a great many draws found none."""
        for _ in range(PROBES):
            values = self.decode([rng.random() for _ in self.domains])
            if self.broken(values) is None:
                return values
        return rng.choice(self.listed) if self.listed else None

    def neighbours(self, values: Values) -> Iterator[dict[KnobName, Value]]:
        """Valid configurations that differ in one knob by one step, or by one other value of a choice."""
        for name in self.active(values):
            domain = self.domains[name]
            start = values.get(name, domain.at(0.5))
            for value in domain.neighbours(start):
                changed = self.completed({**values, name: value})
                if self.broken(changed) is None:
                    yield changed

    def nearest_unseen(self, values: Values, seen: Collection[Key]) -> dict[KnobName, Value] | None:
        """The valid configuration nearest to `values` that is not in `seen`; None when all were seen.

        In a space too large to list, the nearest of its neighbours and of a fixed set of well-spread points.
        """
        pool = self.listed if self.listed is not None else (*self.neighbours(values), *self._spread)
        unseen = [(self.distance(values, other), self.key(other), other) for other in pool]
        best = min((entry for entry in unseen if entry[1] not in seen), key=lambda entry: entry[:2], default=None)
        return None if best is None else dict(best[2])

    def corners(self) -> Iterator[dict[KnobName, Value]]:
        """Every combination of the ends of what rules speak of: where rules leave little, it is there."""
        ends = [(0.0, 1.0) if name in RULED else (0.0,) for name in self.domains]
        return (self.decode(corner) for corner in product(*ends))

    def points(self, count: int) -> Iterator[dict[KnobName, Value]]:
        """Well-spread configurations, always the same ones; they may break rules."""
        return (self.decode(point(index, len(self.domains), seed=0)) for index in range(count))

    @cached_property
    def _spread(self) -> tuple[dict[KnobName, Value], ...]:
        return tuple(values for values in (*self.corners(), *self.points(SPREAD)) if self.broken(values) is None)

    def completed(self, values: Values) -> dict[KnobName, Value]:
        """With a value for each knob that is active but unset (a condition may just have become true)."""
        completed = dict(values)
        for name in self.parents_first:
            if name not in completed:
                default = KNOBS[name].default
                domain = self.domains[name]
                completed[name] = default if default is not None and domain.contains(default) else domain.at(0.5)
        return self.restricted(completed)

    def is_active(self, name: KnobName, kept: Values) -> bool:
        """Whether a knob's condition holds, given the values of the active knobs before it in `parents_first`."""
        if name not in self.conditions:
            return True
        parent, value = self.conditions[name]
        return kept.get(parent, self._unset.get(parent)) == value

    @cached_property
    def _unset(self) -> dict[KnobName, Value]:
        return effective({}, self.context)

    @cached_property
    def parents_first(self) -> tuple[KnobName, ...]:
        """The knobs in an order in which each comes after the one that its condition names (which has none itself)."""
        return tuple(sorted(self.domains, key=lambda name: name in self.conditions))


def make_space(search_space: SearchSpace, production: Values, context: Context) -> Space:
    """What a study may search, given production's settings; raises SpaceError when that is nothing.

    `context.fixed` is filled in here: production's settings that are not tuned.
    """
    narrowed = narrow(search_space, production, context)
    if not narrowed.domains:
        raise SpaceError(
            f"searchSpace leaves nothing to tune ({'; '.join(narrowed.notes)}); add parameters or choose preset Core"
        )
    fixed = {name: value for name, value in {**context.fixed, **production}.items() if name not in narrowed.domains}
    space = Space(
        domains=narrowed.domains,
        conditions=narrowed.conditions,
        context=replace(context, fixed=fixed),
        notes=tuple(narrowed.notes),
    )
    _refuse_empty(space)
    return space


def _refuse_empty(space: Space) -> None:
    sentences: Counter[str] = Counter()
    for values in chain(space.corners(), space.points(PROBES)):
        sentence = space.broken(values)
        if sentence is None:
            return
        sentences[sentence] += 1
    if space.size:
        return
    raise SpaceError(
        f"searchSpace holds no valid configuration: {sentences.most_common(1)[0][0]}; widen searchSpace.parameters "
        f"({', '.join(name.value for name in space.names)}) or change production's arguments or the workload"
    )
