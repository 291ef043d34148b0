"""What a run's directory holds, and how it is read.

    study.yaml       the study as it was given, with the uid of the run
    records.jsonl    {"schema": 1, "kind": "trial" | "study", "object": {...}}, in the order of events; the last counts
    ledger.jsonl     what it knew of earlier studies when it began: its own setup, then one of their records a line
    logs/TRIAL.log   what the server wrote
    loads/TRIAL.*    the load's request, and of each generator the result and log
    lock             held while a study runs here

A record is on disk before anything follows from it, so a last line without its end says nothing that matters: it is
passed over by who reads and cut off by who writes. Any other line that cannot be read is damage and is told.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import ValidationError

from sloguard.api.v1alpha1 import Study, StudyStatus, Trial
from sloguard.local.errors import RunDirectoryError

SCHEMA = 1
STUDY_FILE = "study.yaml"
RECORDS_FILE = "records.jsonl"
LEDGER_FILE = "ledger.jsonl"


@dataclass(slots=True)
class Run:
    """A study with its status and all its trials, by name, in the order in which they were recorded."""

    study: Study
    trials: dict[str, Trial] = field(default_factory=dict[str, Trial])


def read_run(path: Path) -> Run:
    """What a directory holds, also while a study runs there.

    Raises:
        RunDirectoryError: it holds no run, or one that cannot be read.

    """
    run = Run(_read_study(path))
    for number, kind, stored in _records(path / RECORDS_FILE):
        try:
            if kind == "trial":
                trial = Trial.model_validate(stored)
                run.trials[trial.name] = trial
            else:
                status = StudyStatus.model_validate(stored)
                run.study = run.study.model_copy(update={"status": status})
        except ValidationError as error:
            raise _damaged(path / RECORDS_FILE, number, str(error.errors()[0]["msg"])) from error
    return run


def whole_lines(content: bytes) -> bytes:
    """Without a last line that a kill cut short."""
    return content[: content.rfind(b"\n") + 1]


def _read_study(path: Path) -> Study:
    file = path / STUDY_FILE
    try:
        given = yaml.safe_load(file.read_bytes())
        return Study.model_validate(given)
    except OSError as error:
        raise RunDirectoryError(f"{path} holds no results of a study: {STUDY_FILE}: {error.strerror}") from error
    except (yaml.YAMLError, ValidationError) as error:
        said = str(error.errors()[0]["msg"]) if isinstance(error, ValidationError) else "it is not YAML"
        message = f"{file} is not as this version of sloguard wrote it: {said}; use the version that wrote it"
        raise RunDirectoryError(message) from error


def _records(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunDirectoryError(f"{path} cannot be read: {error.strerror}") from error
    for number, line in enumerate(whole_lines(content).splitlines(), start=1):
        try:
            record = json.loads(line)
            schema, kind, stored = record["schema"], record["kind"], record["object"]
        except (ValueError, LookupError, TypeError) as error:
            raise _damaged(path, number, "it is no record") from error
        if schema != SCHEMA:
            raise RunDirectoryError(
                f"{path} was written in schema {schema}, this version of sloguard reads {SCHEMA}; "
                "use the version that wrote it"
            )
        yield number, cast("str", kind), cast("dict[str, Any]", stored)


def _damaged(path: Path, number: int, what: str) -> RunDirectoryError:
    return RunDirectoryError(
        f"{path}, line {number} is damaged ({what}); mend or remove the line, or begin anew in another directory"
    )
