"""A log of any length costs a bounded amount of memory; its beginning and its end are kept."""

from pathlib import Path

import pytest

from sloguard.local.server_log import read_log


@pytest.mark.parametrize("length", [0, 1, 9, 10, 19, 20])
def test_short_logs_are_whole(tmp_path: Path, length: int):
    text = "abcdefghijklmnopqrst"[:length]
    (tmp_path / "log").write_text(text)
    assert read_log(tmp_path / "log", 10) == text


def test_long_logs_lose_their_middle(tmp_path: Path):
    (tmp_path / "log").write_text("a" * 10 + "b" * 100 + "c" * 10)
    assert read_log(tmp_path / "log", 10) == "a" * 10 + "\n[100 bytes left out]\n" + "c" * 10


def test_no_log(tmp_path: Path):
    assert read_log(tmp_path / "log") == ""


def test_bytes_that_are_no_text(tmp_path: Path):
    (tmp_path / "log").write_bytes(b"\xff ok")
    assert read_log(tmp_path / "log") == "\ufffd ok"
