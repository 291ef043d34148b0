"""What follows from records that have not changed since the last plan need not be worked out once more. Pure.

A key for `functools.lru_cache`: models are frozen, but hold lists, and to compare them would cost more than it saves.
A substrate that reads a record at the same version gives the planner the very object that it gave it before.
"""

from collections.abc import Iterable
from typing import Generic, TypeVar, cast

T = TypeVar("T")


class Same(Generic[T]):
    """Equal to another only where both are of the very same object."""

    __slots__ = ("it",)

    def __init__(self, it: T) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and cast("Same[object]", other).it is self.it

    def __hash__(self) -> int:
        return id(self.it)


def all_same(those: Iterable[T]) -> tuple[Same[T], ...]:
    return tuple(Same(one) for one in those)


def of_all(those: Iterable[Same[T]]) -> list[T]:
    return [one.it for one in those]
