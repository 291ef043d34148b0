"""The ledger of a machine: many writers, torn lines, other versions, a bounded size."""

import json
import multiprocessing
from pathlib import Path

import pytest

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.ledger import MOST_OF_A_KIND, LedgerRecord, Setup
from sloguard.local import ledger_file
from sloguard.local.errors import LedgerError
from sloguard.local.ledger_file import add_to_ledger, default_path, read_ledger


def record(number: int, run: str = "a", model: str = "llama") -> LedgerRecord:
    parameters = {KnobName.MAX_NUM_SEQS: str(number + 1)}
    return LedgerRecord(
        study="s", run=run, number=number, setup=Setup(model=model), parameters=parameters, crashed=number % 2 == 0
    )


def test_what_was_added_is_there_again_and_more_can_follow(tmp_path: Path):
    path = tmp_path / "not" / "there" / "ledger.jsonl"
    assert read_ledger(path).records == ()
    add_to_ledger(path, [record(0), record(1)])
    add_to_ledger(path, [record(2)])
    assert read_ledger(path).records == (record(0), record(1), record(2))


def test_a_torn_last_line_is_passed_over_and_then_cut_off(tmp_path: Path):
    path = tmp_path / "ledger.jsonl"
    add_to_ledger(path, [record(0)])
    with path.open("ab") as stream:
        stream.write(b'{"schemaVersion":1,"stu')
    assert read_ledger(path) == ledger_file.Content((record(0),))
    add_to_ledger(path, [record(1)])
    assert read_ledger(path) == ledger_file.Content((record(0), record(1)))


def test_lines_of_other_versions_are_passed_over_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "ledger.jsonl"
    later = json.dumps(record(7).dump() | {"schemaVersion": 2}).encode()
    path.write_bytes(later + b"\nnot even JSON\n")
    add_to_ledger(path, [record(0)])
    content = read_ledger(path)
    assert content.records == (record(0),)
    assert content.foreign == (later, b"not even JSON")
    monkeypatch.setattr(ledger_file, "MOST_BYTES", 1)
    add_to_ledger(path, [record(1)])
    assert read_ledger(path) == ledger_file.Content((record(0), record(1)), content.foreign)


def test_it_stays_below_its_size_and_keeps_the_latest_of_each_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger_file, "MOST_BYTES", 60_000)
    path = tmp_path / "ledger.jsonl"
    add_to_ledger(path, [record(3, model="rare")])
    for run in range(20):
        add_to_ledger(path, [record(number, run=str(run)) for number in range(40)])
        assert path.stat().st_size < 60_000 + 40 * 300
    records = read_ledger(path).records
    assert record(3, model="rare") in records
    assert records[-1] == record(39, run="19")
    assert len(records) < MOST_OF_A_KIND + 400


def _add(path: Path, run: int) -> None:
    for number in range(30):
        add_to_ledger(path, [record(number, run=str(run))])


def test_several_studies_write_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger_file, "MOST_BYTES", 12_000)
    path = tmp_path / "ledger.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_add, args=(path, run)) for run in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    content = read_ledger(path)
    assert {record.key for record in content.records} == {("s", str(r), n) for r in range(3) for n in range(30)}
    assert content.foreign == ()


def test_a_ledger_that_cannot_be_used_is_told_with_what_to_do(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match="Not a directory; mend that, give another"):
        read_ledger(tmp_path / "file" / "ledger.jsonl")
    with pytest.raises(LedgerError, match="cannot be used"):
        add_to_ledger(tmp_path / "file" / "ledger.jsonl", [record(0)])


def test_the_default_is_the_users_state(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert default_path() == Path("/var/state/sloguard/ledger.jsonl")
    monkeypatch.setenv("HOME", "/home/somebody")
    for unusable in ("", "relative/state"):
        monkeypatch.setenv("XDG_STATE_HOME", unusable)
        assert default_path() == Path("/home/somebody/.local/state/sloguard/ledger.jsonl")
