"""What every optimizer is: history in, one suggestion out, nothing kept in between."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from sloguard.api.v1alpha1 import Outcome
from sloguard.domain.result import Result, Values

from .space import Key, Space

TEACHING = frozenset({Outcome.FEASIBLE, Outcome.INFEASIBLE, Outcome.CRASHED})
"""Outcomes that say something about their configuration; the others may be tried again."""


@dataclass(frozen=True, slots=True)
class Veto:
    """A configuration that was passed over because it would most likely crash."""

    parameters: Values
    crash_probability: float
    reason: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What to try next, and why, as a sentence for an engineer.

    `predicted` holds what the optimizer expects, all finite; empty where it expects nothing in particular. `objective`,
    should all SLOs be met, with its `objective_stddev`, the `best_objective` so far and the `expected_improvement` on
    that are in the study's unit; the chances are `crash_probability` and `feasible_probability` (lives and meets all
    SLOs); `expected_minutes` are a GPU's for one trial.
    """

    parameters: Values
    reason: str
    predicted: Mapping[str, float] = field(default_factory=dict[str, float])
    vetoes: tuple[Veto, ...] = ()


LONGEST_REASON = 1000
"""Characters: a trial holds 1024, and what records it may add a few words."""


def cut(reason: str) -> str:
    """A reason that a trial can hold."""
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 4]} ..."


class Optimizer(Protocol):
    """Rebuilt from the history at each ask: same history (in any order), same pending, same seed, same suggestion."""

    def ask(self, history: Sequence[Result], pending: Sequence[Values]) -> Suggestion | None:
        """The next configuration, one that is neither finished nor `pending`; None when the space holds no other.

        `pending` are the configurations of trials under way, whose results are not known yet.
        """
        ...


@runtime_checkable
class Believer(Protocol):
    """An optimizer whose model tells luck from worth: the best of many noisy figures is a lucky one."""

    def believed(self, history: Sequence[Result]) -> Mapping[int, float]:
        """What each trial's configuration is worth, by its number, in the objective's unit.

        As expected of the next run, less what is likely to break an SLO; crashed trials are left out, and all of them
        while too little is known.
        """
        ...


def believed(optimizer: Optimizer, history: Sequence[Result]) -> Mapping[int, float]:
    """See `Believer`; empty where the optimizer believes nothing beyond what was measured."""
    return optimizer.believed(history) if isinstance(optimizer, Believer) else {}


def lessons(history: Iterable[Result]) -> list[Result]:
    """The results that teach, by number: infrastructure's faults and cancelled trials are passed over."""
    return sorted((result for result in history if result.outcome in TEACHING), key=lambda result: result.number)


def seen_keys(space: Space, taught: Iterable[Result], pending: Iterable[Values]) -> frozenset[Key]:
    """The configurations that need not be tried again."""
    return frozenset({space.key(result.parameters) for result in taught} | {space.key(values) for values in pending})


def derived_seed(seed: int, *parts: object) -> int:
    """A seed of 32 bits for one ask, the same on every platform and under every PYTHONHASHSEED."""
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
