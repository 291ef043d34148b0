"""examples/kind/up with the programs that people have on their PATH: kind, kubectl, docker by those very names.

The end-to-end tests run it for real, but with programs named by a whole path. Here they are stand-ins that note
what they are asked for.
"""

import os
import subprocess
from pathlib import Path

import pytest

UP = Path(__file__).resolve().parents[2] / "examples/kind/up"
PROGRAMS = ("kind", "kubectl", "docker")


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    for name in PROGRAMS:
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> "{tmp_path}/asked"\ncat > /dev/null\n')
        program.chmod(0o755)
    return tmp_path / "asked"


def test_it_calls_the_programs_on_the_path(asked: Path):
    given = {name: value for name, value in os.environ.items() if name not in {"KIND", "KUBECTL", "DOCKER"}}
    subprocess.run(
        [UP, "--cluster", "mine", "--image", "sloguard:mine", "--only", "operator"],
        env=given | {"PATH": f"{asked.parent}{os.pathsep}{os.environ['PATH']}"},
        check=True,
        stdin=subprocess.DEVNULL,  # each reads what it is given to its end, as the real ones do
        capture_output=True,
        timeout=60,
    )
    calls = asked.read_text().splitlines()
    assert any(call.startswith("kind create cluster --name mine") for call in calls)
    applied = [call for call in calls if call.startswith("kubectl --context kind-mine apply")]
    assert len(applied) >= 2
    assert calls[-1].startswith("kubectl --context kind-mine -n sloguard-system rollout status")
