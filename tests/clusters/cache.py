"""Where things are kept: what is expensive to make, and what one run leaves behind if it is killed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CACHE = Path(os.environ.get("SLOGUARD_CACHE", Path.home() / ".cache" / "sloguard-testcluster"))
RUNS = Path(tempfile.gettempdir()) / f"sloguard-clusters-{os.getuid()}"


def say(message: str) -> None:
    print(f"tests/clusters: {message}", flush=True)


def digest(*parts: str | bytes | Path) -> str:
    """Twelve hexadecimal digits that name a content: of strings, files, and whole folders."""
    total = hashlib.sha256()
    for part in parts:
        for chunk in _chunks(part):
            total.update(len(chunk).to_bytes(8, "big") + chunk)
    return total.hexdigest()[:12]


def _chunks(part: str | bytes | Path) -> Iterator[bytes]:
    if isinstance(part, str):
        yield part.encode()
    elif isinstance(part, bytes):
        yield part
    elif part.is_dir():
        for path in sorted(part.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(part)).encode()
                yield path.read_bytes()
    else:
        yield part.read_bytes()


@contextlib.contextmanager
def locked(name: str, waiting_for: str = "") -> Iterator[None]:
    """Only one process of this machine is inside at a time. The kernel lets go of the lock of one that died."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run that {waiting_for or 'holds ' + name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def workspace(kind: str, clean: Callable[[Path], None]) -> Iterator[Path]:
    """A folder for what one run starts. ``clean`` undoes what its files tell of, and runs here at the end.

    It also runs first, for each folder of this kind whose owner was killed before it could clean.
    """
    with _sweeping():
        for folder in RUNS.glob(f"{kind}-*"):
            if _abandoned(folder):
                say(f"cleaning after a run that was killed: {folder}")
                _remove(folder, clean)
        folder = RUNS / f"{kind}-{secrets.token_hex(3)}"
        folder.mkdir()
        owner = (folder / "owner").open("w")
        fcntl.flock(owner, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        _remove(folder, clean)
        owner.close()


@contextlib.contextmanager
def _sweeping() -> Iterator[None]:
    RUNS.mkdir(mode=0o700, exist_ok=True)
    with (RUNS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _abandoned(folder: Path) -> bool:
    """Whether nobody holds the folder: its owner's lock outlives neither the owner nor its folder."""
    try:
        with (folder / "owner").open("w") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True
    return True


def _remove(folder: Path, clean: Callable[[Path], None]) -> None:
    clean(folder)
    shutil.rmtree(folder, ignore_errors=True)


def wait_until(what: str, check: Callable[[], object], seconds: float, hint: str = "") -> None:
    """Return once ``check`` gives a true value. What it raises in the meantime counts as "not yet"."""
    end = time.monotonic() + seconds
    last = "it said no"
    while time.monotonic() < end:
        try:
            if check():
                return
        except Exception as error:  # noqa: BLE001 - anything may fail while the thing is still starting
            last = f"{type(error).__name__}: {error}"
        time.sleep(0.1)
    raise TimeoutError(f"{what}: not so after {seconds:.0f} s ({last}){hint and '; ' + hint}")
