"""vLLM's log format: `(EngineCore pid=7) INFO 11-22 10:00:00 [core.py:114] text`, every line prefixed."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

API_SERVER = "APIServer"
ENGINE_CORE = "EngineCore"


class Log:
    """Writes to stdout as vLLM's handlers do, and bare tracebacks to stderr."""

    def __init__(self) -> None:
        self._pid = os.getpid()

    def line(self, process: str, level: str, source: str, text: str) -> None:
        """A record, one prefix a line; `source` is file:line."""
        head = f"({process} pid={self._pid}) {level} {time.strftime('%m-%d %H:%M:%S')} [{source}] "
        self._write(sys.stdout, head, text)

    def uvicorn(self, text: str, level: str = "INFO") -> None:
        """`INFO:     text`, as uvicorn writes."""
        self._write(sys.stdout, f"({API_SERVER} pid={self._pid}) {level + ':':<9} ", text)

    def traceback(self, process: str, text: str) -> None:
        """Text without level or time, as an uncaught exception prints."""
        self._write(sys.stderr, f"({process} pid={self._pid}) ", text)

    def bare(self, text: str) -> None:
        self._write(sys.stderr, "", text)

    @staticmethod
    def _write(stream: TextIO, head: str, text: str) -> None:
        lines = "".join(f"{head}{line}\n" for line in text.split("\n"))
        print(lines, end="", file=stream, flush=True)
