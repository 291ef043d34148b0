"""A study from a local file. Whatever is wrong with the file is told at once, with field, value and remedy."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path as FilePath
from typing import Final, cast

from pydantic import ValidationError

from .documents import Document, Path, Problem, UnreadableError, read
from .nulls import without_nulls
from .v1alpha1 import API_VERSION, STUDIES, Study
from .wording import problems, shown

MAX_PROBLEMS: Final = 20


class StudyFileError(ValueError):
    """What is wrong with a file; one line for each problem, in the file's order."""

    def __init__(self, path: FilePath, found: Iterable[Problem]) -> None:
        self.path = path
        self.problems = tuple(sorted(found, key=lambda problem: problem.line or 0))
        lines = [f"  {problem}" for problem in self.problems[:MAX_PROBLEMS]]
        if len(self.problems) > MAX_PROBLEMS:
            lines.append(f"  and {len(self.problems) - MAX_PROBLEMS} more")
        super().__init__("\n".join((f"{path} is not a valid study:", *lines)))


def load_study(path: FilePath | str) -> Study:
    """The study in a YAML or JSON file, for a process of this machine or for a cluster. Raises StudyFileError.

    A path in it is relative to the file, and absolute in what is returned.
    """
    file = FilePath(path)
    try:
        document = read(file)
    except UnreadableError as error:
        raise StudyFileError(file, error.problems) from None
    wrong = list(_wrong_object(document))
    if wrong:
        raise StudyFileError(file, wrong)
    try:
        # As JSON, strictly and by alias: as for the API server, text is no number and a field has one name.
        text = json.dumps(without_nulls(document.value))
        return _beside(Study.model_validate_json(text, strict=True, by_alias=True, by_name=False), file)
    except ValidationError as error:
        raise StudyFileError(file, _all_problems(error, document)) from None


def _beside(study: Study, file: FilePath) -> Study:
    workload = study.spec.workload.with_files(lambda path: str(file.absolute().parent / path))
    return study.model_copy(update={"spec": study.spec.model_copy(update={"workload": workload})})


def _wrong_object(document: Document) -> Iterator[Problem]:
    """Another kind of object has other fields; to complain about each would hide the one mistake."""
    value = cast("object", document.value)
    if not isinstance(value, dict):
        yield Problem((), f"{shown(value)} is not a study; write apiVersion, kind, metadata and spec", 1)
        return
    fields = cast("dict[str, object]", value)
    for name, expected in (("apiVersion", API_VERSION), ("kind", STUDIES.kind)):
        given = fields.get(name)
        if given is None:
            yield Problem((name,), f"is missing; write {name}: {expected}")
        elif given != expected:
            yield Problem((name,), f"{shown(given)} is not what is read here; write {expected}", document.line((name,)))


def _all_problems(error: ValidationError, document: Document) -> Iterator[Problem]:
    for complaint in error.errors(include_url=False):
        for problem in problems(complaint):
            yield problem._replace(line=document.line(_within(problem.path)))


def _within(path: Path) -> Path:
    """Without pydantic's marks for the key of a mapping."""
    return tuple(part for part in path if part != "[key]")
