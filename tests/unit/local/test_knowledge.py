"""What a run begins with of earlier studies: once, and the same when it is resumed; and what it leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.ledger import LedgerRecord, Setup
from sloguard.local.command import tune as tune_command
from sloguard.local.directory import RunDirectory
from sloguard.local.errors import LedgerError, RunDirectoryError
from sloguard.local.knowledge import begin_with, ledger_of_run
from sloguard.local.ledger_file import add_to_ledger, default_path, read_ledger
from sloguard.local.report_command import report
from sloguard.local.setup import setup_of
from tests.unit.local.conftest import SIMULATOR, Tune, as_study, short_study
from tests.unit.local.test_directory import trial

BUDGET = {"trials": 5, "gpuMinutes": 5, "wallClockMinutes": 5}


def earlier(number: int, crashed: bool = True) -> LedgerRecord:
    values = {KnobName.GPU_MEMORY_UTILIZATION: "0.95", KnobName.MAX_NUM_SEQS: str(number + 4)}
    setup = Setup(model="profile=tiny")
    return LedgerRecord(study="before", run="b", number=number, setup=setup, parameters=values, crashed=crashed)


def begun(path: Path, file: Path | None, notes: list[str]) -> Any:
    with RunDirectory(path, as_study(short_study())) as directory:
        return begin_with(path, directory.run, file, lambda: Setup(model="profile=tiny"), notes.append)


def test_a_run_keeps_what_it_began_with_whatever_others_leave_meanwhile(tmp_path: Path):
    file, notes = tmp_path / "ledger.jsonl", list[str]()
    add_to_ledger(file, [earlier(0), earlier(1)])
    first = begun(tmp_path / "run", file, notes)
    assert [record.number for record in first.records] == [0, 1]
    assert notes == [f"Takes 2 records of earlier studies from {file}, 2 of them with this model"]
    add_to_ledger(file, [earlier(2)])
    assert begun(tmp_path / "run", file, notes) == first
    assert begun(tmp_path / "run", None, notes) == first
    assert ledger_of_run(tmp_path / "run") == first
    assert len(notes) == 1


def test_a_run_that_chose_without_a_ledger_goes_on_without(tmp_path: Path):
    """One of an earlier version of sloguard: its trials were chosen knowing nothing."""
    with RunDirectory(tmp_path / "run", as_study(short_study())) as directory:
        directory.write_trial(trial(0))
    add_to_ledger(tmp_path / "ledger.jsonl", [earlier(0)])
    assert begun(tmp_path / "run", tmp_path / "ledger.jsonl", []).records == ()


def test_a_damaged_record_of_what_a_run_began_with_is_told(tmp_path: Path):
    begun(tmp_path / "run", None, [])
    (tmp_path / "run" / "ledger.jsonl").write_text("{}\nnothing\n")
    with pytest.raises(RunDirectoryError, match="is not as this version of sloguard wrote it"):
        begun(tmp_path / "run", None, [])


def test_an_unreadable_ledger_is_told_before_anything_is_run(tmp_path: Path):
    (tmp_path / "ledger.jsonl").mkdir()
    with pytest.raises(LedgerError):
        begun(tmp_path / "run", tmp_path / "ledger.jsonl", [])


def test_what_a_simulator_stands_in_for_is_its_model():
    assert setup_of([*SIMULATOR, "--max-num-seqs=1"], {}) == Setup(model="profile=tiny")


def test_a_study_leaves_its_trials_to_the_next_one_once(tune: Any):
    run = tune(short_study(budget=BUDGET))
    _, said = run.run()
    assert "records of earlier studies" not in said
    records = read_ledger(default_path()).records
    trials = run.trials()
    assert [record.number for record in records] == [t.spec.number for t in trials if t.status.outcome is not None]
    assert {record.crashed for record in records} == {True, False}
    assert {record.setup.model for record in records} == {"profile=tiny"}
    assert any(record.margins and record.margins.model_weights_bytes for record in records)
    run.run()
    assert read_ledger(default_path()).records == records, "a study that is over leaves nothing more"
    other = Tune(run.study, run.directory.with_name("other"))
    _, said = other.run()
    assert f"Takes {len(records)} records of earlier studies" in said
    reported = CliRunner().invoke(report, [str(other.directory)]).output
    assert f"Began with {len(records)} records of one earlier study" in reported
    assert len(read_ledger(default_path()).records) == len(records) + len(other.trials())


def test_without_a_ledger_nothing_is_read_or_left(tune: Any, tmp_path: Path):
    add_to_ledger(default_path(), [earlier(0)])
    study = tune(short_study(budget=BUDGET)).study
    arguments = [str(study), "--output", str(tmp_path / "results")]
    CliRunner().invoke(tune_command, [*arguments, "--no-ledger"])
    assert read_ledger(default_path()).records == (earlier(0),)
    assert ledger_of_run(tmp_path / "results").records == ()
    both = CliRunner().invoke(tune_command, [*arguments, "--no-ledger", "--ledger", "x"])
    assert both.exit_code == 2
    assert "--ledger x and --no-ledger contradict each other" in both.output


def test_a_ledger_that_cannot_be_written_costs_the_study_nothing(tune: Any, tmp_path: Path):
    study = tune(short_study(budget=BUDGET)).study
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    file = blocked / "ledger.jsonl"
    file.write_text("")
    (blocked / "ledger.lock").mkdir()
    ended = CliRunner().invoke(tune_command, [str(study), "--output", str(tmp_path / "r"), "--ledger", str(file)])
    assert ended.exit_code in {0, 3}, ended.output
    assert ended.output.count("Nothing is left to later studies: the ledger of earlier studies") == 1
    assert json.loads((tmp_path / "r" / "ledger.jsonl").read_text().splitlines()[0])["model"] == "profile=tiny"
