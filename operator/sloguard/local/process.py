"""A server or a load as a child process of its own group, its output always drained into a file."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Literal, Self

from sloguard.local import guard
from sloguard.local.errors import CommandError

STOP_SECONDS = 15.0
"""After SIGTERM, for a server to let go of its GPU by itself."""

GROUP_SECONDS = 5.0
"""After SIGKILL, for the kernel to take the last process of the group away."""

PR_SET_PDEATHSIG = 1
"""From Linux' prctl(2)."""

_LIBC = ctypes.CDLL(None)
"""Loaded here: between fork and exec as little as possible may happen."""


@dataclass(slots=True)
class Child:
    """A running or ended process. `ended` is its exit code, negative for a signal, None while it runs."""

    process: asyncio.subprocess.Process
    started_at: datetime
    gone: Callable[[int], None]

    @property
    def ended(self) -> int | None:
        return self.process.returncode

    async def stop(self, hurry: asyncio.Event) -> None:
        """SIGTERM to the whole group, SIGKILL when it takes too long or `hurry` is set; waits until all are gone."""
        group = self.process.pid
        if self.ended is None:
            _signal(group, signal.SIGTERM)
            await _first_of(asyncio.create_task(self.process.wait()), asyncio.create_task(hurry.wait()))
        # Also what an ended leader left behind: an engine whose API server died still holds the GPU.
        _signal(group, signal.SIGKILL)
        await self.process.wait()
        await _until_gone(group)
        self.gone(group)


async def _first_of(*tasks: "asyncio.Task[int] | asyncio.Task[Literal[True]]") -> None:
    await asyncio.wait(tasks, timeout=STOP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def _until_gone(group: int) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GROUP_SECONDS):
            while any(members(group)):  # noqa: ASYNC110 - nobody tells when a process is gone that is not our child
                await asyncio.sleep(0.02)


def members(group: int) -> Iterator[int]:
    """The processes of a group that still run; a dead one that nobody has waited for holds nothing any more."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # pid (name) state parent group ...; the name may hold anything.
            state, _, its_group, *_ = entry.read_text(errors="replace").rpartition(")")[2].split()
            if int(its_group) == group and state not in {"Z", "X"}:
                yield int(entry.parent.name)


def _signal(group: int, number: signal.Signals) -> None:
    # PermissionError: macOS says so where every process of the group is dead.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


@dataclass(slots=True)
class Family:
    """All children of one run. Use as a context manager; a guard outlives this process to end them if it is killed."""

    _guard: "subprocess.Popen[bytes]" = field(init=False)

    def __enter__(self) -> Self:
        self._guard = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", "-S", guard.__file__], stdin=subprocess.PIPE, start_new_session=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._guard.stdin is not None, "it was opened with a pipe"
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.close()
        self._guard.wait()

    async def start(self, command: Sequence[str], output: BinaryIO, environment: Mapping[str, str]) -> Child:
        """Start in a group of its own; `output` is closed here.

        Raises:
            CommandError: the program cannot be started.

        """
        parent = os.getpid()
        with output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=lambda: _die_with(parent),
                    env=environment,
                )
            except (OSError, ValueError) as error:
                raise CommandError(_why_not(command[0], error)) from error
        self._tell(f"+{process.pid}")
        return Child(process, datetime.now(UTC), lambda group: self._tell(f"-{group}"))

    def _tell(self, line: str) -> None:
        assert self._guard.stdin is not None, "it was opened with a pipe"
        # A guard that somebody killed is no reason to end the run.
        with contextlib.suppress(BrokenPipeError):
            self._guard.stdin.write(line.encode() + b"\n")
            self._guard.stdin.flush()


def _die_with(parent: int) -> None:
    """A SIGKILL of this program must not leave a server behind that holds the GPU."""
    if sys.platform == "linux":
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)


def _why_not(program: str, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            f"{program} cannot be started: it, or the interpreter that its first line names, does not exist; "
            "install it again or give another one in spec.target.command"
        )
    said = error.strerror if isinstance(error, OSError) else str(error)
    return f"{program} cannot be started: {said}; name a program of this machine in spec.target.command"
