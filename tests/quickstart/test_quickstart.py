"""The README's first command, as a newcomer runs it: in a clean copy of the tree, without any environment."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def clean_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone of the present state would hold."""
    target = tmp_path_factory.mktemp("clone") / "sloguard"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def newcomer(home: Path) -> dict[str, str]:
    """The machine's settings for pip and its package cache, but nothing of this test's environment."""
    own = str(Path(sys.prefix, "bin"))
    path = os.pathsep.join(part for part in os.environ["PATH"].split(os.pathsep) if part != own)
    cache = os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
    kept = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH", "PYTHON"}}
    return kept | {"PATH": path, "PIP_CACHE_DIR": cache, "XDG_CACHE_HOME": str(home)}


def test_quickstart(clean_copy: Path, tmp_path: Path):
    begun = time.monotonic()
    ended = subprocess.run(
        [clean_copy / "examples" / "quickstart"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=newcomer(tmp_path),
    )
    seconds = time.monotonic() - begun
    print(ended.stdout, ended.stderr, f"{seconds:.0f} s; the README says under three minutes with a warm package cache")
    assert ended.returncode == 0
    for title in ("Trials", "Against what runs today", "Command to serve with:"):
        assert title in ended.stdout
    (results,) = (clean_copy / "results").iterdir()
    (sloguard,) = tmp_path.glob("sloguard/quickstart-*/bin/sloguard")
    told = subprocess.run([sloguard, "report", "--json", results], check=True, capture_output=True, text=True)
    assert_real_contrast(json.loads(told.stdout))


def assert_real_contrast(told: dict[str, Any]) -> None:
    """Mediocre production, better defaults, a winner that is better than both by far, and crashes on the way."""
    goodput = {t["spec"]["purpose"]: t["status"].get("goodputTokensPerSecond", 0) for t in told["trials"]}
    winner = told["study"]["status"]["recommendation"]
    assert goodput["Production"] * 1.5 < goodput["Default"]
    assert goodput["Default"] * 1.15 < winner["goodputTokensPerSecond"]
    assert winner["slosMet"]
    assert winner["improvementPercent"] >= 15
    assert {t["status"]["outcome"] for t in told["trials"]} >= {"Feasible", "Infeasible", "Crashed"}
