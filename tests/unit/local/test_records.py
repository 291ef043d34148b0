"""What is read from a run's directory, whatever a kill or a person did to it."""

import json
from pathlib import Path

import pytest
import yaml

from sloguard.local.errors import RunDirectoryError
from sloguard.local.records import SCHEMA, read_run, whole_lines
from tests.unit.local.conftest import short_study


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(short_study()))
    lines = [_line("trial", _trial(number)) for number in range(3)]
    lines.append(_line("trial", _trial(1) | {"status": {"phase": "Starting"}}))
    lines.append(_line("study", {"phase": "Searching"}))
    (tmp_path / "records.jsonl").write_bytes(b"".join(lines))
    return tmp_path


def _trial(number: int) -> dict[str, object]:
    name = f"short-{number}-1"
    return {"metadata": {"name": name}, "spec": {"study": "short", "number": number, "purpose": "Search"}}


def _line(kind: str, stored: object, schema: object = SCHEMA) -> bytes:
    return json.dumps({"schema": schema, "kind": kind, "object": stored}).encode() + b"\n"


def test_last_record_of_each_counts(recorded: Path):
    run = read_run(recorded)
    assert list(run.trials) == ["short-0-1", "short-1-1", "short-2-1"]
    assert run.trials["short-1-1"].status.phase == "Starting"
    assert run.study.status.phase == "Searching"


def test_cut_off_anywhere_it_is_what_was_whole(recorded: Path):
    """A kill leaves any number of bytes; every record that was whole is there, and nothing else."""
    file = recorded / "records.jsonl"
    content = file.read_bytes()
    ends = [place for place, byte in enumerate(content) if byte == ord("\n")]
    for length in {0, 1, *(end + shift for end in ends for shift in (-1, 0, 1, 2)), *range(0, len(content), 41)}:
        file.write_bytes(content[:length])
        whole = content[:length].count(b"\n")
        assert len(read_run(recorded).trials) == min(whole, 3)


def test_nothing_recorded_yet(recorded: Path):
    (recorded / "records.jsonl").unlink()
    assert read_run(recorded).trials == {}


def test_whole_lines():
    assert whole_lines(b"") == b""
    assert whole_lines(b"a") == b""
    assert whole_lines(b"a\nb\n") == b"a\nb\n"
    assert whole_lines(b"a\nb\0\0") == b"a\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{torn\n", "line 2 is damaged (it is no record)"),
        (b"[]\n", "line 2 is damaged"),
        (b"null\n", "line 2 is damaged"),
        (b'{"schema": 1}\n', "line 2 is damaged"),
        (_line("trial", {"metadata": {}}), "line 2 is damaged"),
        (_line("study", {"phase": "Dreaming"}), "line 2 is damaged"),
        (_line("study", {}, schema=2), "was written in schema 2, this version of sloguard reads 1"),
    ],
)
def test_damage_is_told(recorded: Path, line: bytes, said: str):
    file = recorded / "records.jsonl"
    first, rest = file.read_bytes().split(b"\n", 1)
    file.write_bytes(first + b"\n" + line + rest)
    with pytest.raises(RunDirectoryError) as caught:
        read_run(recorded)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "holds no results of a study"), ("a: [", "it is not YAML"), ("a: 1", "use the version that wrote it")],
)
def test_study_that_cannot_be_read(recorded: Path, content: str | None, said: str):
    file = recorded / "study.yaml"
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    with pytest.raises(RunDirectoryError) as caught:
        read_run(recorded)
    assert said in str(caught.value)
