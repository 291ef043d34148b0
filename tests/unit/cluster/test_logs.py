"""The operator's log lines."""

import json
import logging

import pytest

from sloguard.cluster import logs


@pytest.fixture
def configured():
    """The loggers as they were, afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("sloguard")
    before = root.handlers[:], root.level, ours.level
    yield logs.configure
    root.handlers[:], root.level = before[:2]
    ours.setLevel(before[2])


def test_json_lines_carry_study_and_trial(configured, capsys):
    configured(logs.JSON, "info")
    about = {"study": "prod/s", "trial": "s-2-1", "action": "StartLoad"}
    logging.getLogger("sloguard.execute").info("load asked for", extra=about)
    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("Z")
    assert line == about | {"level": "INFO", "logger": "sloguard.execute", "message": "load asked for"}


def test_text_lines_say_what_they_are_about(configured, capsys):
    configured(logs.TEXT, "info")
    logging.getLogger("sloguard.execute").info("stalled", extra={"study": "prod/s", "reason": "NameTaken"})
    assert capsys.readouterr().err.endswith("Z INFO    prod/s: stalled reason=NameTaken\n")


@pytest.mark.parametrize("form", [logs.TEXT, logs.JSON])
def test_a_line_stays_a_line_of_bounded_length(form, configured, capsys):
    configured(form, "info")
    logging.getLogger("sloguard.x").warning("\x1b[31mone\n2026-01-01T00:00:00Z INFO forged\r\x00%s", "x" * 99_999)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert len(said) < 5000
    assert "\x1b" not in said


@pytest.mark.parametrize("form", [logs.TEXT, logs.JSON])
def test_a_defect_is_told_with_its_traceback(form, configured, capsys):
    configured(form, "info")
    try:
        int("seven")
    except ValueError:
        logging.getLogger("sloguard.x").exception("failed")
    assert "ValueError: invalid literal" in capsys.readouterr().err


def test_kopfs_chatter_is_left_out(configured, capsys):
    configured(logs.TEXT, "debug")
    logging.getLogger("kopf.activities").info("Activity succeeded")
    logging.getLogger("sloguard.api").debug("GET /x")
    assert capsys.readouterr().err.count("\n") == 1
