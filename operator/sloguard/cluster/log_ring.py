"""What is kept of a log that may be endless: its head, its tail, and every line between that tells something. Pure.

Bounded in bytes whatever the lines are. Of telling lines that are too many, the first and the last ones stay. Each line
keeps its number in the file and its time, so that a verdict names the right line, and what a container wrote that was
started afterwards can be told apart.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sloguard.domain.crash_scan import telling
from sloguard.domain.evidence import LogGap
from sloguard.domain.text import harmless

HEAD_BYTES: Final = 64 * 1024
TELLING_BYTES: Final = 96 * 1024
"""Of the first and of the last telling lines each."""

TAIL_BYTES: Final = 192 * 1024
LINE_CHARACTERS: Final = 8192
"""More than a verdict looks at."""

_LINE_COSTS: Final = 160
"""Bytes that Python needs for a line besides its text."""


@dataclass(frozen=True, slots=True)
class ServerLog:
    """Lines of one start, without what a terminal would obey. `unreachable` says why the node could not be asked."""

    text: str = ""
    gaps: tuple[LogGap, ...] = ()
    unreachable: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    at_ns: int
    text: str

    @property
    def cost(self) -> int:
        return _LINE_COSTS + len(self.text)


@dataclass(slots=True)
class _Lines:
    """A bounded queue of lines."""

    most: int
    lines: deque[Line] = field(default_factory=deque[Line])
    cost: int = 0

    def fits(self, line: Line) -> bool:
        return self.cost + line.cost <= self.most

    def append(self, line: Line) -> None:
        self.lines.append(line)
        self.cost += line.cost

    def overflow(self) -> Iterator[Line]:
        """Takes out the oldest until it fits again."""
        while self.cost > self.most:
            line = self.lines.popleft()
            self.cost -= line.cost
            yield line


@dataclass(slots=True)
class LogRing:
    """Of one start of one container."""

    number: int = 0
    _head: _Lines = field(default_factory=lambda: _Lines(HEAD_BYTES))
    _first: _Lines = field(default_factory=lambda: _Lines(TELLING_BYTES))
    _last: _Lines = field(default_factory=lambda: _Lines(TELLING_BYTES))
    _tail: _Lines = field(default_factory=lambda: _Lines(TAIL_BYTES))

    def add(self, text: str, at_ns: int) -> None:
        """The next line, without its end."""
        self.number += 1
        line = Line(self.number, at_ns, harmless(text[:LINE_CHARACTERS]))
        if not self._tail.lines and self._head.fits(line):
            self._head.append(line)
            return
        self._tail.append(line)
        for old in self._tail.overflow():
            if telling(old.text):
                self._keep(old)

    def _keep(self, line: Line) -> None:
        if not self._last.lines and self._first.fits(line):
            self._first.append(line)
            return
        self._last.append(line)
        for _ in self._last.overflow():
            pass

    def kept(self, until_ns: int | None = None) -> ServerLog:
        """The lines up to a time, with what is missing between them."""
        kept = [line for part in self._parts() for line in part.lines if until_ns is None or line.at_ns <= until_ns]
        gaps: list[LogGap] = []
        before = 0
        for count, line in enumerate(kept):
            if line.number > before + 1:
                gaps.append(LogGap(after=count, missing=line.number - before - 1))
            before = line.number
        return ServerLog("".join(f"{line.text}\n" for line in kept), tuple(gaps))

    @property
    def cost(self) -> int:
        """Bytes, about."""
        return sum(part.cost for part in self._parts())

    def _parts(self) -> tuple[_Lines, ...]:
        return self._head, self._first, self._last, self._tail
