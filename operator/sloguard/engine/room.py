"""What a substrate says when it is asked whether another candidate would find what it needs. Pure."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Room:
    """For so many candidates more. Where there is none, a CamelCase reason and a sentence say what is waited for.

    `blind` says that what is free cannot be seen, and why: then one trial runs at a time.
    """

    places: int
    reason: str = ""
    message: str = ""
    blind: bool = False


AMPLE: Final = Room(places=1_000_000)
"""Nothing bounds it but the study itself."""
