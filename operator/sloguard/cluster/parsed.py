"""What was read before, and is at the same version still: it need not be read anew at each look."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from sloguard.api.v1alpha1 import Study, StudySpec, Trial
from sloguard.cluster.objects import Object
from sloguard.engine.snapshot import TargetProblem, TargetState

Made = TypeVar("Made")

MOST_STUDIES = 1000
MOST_TRIALS = 1000
"""Some 10 KiB each. Where there are more, those that were looked at last are kept."""


class Versions(Generic[Made]):
    """What was made of objects, each at the version that it was last seen at. What is made must never be changed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[str, tuple[Hashable, Made]] = OrderedDict()

    def known(self, stored: Object, version: Hashable) -> Made | None:
        uid: str = stored["metadata"].get("uid", "")
        found = self._made.get(uid)
        if found is None or found[0] != version:
            return None
        self._made.move_to_end(uid)
        return found[1]

    def keep(self, stored: Object, version: Hashable, made: Made) -> None:
        """Not of what is stored nowhere by itself, and has neither UID nor version."""
        uid: str = stored["metadata"].get("uid", "")
        if uid and version:
            self._made[uid] = version, made
            self._made.move_to_end(uid)
            if len(self._made) > self._most:
                self._made.popitem(last=False)

    def of(self, stored: Object, version: Hashable, make: Callable[[], Made]) -> Made:
        made = self.known(stored, version)
        if made is None:
            made = make()
            self.keep(stored, version, made)
        return made


@dataclass(frozen=True, slots=True)
class Parsed:
    """One reconciler's. It is a cache, which a restart may lose.

    A specification is known by its generation, all else by its resourceVersion.
    """

    studies: Versions[Study] = field(default_factory=lambda: Versions[Study](MOST_STUDIES))

    specs: Versions[StudySpec] = field(default_factory=lambda: Versions[StudySpec](MOST_STUDIES))
    trials: Versions[Trial] = field(default_factory=lambda: Versions[Trial](MOST_TRIALS))
    targets: Versions[TargetState | TargetProblem] = field(
        default_factory=lambda: Versions[TargetState | TargetProblem](MOST_STUDIES)
    )
