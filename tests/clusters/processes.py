"""Programs that a run starts: each is known by pid and start time, and none outlives the run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
libc = ctypes.CDLL(None)


def start(folder: Path, name: str, *command: str | Path, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a program whose output goes to ``folder/logs`` and whose identity to ``folder/pids``.

    The kernel ends it if this process dies, even by SIGKILL.
    """
    for kind in ("logs", "pids"):
        (folder / kind).mkdir(exist_ok=True)
    with (folder / "logs" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | (env or {}),
            start_new_session=True,
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509 - no thread forks here
        )
    (folder / "pids" / name).write_text(f"{process.pid} {_started(process.pid)}")
    _children[process.pid] = process
    return process


_children: dict[int, subprocess.Popen[bytes]] = {}


def stop(folder: Path, name: str, patience_seconds: float = 10) -> None:
    """SIGTERM, then SIGKILL, to the process group of what ``start`` started, if that very process still runs."""
    record = folder / "pids" / name
    if not record.exists():
        return
    pid, started = record.read_text().split()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if _wait_gone(int(pid), started, 0):
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(pid), number)
        _wait_gone(int(pid), started, patience_seconds)
    child = _children.pop(int(pid), None)
    if child:
        child.wait()
    record.unlink()


def stop_all(folder: Path) -> None:
    """In the reverse order of their start: what depends on another goes before it."""
    records = sorted(folder.glob("pids/*"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for record in records:
        stop(folder, record.name)


def running(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is None


def log_tail(folder: Path, name: str, lines: int = 15) -> str:
    return "\n".join((folder / "logs" / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])


def _started(pid: int) -> str:
    """When a process began, in ticks since boot: with the pid, an identity that is never used again."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return "gone"
    return "gone" if state == "Z" else rest[18]


def _wait_gone(pid: int, started: str, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while _started(pid) == started:
        if time.monotonic() >= end:
            return False
        time.sleep(0.05)
    return True
