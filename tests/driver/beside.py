"""Tiers in a process of their own beside those that are heard as they go; what they say comes in one piece."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.driver.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

GIVES_WAY = "--gives-way"


@contextmanager
def running(names: Sequence[str], *, gives_way: bool = False) -> Generator[Callable[[], list[Result]]]:
    """While the block runs; what is given waits for their results.

    `gives_way`: they only compute, and whoever waits for something has a processor when it comes.
    """
    with tempfile.TemporaryDirectory() as folder:
        said, report = Path(folder, "output"), Path(folder, "report.json")
        with said.open("wb") as output:
            command = [sys.executable, "-m", "tests.driver", report, *names, *([GIVES_WAY] if gives_way else [])]
            # A session of its own: Ctrl-C at the terminal reaches it once, by way of this process.
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
            )
        told = threading.Thread(target=_tell, args=(process, said))
        told.start()
        try:
            yield lambda: _results(process, told, names, report)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
            told.join()


def _tell(process: subprocess.Popen[bytes], said: Path) -> None:
    """At once when it ends: a run that is cut off has then told what was over."""
    process.wait()
    print(said.read_text(errors="replace"), flush=True)


def _results(
    process: subprocess.Popen[bytes], told: threading.Thread, names: Sequence[str], report: Path
) -> list[Result]:
    told.join()
    if not report.exists():
        return [Result(name, problem=f"ended with status {process.returncode} and told nothing") for name in names]
    return [Result(**one) for one in json.loads(report.read_text())]
