"""The Python environment that the tests run in, made once for each pyproject.toml."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tests.clusters.cache import CACHE, digest, locked

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = "test,report,gpu"


def ensure() -> Path:
    """The environment's folder of programs. It holds this tree's sources by reference, so it never is out of date."""
    key = digest(ROOT / "pyproject.toml", sys.version, str(ROOT), EXTRAS)
    folder = CACHE / f"venv-{key}"
    with locked("venv", "installs Python packages"):
        if not (folder / "complete").exists():
            _create(folder)
        (folder / "complete").touch()
        _remove_unused()
    return folder / "bin"


def _remove_unused() -> None:
    """Environments that nobody has run tests with for a week: pyproject.toml has moved on."""
    for used in CACHE.glob("venv-*/complete"):
        if time.time() - used.stat().st_mtime > 7 * 86400:
            shutil.rmtree(used.parent)


def _create(folder: Path) -> None:
    _say(f"installing Python packages into {folder}; about a minute")
    begun = time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--editable", f"{ROOT}[{EXTRAS}]"], check=True)
    _say(f"installed in {time.monotonic() - begun:.0f} s")


def variables(programs: Path) -> dict[str, str]:
    """This process's variables, with the environment's programs first on PATH."""
    return os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "VIRTUAL_ENV": str(programs.parent)}


def _say(message: str) -> None:
    print(f"tests/run: {message}", flush=True)
