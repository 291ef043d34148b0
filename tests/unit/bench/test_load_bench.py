"""The bench of the load generator runs, and what it computes is right. How fast anything is, no test can say."""

import subprocess
import sys

import pytest

from tests.bench import load
from tests.bench.load_clients import CLIENTS, Job, character_of


def test_quick_mode_measures_both_clients():
    program = [sys.executable, "-m", "tests.bench.load", "--quick"]
    out = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("| ")]
    measured = {row[0]: row for row in rows if len(row) == len(load.COLUMNS) and row[0] in CLIENTS}
    assert measured.keys() == {"sloguard", "bare loop"}
    assert all(float(row[5].split("/")[0]) > -1 for row in measured.values()), "nobody is faster than the server"
    shares = {row[0]: row[4] for row in rows if len(row) == 5 and row[0] in CLIENTS}
    assert shares.keys() == {"sloguard", "bare loop"}


@pytest.mark.parametrize(
    ("arrived_ms", "late_ms"),
    [
        ([5, 15, 25, 35], [0, 0, 0, 0]),
        ([5, 18, 25, 35], [0, 3, 0, 0]),
        ([8, 15, 25, 36], [3, 0, 0, 1]),
        ([5, 15, 35, 25], [0, 0, 0, 0]),
        ([5, 16, 27, 38], [0, 1, 2, 3]),
    ],
    ids=["even", "one late", "the first late", "overtaken", "falls behind"],
)
def test_lateness_is_against_the_schedule_that_the_earliest_kept(arrived_ms, late_ms):
    arrived = [at * 1_000_000 for at in arrived_ms]
    assert load.lateness_ms(arrived, 100) == pytest.approx(late_ms)


@pytest.mark.parametrize("client", [client for client in CLIENTS.values() if client.version()], ids=lambda c: c.name)
def test_each_client_is_told_the_rate_and_the_number(client, tmp_path):
    job = Job("http://127.0.0.1:9", "bench", 37.0, 111, 17, 8, tmp_path)
    told = " ".join(client.command(job)) + "".join(path.read_text() for path in tmp_path.iterdir())
    assert "127.0.0.1:9" in told
    assert "37" in told or str(37 * 60) in told
    assert "111" in told or f'"durationSeconds": {111 // 37}' in told


def test_every_byte_has_a_character_of_its_own():
    assert len({character_of(byte) for byte in range(256)}) == 256
    assert character_of(ord(" ")) == "\u0120"
    assert character_of(ord("a")) == "a"
