"""The study's command on this machine."""

import sys
from pathlib import Path
from typing import Any

import pytest

from sloguard.domain.arguments import ArgumentsError
from sloguard.local.command_line import child_environment, gpus_of, problem, serving_at
from tests.unit.local.conftest import as_study, short_study


def problem_of(command: list[str], **spec: Any) -> str | None:
    return problem(as_study(short_study(target={"kind": "Process", "command": command}, **spec)).spec)


def test_the_simulator_runs_everywhere():
    assert problem_of(["sloguard", "simulate"]) is None, "also where its environment is not activated"
    assert problem_of([sys.executable, "-m", "sloguard.simulator"]) is None


def test_program_that_is_not_there(tmp_path: Path):
    assert "/not/there/vllm is not a program on this machine" in (problem_of(["/not/there/vllm", "serve", "m"]) or "")
    (tmp_path / "vllm").write_text("")
    said = problem_of([str(tmp_path / "vllm"), "serve", "m"]) or ""
    assert "may not be executed; make it executable with: chmod +x" in said


@pytest.mark.parametrize("flag", ["--api-key=x", "--uds=/run/vllm", "--ssl-keyfile=k", "--root_path=/v"])
def test_server_that_the_load_could_not_reach(flag: str):
    assert "spec.target.command: remove --" in (problem_of(["sloguard", "simulate", flag]) or "")


@pytest.mark.parametrize("flag", [["--config", "vllm.yaml"], ["--config=vllm.yaml"]])
def test_settings_in_a_file_would_be_taken_for_defaults(flag: list[str]):
    assert "spec.target.command: remove --config" in (problem_of(["sloguard", "simulate", *flag]) or "")


def test_one_trial_at_a_time():
    assert "set it to 1" in (problem_of(["sloguard", "simulate"], trial={"parallelism": 2}) or "")


@pytest.mark.parametrize("command", [["sleep", "5"], ["bash", "-c", "vllm serve m"]])
def test_no_vllm(command: list[str]):
    with pytest.raises(ArgumentsError):
        problem_of(command)


def test_trials_port_comes_last():
    command = serving_at(["vllm", "serve", "m", "--port=80"], ["m", "--port=80"], 1234)
    assert command == ["vllm", "serve", "m", "--port=80", "--host", "127.0.0.1", "--port", "1234"]


@pytest.mark.parametrize(
    ("arguments", "gpus"),
    [
        ([], 1),
        (["m", "-tp", "2"], 2),
        (["--tensor-parallel-size=4", "--pipeline_parallel_size", "2"], 8),
        (["--data-parallel-size=2", "--tensor-parallel-size=2"], 4),
        (["--data-parallel-size=many"], 1),
    ],
)
def test_gpus(arguments: list[str], gpus: int):
    assert gpus_of(arguments) == gpus


def test_own_programs_come_last_on_the_path(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    assert child_environment()["PATH"] == f"/usr/bin:{Path(sys.executable).parent}"
