"""How the API server calls the two kinds."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Resource:
    """The names of one kind; `short` is for people at a keyboard, who write one or many."""

    kind: str
    plural: str
    singular: str
    short: tuple[str, str]


STUDIES: Final = Resource(
    kind="SLOGuardStudy", plural="sloguardstudies", singular="sloguardstudy", short=("slostudy", "slostudies")
)
TRIALS: Final = Resource(
    kind="SLOGuardTrial", plural="sloguardtrials", singular="sloguardtrial", short=("slotrial", "slotrials")
)
