"""Tiers that only compute, in a process of their own beside those that mostly wait, and giving way to them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.driver.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence


@contextmanager
def running(names: Sequence[str]) -> Generator[Callable[[], list[Result]]]:
    """While the block runs; what is given waits for their results and prints what they said, in one piece."""
    with tempfile.TemporaryDirectory() as folder:
        said, report = Path(folder, "output"), Path(folder, "report.json")
        with said.open("wb") as output:
            command = [sys.executable, "-m", "tests.driver", report, *names]
            # A session of its own: Ctrl-C at the terminal reaches it once, by way of this process.
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
            )
        try:
            yield lambda: _results(process, names, said, report)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()


def _results(process: subprocess.Popen[bytes], names: Sequence[str], said: Path, report: Path) -> list[Result]:
    status = process.wait()
    print(said.read_text(errors="replace"), flush=True)
    if not report.exists():
        return [Result(name, problem=f"ended with status {status} and told nothing") for name in names]
    return [Result(**one) for one in json.loads(report.read_text())]
