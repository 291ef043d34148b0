"""A server or a load as a child process of its own group, its output always drained into a file."""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

STOP_SECONDS = 15
PR_SET_PDEATHSIG = 1
"""From Linux' prctl(2)."""


@dataclass(slots=True)
class Child:
    """A running or ended process. `ended` is its exit code, negative for a signal, None while it runs."""

    process: asyncio.subprocess.Process
    started_at: datetime

    @property
    def ended(self) -> int | None:
        return self.process.returncode

    async def stop(self) -> None:
        """SIGTERM to the whole group, then SIGKILL; waits until the process is gone."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.ended is None:
                self._signal(number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        # What the leader left behind (an engine whose API server died) goes with the group.
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


async def start(command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> Child:
    """Start in a group of its own.

    Raises:
        OSError: the program cannot be started.

    """
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_die_with_parent,
            env={**os.environ, **(environment or {})},
        )
    return Child(process, datetime.now(UTC))


def _die_with_parent() -> None:
    """A SIGKILL of this program must not leave a server behind that holds the GPU."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port() -> int:
    """A port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
