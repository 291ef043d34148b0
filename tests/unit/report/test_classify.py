import gzip
import json

import pytest
from click.testing import CliRunner

from sloguard.report.classify import classify

LOG = """\
(EngineCore pid=7) INFO 11-22 08:48:29 [gpu_worker.py:508] Available KV cache memory: -1.41 GiB
(EngineCore pid=7) ERROR 11-22 08:48:29 [core.py:1] ValueError: No available memory for the cache blocks. Try increasing
"""
VERDICT = {
    "class": "NoKVCacheRoom",
    "fault": "Configuration",
    "phase": None,
    "cause": "ValueError: No available memory for the cache blocks. Try increasing",
    "line": 2,
    "limit": "KV short by 1.41 GiB",
    "proof": {"bounds": [], "availableKvCacheBytes": -1513975972, "shortKvCacheBytes": 1513975972},
    "activity": None,
    "confidence": 98,
}


@pytest.mark.parametrize("packed", [False, True])
def test_json(tmp_path, packed):
    file = tmp_path / "server.log.gz"
    file.write_bytes(gzip.compress(LOG.encode()) if packed else LOG.encode())
    result = CliRunner().invoke(classify, [str(file), "--json", "--exit-code", "1"])
    assert result.exit_code == 0
    assert json.loads(result.output) == VERDICT


def test_standard_input_and_words():
    result = CliRunner().invoke(classify, ["-"], input=LOG)
    assert result.exit_code == 0
    assert "class:      NoKVCacheRoom\n" in result.output
    assert "limit:      KV short by 1.41 GiB\n" in result.output
    assert "confidence: 98 %\n" in result.output
    assert "phase" not in result.output


def test_nothing_wrong():
    assert CliRunner().invoke(classify, ["-"], input="INFO: hello").output == "Nothing wrong seen.\n"
    said = json.loads(CliRunner().invoke(classify, ["-", "--json"], input="").output)
    assert said == dict.fromkeys(VERDICT)


@pytest.mark.parametrize("content", [None, b"\x1f\x8bnot gzip"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    file = tmp_path / "absent.log"
    if content is not None:
        file.write_bytes(content)
    result = CliRunner().invoke(classify, [str(file)])
    assert result.exit_code == 2
    assert "absent.log" in result.output
    assert "Traceback" not in result.output


def test_a_directory_is_refused(tmp_path):
    result = CliRunner().invoke(classify, [str(tmp_path)])
    assert result.exit_code == 2
    assert "Is a directory" in result.output


def test_bytes_that_are_no_text_do_not_stop_it(tmp_path):
    file = tmp_path / "server.log"
    file.write_bytes(b"\xff\xfe\x00" + LOG.encode())
    result = CliRunner().invoke(classify, [str(file), "--json"])
    assert json.loads(result.output)["class"] == "NoKVCacheRoom"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_what_shells_make_of_a_redirected_log(tmp_path, encoding):
    file = tmp_path / "server.log"
    file.write_bytes(LOG.encode(encoding))
    result = CliRunner().invoke(classify, [str(file), "--json", "--exit-code", "1"])
    assert json.loads(result.output) == VERDICT


def test_a_line_without_end_is_cut(tmp_path):
    file = tmp_path / "server.log"
    file.write_text("x" * 1_000_000 + "\n" + LOG)
    said = json.loads(CliRunner().invoke(classify, [str(file), "--json", "--exit-code", "1"]).output)
    assert said == {**VERDICT, "line": 3}
