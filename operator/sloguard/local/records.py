"""A run's directory: what was asked for, every trial, and the study's status, appended line by line.

    study.yaml       the study as it was given
    records.jsonl    {"schema": 1, "kind": "trial" | "study", "object": {...}}, in the order of events; the last counts
    logs/TRIAL.log   what the server wrote
    loads/TRIAL.*    the load's request and result

A line is on disk before anything follows from it. A torn last line (a kill in the middle of a write) is passed over.
"""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sloguard.api.v1alpha1 import Study, StudyStatus, Trial

SCHEMA = 1


class RunDirectoryError(ValueError):
    """The directory cannot hold this run; the message says why and what to do."""


class RunDirectory:
    """Open with `RunDirectory.create` or `RunDirectory.open`."""

    def __init__(self, path: Path, study: Study) -> None:
        self.path = path
        self.study = study
        self.trials: dict[str, Trial] = {}
        self._stream = (path / "records.jsonl").open("ab")

    @classmethod
    def create(cls, path: Path, study: Study) -> "RunDirectory":
        """A new run, or, where the directory already holds this very study, that run again."""
        if (path / "study.yaml").exists():
            return cls._resume(path, study)
        path.mkdir(parents=True, exist_ok=True)
        for folder in ("logs", "loads"):
            (path / folder).mkdir(exist_ok=True)
        named = study.model_copy(update={"metadata": study.metadata.model_copy(update={"uid": str(uuid.uuid4())})})
        _write(path / "study.yaml", yaml.safe_dump(named.model_copy(update={"status": StudyStatus()}).dump()))
        return cls(path, named)

    @classmethod
    def _resume(cls, path: Path, study: Study) -> "RunDirectory":
        run = cls.open(path)
        if run.study.spec != study.spec:
            run.close()
            raise RunDirectoryError(
                f"{path} holds results of another study; give another directory, or the same study to resume it"
            )
        return run

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """An earlier run with all that it recorded."""
        try:
            given = yaml.safe_load((path / "study.yaml").read_text())
        except OSError as error:
            raise RunDirectoryError(f"{path} holds no run: {error.strerror} (study.yaml)") from error
        run = cls(path, Study.model_validate(given))
        run._mend_torn_line()
        for kind, stored in _records(path / "records.jsonl"):
            if kind == "trial":
                trial = Trial.model_validate(stored)
                run.trials[trial.name] = trial
            else:
                run.study = run.study.model_copy(update={"status": StudyStatus.model_validate(stored)})
        return run

    def close(self) -> None:
        self._stream.close()

    def write_trial(self, trial: Trial) -> None:
        self._append("trial", trial.dump())
        self.trials[trial.name] = trial

    def write_status(self, status: StudyStatus) -> None:
        if status == self.study.status:
            return
        self._append("study", status.dump())
        self.study = self.study.model_copy(update={"status": status})

    def log(self, trial: Trial) -> Path:
        return self.path / "logs" / f"{trial.name}.log"

    def load_request(self, trial: Trial) -> Path:
        return self.path / "loads" / f"{trial.name}.request.json"

    def load_result(self, trial: Trial) -> Path:
        return self.path / "loads" / f"{trial.name}.result.json"

    def _append(self, kind: str, stored: dict[str, Any]) -> None:
        line = json.dumps({"schema": SCHEMA, "kind": kind, "object": stored}, separators=(",", ":"))
        self._stream.write(line.encode() + b"\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def _mend_torn_line(self) -> None:
        """End a line that a kill cut short, so that the next record does not become part of it."""
        records = self.path / "records.jsonl"
        if records.stat().st_size and not records.read_bytes().endswith(b"\n"):
            self._stream.write(b"\n")
            self._stream.flush()


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if record.get("schema") != SCHEMA:
            raise RunDirectoryError(
                f"{path} was written in schema {record.get('schema')}, this version reads {SCHEMA}; "
                "use the version of sloguard that wrote it"
            )
        yield record["kind"], record["object"]


def _write(path: Path, text: str) -> None:
    """In one piece or not at all."""
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.replace(path)
