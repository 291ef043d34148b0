"""The ledger of this machine's studies: one record a line, written by any number of `sloguard tune` at a time.

A last line without its end is passed over by who reads and cut off by who writes. Lines of another version of sloguard
are passed over and kept. Past MOST_BYTES the file is written anew with what `domain.ledger.compacted` keeps.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from sloguard.domain.ledger import LedgerRecord, compacted
from sloguard.local.errors import LedgerError
from sloguard.local.records import whole_lines

MOST_BYTES = 2 * 1024 * 1024
"""At some 800 bytes each, 2,600 records; 900 of them stay."""

MOST_FOREIGN_LINES = 200
"""Lines that this version cannot read and that a compaction keeps, the latest ones."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a ledger holds; `foreign` are lines that this version of sloguard cannot read."""

    records: tuple[LedgerRecord, ...] = ()
    foreign: tuple[bytes, ...] = ()


def default_path() -> Path:
    """Of the user: $XDG_STATE_HOME/sloguard/ledger.jsonl, else ~/.local/state/sloguard/ledger.jsonl."""
    state = os.environ.get("XDG_STATE_HOME", "")
    # The specification of XDG wants relative paths passed over.
    home = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return home / "sloguard" / "ledger.jsonl"


def read_ledger(path: Path) -> Content:
    """Nothing where there is no file.

    Raises:
        LedgerError: it cannot be read.

    """
    try:
        return parsed(path.read_bytes())
    except FileNotFoundError:
        return Content()
    except OSError as error:
        raise _unusable(path, error) from error


def parsed(content: bytes) -> Content:
    """Of any bytes: what is no record of this version is foreign."""
    records: list[LedgerRecord] = []
    foreign: list[bytes] = []
    for line in whole_lines(content).splitlines():
        try:
            records.append(LedgerRecord.model_validate_json(line))
        except ValidationError:
            foreign.append(line)
    return Content(tuple(records), tuple(foreign))


def add_to_ledger(path: Path, records: Sequence[LedgerRecord]) -> None:
    """On disk when this returns; other writers wait meanwhile.

    Raises:
        LedgerError: it cannot be written.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            _append(path, records)
            if path.stat().st_size > MOST_BYTES:
                _compact(path)
    except OSError as error:
        raise _unusable(path, error) from error


def _append(path: Path, records: Iterable[LedgerRecord]) -> None:
    with path.open("ab", buffering=0) as stream:
        stream.truncate(len(whole_lines(path.read_bytes())))
        left = memoryview(b"".join(_line(record) for record in records))
        while left:
            left = left[stream.write(left) :]
        os.fsync(stream.fileno())


def _compact(path: Path) -> None:
    """In one piece or not at all."""
    content = parsed(path.read_bytes())
    draft = path.with_suffix(".new")
    with draft.open("wb") as stream:
        stream.writelines(line + b"\n" for line in content.foreign[-MOST_FOREIGN_LINES:])
        stream.writelines(_line(record) for record in compacted(content.records))
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def _line(record: LedgerRecord) -> bytes:
    return json.dumps(record.dump(), separators=(",", ":")).encode() + b"\n"


@contextlib.contextmanager
def _alone(path: Path) -> Generator[None]:
    """By a lock beside the file, which a compaction replaces."""
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _unusable(path: Path, error: OSError) -> LedgerError:
    return LedgerError(
        f"the ledger of earlier studies, {error.filename or path}, cannot be used: {error.strerror}; "
        "mend that, give another file with --ledger, or do without it with --no-ledger"
    )
