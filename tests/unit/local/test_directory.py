"""One run at a time in a directory, of one study; each record on disk at once."""

import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest

from sloguard.api.v1alpha1 import ObjectMeta, Purpose, StudyPhase, StudyStatus, Trial, TrialSpec
from sloguard.local.directory import RunDirectory
from sloguard.local.errors import RunDirectoryError
from sloguard.local.records import read_run
from tests.unit.local.conftest import as_study, short_study


def trial(number: int) -> Trial:
    spec = TrialSpec(study="short", number=number, purpose=Purpose.SEARCH)
    return Trial(metadata=ObjectMeta(name=f"short-{number}-1"), spec=spec)


def changed(path: str, value: Any) -> dict[str, Any]:
    fields = short_study()
    *parents, last = path.split(".")
    inner: Any = fields
    for name in parents:
        inner = inner[name]
    inner[last] = value
    return fields


def test_what_was_written_is_there_again(tmp_path: Path):
    path = tmp_path / "not" / "there"
    with RunDirectory(path, as_study(short_study())) as directory:
        uid = directory.run.study.metadata.uid
        directory.write_trial(trial(0))
        directory.write_status(StudyStatus(phase=StudyPhase.SEARCHING))
        assert read_run(path).trials == directory.run.trials, "also while it is open"
    with RunDirectory(path, as_study(short_study())) as directory:
        assert list(directory.run.trials) == ["short-0-1"]
        assert directory.run.study.status.phase is StudyPhase.SEARCHING
        assert uid
        assert directory.run.study.metadata.uid == uid


def test_unchanged_status_is_not_written(tmp_path: Path):
    with RunDirectory(tmp_path, as_study(short_study())) as directory:
        status = StudyStatus(phase=StudyPhase.SEARCHING)
        directory.write_status(status)
        size = (tmp_path / "records.jsonl").stat().st_size
        directory.write_status(status.model_copy())
        assert (tmp_path / "records.jsonl").stat().st_size == size


def test_torn_line_is_cut_off(tmp_path: Path):
    with RunDirectory(tmp_path, as_study(short_study())) as directory:
        directory.write_trial(trial(0))
    with (tmp_path / "records.jsonl").open("ab") as stream:
        stream.write(b'{"schema":1,"kind":"tri')
    with RunDirectory(tmp_path, as_study(short_study())) as directory:
        directory.write_trial(trial(1))
    assert list(read_run(tmp_path).trials) == ["short-0-1", "short-1-1"]


def test_second_run_in_the_same_directory_is_refused(tmp_path: Path):
    with RunDirectory(tmp_path, as_study(short_study())):
        with pytest.raises(RunDirectoryError) as caught:
            RunDirectory(tmp_path, as_study(short_study()))
        assert f"another sloguard (process {os.getpid()}) runs a study" in str(caught.value)
    with RunDirectory(tmp_path, as_study(short_study())):
        pass


def test_refusal_lets_go_of_the_lock(tmp_path: Path):
    with RunDirectory(tmp_path, as_study(short_study())):
        pass
    with pytest.raises(RunDirectoryError):
        RunDirectory(tmp_path, as_study(changed("metadata.name", "other")))
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        ("metadata.name", "other", "metadata.name"),
        ("spec.workload.seed", 8, "spec.workload"),
        ("spec.slos", [{"metric": "E2E", "milliseconds": 5}], "spec.slos"),
        ("spec.searchSpace", {"preset": "Core"}, "spec.searchSpace"),
        ("spec.optimizer", {"name": "tpe"}, "spec.optimizer"),
        ("spec.target.command", ["vllm", "serve", "m"], "spec.target"),
    ],
)
def test_another_study_is_refused(tmp_path: Path, path: str, value: Any, named: str):
    with RunDirectory(tmp_path, as_study(short_study())):
        pass
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory(tmp_path, as_study(changed(path, value)))
    assert f"results of another study: {named} differ" in str(caught.value)


def test_budget_may_be_raised(tmp_path: Path):
    with RunDirectory(tmp_path, as_study(short_study())) as directory:
        uid = directory.run.study.metadata.uid
    with RunDirectory(tmp_path, as_study(changed("spec.budget.trials", 40))) as directory:
        assert directory.run.study.spec.budget.trials == 40
    again = read_run(tmp_path).study
    assert (again.spec.budget.trials, again.metadata.uid) == (40, uid)


def test_records_without_their_study(tmp_path: Path):
    (tmp_path / "records.jsonl").write_text("")
    with pytest.raises(RunDirectoryError, match="holds records without their study"):
        RunDirectory(tmp_path, as_study(short_study()))


def test_not_a_directory(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="cannot be written: "):
        RunDirectory(tmp_path / "file", as_study(short_study()))


def test_full_disk_loses_nothing_that_was_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with RunDirectory(tmp_path, as_study(short_study())) as directory:
        directory.write_trial(trial(0))
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(RunDirectoryError, match="No space left on device; make room"):
            directory.write_trial(trial(1))
        assert list(directory.run.trials) == ["short-0-1"]
