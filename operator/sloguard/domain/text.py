"""Text of others, made fit for conditions, events and terminals: it is data, whatever is written in it."""

import re
from typing import Final

from .log_lines import plain

MOST_CHARACTERS: Final = 1024

_INVISIBLE: Final = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
"""Control characters, and those that turn the direction of what follows; of line ends only LF and CR are left."""

_CONTROLS: Final = re.compile(f"[{_INVISIBLE}]")
_ALL_CONTROLS: Final = re.compile(f"[{_INVISIBLE}\t\n\r]+")


def readable(text: str, most: int = MOST_CHARACTERS) -> str:
    """One bounded line without escape sequences."""
    return _ALL_CONTROLS.sub(" ", plain(text[: most * 4])).strip()[:most]


def harmless(log: str) -> str:
    """A log, line for line as it was, without what a terminal would obey."""
    return _CONTROLS.sub("", plain(log))
