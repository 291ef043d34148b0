"""tests/run begins on a machine that has Python and nothing else."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_it_needs_no_package():
    without_packages = [sys.executable, "-I", "-S"]
    ended = subprocess.run(
        [*without_packages, ROOT / "tests/run", "--help"], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert "apiserver" in ended.stdout
