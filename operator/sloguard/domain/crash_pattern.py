"""What a row of the tables of crash messages is made of."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from re import Match
from typing import Final

from sloguard.api.v1alpha1 import CrashClass, CrashPhase, Fault

from .proof import Limit


class Rank(IntEnum):
    """How close a message is to the cause. The first message of the best rank in a log is the cause."""

    CAUSE = 0
    """Names what went wrong."""
    SYMPTOM = 1
    """Follows from a cause that another process or a later line may name."""
    HEADING = 2
    """Announces a reason that the next lines give."""


Test = Callable[[Match[str]], bool]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """One way to say one thing.

    `needles` are literals of which the line has to contain one: they keep other lines from costing time. Behind a
    `heading`, which an earlier line has said, any line may be meant.
    `seen` says where: versions of vLLM whose source or running server has the words, or who else writes them.
    `serving`: a server that is up can die of it; other messages count only until it is ready. `front_end`: its API
    server can say so of itself even then.
    """

    crash_class: CrashClass
    needles: tuple[str, ...] = ()
    heading: str = ""
    regex: re.Pattern[str]
    seen: str
    confidence: int
    rank: Rank = Rank.CAUSE
    phase: CrashPhase | None = None
    fault: Fault | None = None
    limit: Limit | None = None
    accepts: Test | None = None
    serving: bool = False
    front_end: bool = False

    def match(self, text: str) -> Match[str] | None:
        """The match, where the row holds for its figures too."""
        found = self.regex.search(text)
        return found if found is None or self.accepts is None or self.accepts(found) else None


INFRASTRUCTURE_CLASSES: Final = frozenset(
    {
        CrashClass.PROBE_KILLED,
        CrashClass.GPU_MEMORY_TAKEN,
        CrashClass.IMAGE_PULL,
        CrashClass.UNSCHEDULABLE,
        CrashClass.QUOTA,
        CrashClass.MOUNT,
        CrashClass.SANDBOX,
        CrashClass.EVICTED,
        CrashClass.NODE_LOST,
        CrashClass.GPU_LOST,
        CrashClass.MODEL_DOWNLOAD,
        CrashClass.PORT_IN_USE,
        CrashClass.SHARED_MEMORY_TOO_SMALL,
        CrashClass.LOAD_GENERATOR,
        CrashClass.LIVE_TRAFFIC,
    }
)


def usual_fault(crash_class: CrashClass) -> Fault:
    """Whose fault a class is unless a row knows better."""
    return Fault.INFRASTRUCTURE if crash_class in INFRASTRUCTURE_CLASSES else Fault.CONFIGURATION
