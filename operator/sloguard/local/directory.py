"""Writes a run's directory: one run at a time, each record on disk before anything follows from it."""

import contextlib
import fcntl
import json
import os
import uuid
from collections.abc import Generator
from pathlib import Path
from typing import Any, BinaryIO, Self

import yaml

from sloguard.api.v1alpha1 import Study, StudySpec, StudyStatus, Trial
from sloguard.local.errors import RunDirectoryError
from sloguard.local.own_files import with_own_files
from sloguard.local.records import RECORDS_FILE, SCHEMA, STUDY_FILE, Run, read_run, whole_lines

LOCK_FILE = "lock"

COMPARABLE = ("target", "slos", "objective", "workload", "search_space", "optimizer")
"""What makes a study's trials comparable, as immutable here as in a cluster."""


class RunDirectory:
    """A directory that this process alone writes. Use as a context manager."""

    def __init__(self, path: Path, study: Study) -> None:
        """A new run, or the one that the directory already holds.

        Raises:
            RunDirectoryError: another run holds the directory, it belongs to another study, or it cannot be written.

        """
        self.path = path
        with _writing(path), contextlib.ExitStack() as opening:
            for folder in (path, path / "logs", path / "loads"):
                folder.mkdir(parents=True, exist_ok=True)
            opening.callback(os.close, _locked(path))
            study = with_own_files(study, path)
            self.run = _resumed(path, study) if (path / STUDY_FILE).exists() else _begun(path, study)
            # Unbuffered: a write that failed must not be tried again at the end.
            self._stream = opening.enter_context((path / RECORDS_FILE).open("ab", buffering=0))
            # So that the next record does not become part of a line that a kill cut short.
            self._stream.truncate(len(whole_lines((path / RECORDS_FILE).read_bytes())))
            self._open = opening.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def write_trial(self, trial: Trial) -> None:
        self._append("trial", trial.dump())
        self.run.trials[trial.name] = trial

    def write_status(self, status: StudyStatus) -> None:
        if status != self.run.study.status:
            self._append("study", status.dump())
            self.run.study = self.run.study.model_copy(update={"status": status})

    def log(self, trial: str) -> Path:
        return self.path / "logs" / f"{trial}.log"

    def load_file(self, trial: str, name: str) -> Path:
        return self.path / "loads" / f"{trial}.{name}"

    def fresh(self, path: Path) -> BinaryIO:
        """An empty file of the run; what an earlier attempt to make it left is gone."""
        with _writing(path):
            return path.open("wb")

    def write_file(self, path: Path, text: str) -> None:
        with _writing(path):
            path.write_text(text)

    def _append(self, kind: str, stored: dict[str, Any]) -> None:
        line = json.dumps({"schema": SCHEMA, "kind": kind, "object": stored}, separators=(",", ":"))
        left = memoryview(line.encode() + b"\n")
        with _writing(self.path):
            while left:
                left = left[self._stream.write(left) :]
            os.fsync(self._stream.fileno())


def _locked(path: Path) -> int:
    """The lock's file; the kernel lets go of it when this process ends, however it does."""
    lock = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode(errors="replace").strip()
        os.close(lock)
        who = f" (process {holder})" if holder.isdecimal() else ""
        message = f"another sloguard{who} runs a study in {path}; wait for it, or give another directory with --output"
        raise RunDirectoryError(message) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _begun(path: Path, study: Study) -> Run:
    if (path / RECORDS_FILE).exists():
        raise RunDirectoryError(
            f"{path} holds records without their {STUDY_FILE}; give another directory with --output"
        )
    metadata = study.metadata.model_copy(update={"uid": str(uuid.uuid4())})
    named = study.model_copy(update={"metadata": metadata, "status": StudyStatus()})
    _write(path / STUDY_FILE, named)
    return Run(named)


def _resumed(path: Path, study: Study) -> Run:
    """The earlier run. What does not touch its results, such as the budget, may have changed since."""
    run = read_run(path)
    before = run.study
    changed = _incomparable(before.spec, study.spec)
    if before.name != study.name:
        changed.insert(0, "metadata.name")
    if changed:
        raise RunDirectoryError(
            f"{path} holds results of another study: {', '.join(changed)} differ; "
            "give another directory with --output, or the study as it was to go on with it"
        )
    if before.spec != study.spec:
        run.study = before.model_copy(update={"spec": study.spec})
        _write(path / STUDY_FILE, run.study.model_copy(update={"status": StudyStatus()}))
    return run


def _incomparable(before: StudySpec, after: StudySpec) -> list[str]:
    names = {name: StudySpec.model_fields[name].alias or name for name in COMPARABLE}
    return [f"spec.{names[name]}" for name in COMPARABLE if getattr(before, name) != getattr(after, name)]


def _write(path: Path, study: Study) -> None:
    """In one piece or not at all."""
    draft = path.with_suffix(".new")
    with draft.open("w") as stream:
        yaml.safe_dump(study.dump(), stream, sort_keys=False)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


@contextlib.contextmanager
def _writing(path: Path) -> Generator[None]:
    """A full or read-only disk is told in a sentence."""
    try:
        yield
    except OSError as error:
        raise RunDirectoryError(
            f"{error.filename or path} cannot be written: {error.strerror}; make room, or give another directory with "
            "--output. What was measured stays where it is, and the same command goes on with it"
        ) from error
