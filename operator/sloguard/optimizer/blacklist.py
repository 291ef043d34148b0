"""Values, and pairs of values, that kept crashing: left alone for a while.

Rebuilt from the history: a streak of crashes bans what they share, a server that lived clears it, and a ban ends by
itself after some trials, so that no part of the space is lost for good.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from sloguard.api.v1alpha1 import KnobName, Outcome
from sloguard.domain.knobs import value_text
from sloguard.domain.result import Result, Values
from sloguard.domain.rules import effective

from .domains import Domain
from .space import Space

SHORTEST_STREAK = 3

BAN_TRIALS = 8
"""How long a ban lasts after its last crash."""

PARTS = 4
"""A range of numbers is judged in this many parts of equal length on its own scale."""

CHANCE_OF_A_VALUE = 0.05
CHANCE_OF_A_PAIR = 0.01
"""How likely a streak may be by bad luck alone, at the rate at which everything crashes, to count. There are many more
pairs than values, so that one of them is sure to have bad luck."""

Trait = tuple[KnobName, int]
"""A value of a choice, by its index, or a part of a range."""

Suspect = tuple[Trait, ...]
"""One trait, or a pair."""


@dataclass(frozen=True, slots=True)
class Ban:
    """What is left alone: `crashes` in a row, for `trials_left` more trials."""

    suspect: Suspect
    crashes: int
    trials_left: int


@dataclass(frozen=True, slots=True)
class Blacklist:
    """The bans in force."""

    space: Space
    bans: Mapping[Suspect, Ban] = field(default_factory=dict[Suspect, Ban])

    def ban_on(self, values: Values) -> Ban | None:
        """The first ban that a configuration falls under."""
        if not self.bans:
            return None
        return next((self.bans[s] for s in _suspects(self.space, values) if s in self.bans), None)

    def sentence(self, ban: Ban) -> str:
        """For a reason: what is banned and why."""
        what = " with ".join(_told(self.space, trait) for trait in ban.suspect)
        return f"{what} crashed {ban.crashes} times in a row and is left alone for {ban.trials_left} more trials"


@dataclass(slots=True)
class _Streak:
    crashes: int
    last: int


def blacklist(space: Space, taught: Sequence[Result]) -> Blacklist:
    """The bans after these results, which are in the order of their numbers."""
    streaks: dict[Suspect, _Streak] = {}
    for index, result in enumerate(taught):
        for suspect in _suspects(space, result.parameters):
            if result.outcome is not Outcome.CRASHED:
                streaks.pop(suspect, None)
            else:
                streak = streaks.setdefault(suspect, _Streak(0, index))
                streak.crashes, streak.last = streak.crashes + 1, index
    crashes = sum(result.outcome is Outcome.CRASHED for result in taught)
    needed = _needed((crashes + 1) / (len(taught) + 2))
    return Blacklist(space, {s: ban for s, streak in streaks.items() if (ban := _ban(s, streak, needed, len(taught)))})


def _needed(crash_rate: float) -> tuple[int, int]:
    """How many crashes in a row count, for a value and for a pair."""
    value, pair = (math.ceil(math.log(chance) / math.log(crash_rate)) for chance in _CHANCES)
    return max(SHORTEST_STREAK, value), max(SHORTEST_STREAK, pair)


_CHANCES = (CHANCE_OF_A_VALUE, CHANCE_OF_A_PAIR)


def _ban(suspect: Suspect, streak: _Streak, needed: tuple[int, int], trials: int) -> Ban | None:
    left = streak.last + 1 + BAN_TRIALS - trials
    if left <= 0 or streak.crashes < needed[len(suspect) - 1]:
        return None
    return Ban(suspect, streak.crashes, left)


def _suspects(space: Space, values: Values) -> Iterator[Suspect]:
    """Every trait, then every pair of them; what a knob cannot help having is not suspected."""
    known = effective(values, space.context)
    traits: list[Trait] = []
    for name in space.active(values):
        domain = space.domains[name]
        if name in known and len(domain.values) > 1:
            part = _part(domain, domain.place(known[name]))
            if part is not None:
                traits.append((name, part))
    yield from ((trait,) for trait in traits)
    yield from combinations(traits, 2)


def _part(domain: Domain, place: float | None) -> int | None:
    if place is None:
        return None
    parts = PARTS if domain.scale is not None else len(domain.values)
    return min(int(place * parts), parts - 1)


def _told(space: Space, trait: Trait) -> str:
    name, part = trait
    domain = space.domains[name]
    if domain.scale is None:
        return f"{name.value} {value_text(domain.values[part])}"
    low, high = (value_text(domain.at(end / PARTS)) for end in (part, part + 1))
    return f"{name.value} {low} to {high}"
