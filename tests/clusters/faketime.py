"""A wall clock that a test sets, for one process: Debian's libfaketime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.clusters.debian_package import unpacked

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "libfaketime"


def ensure() -> Path:
    """The library."""
    return next(unpacked(PACKAGE).glob("usr/lib/*/faketime/libfaketime.so.1"))


class Clock:
    """`environment` is for the process; spans that it measures are left alone, only the wall clock steps."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "faketime"
        self.step(0)
        self.environment = {
            "LD_PRELOAD": str(ensure()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, seconds: int) -> None:
        """From now on the process's clock is so far ahead of the machine's."""
        self._file.write_text(f"{seconds:+d}\n")
