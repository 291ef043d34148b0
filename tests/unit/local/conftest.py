"""Studies that take seconds, and `sloguard tune` as its users run it: a process with children."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from sloguard.api.v1alpha1 import Study, Trial
from sloguard.local.process import members
from sloguard.local.records import read_run

SIMULATOR = [sys.executable, "-m", "sloguard.simulator", "--profile=tiny", "--startup-scale=0.001"]
MARK = "SLOGUARD_TEST_MARK"
OFF = {"mode": "Off", "confirmations": 0, "soakSeconds": 0}
"""A soak takes longer than all the rest of a study that takes seconds."""


def short_study(*arguments: str, **spec: Any) -> dict[str, Any]:
    """Production serves one request at a time, which is far too slow for twenty a second; vLLM's defaults are not.

    A TTFT limit of two seconds lets the load generator be late by a fifth of a second on a busy machine.
    """
    return {
        "apiVersion": "sloguard.dev/v1alpha1",
        "kind": "SLOGuardStudy",
        "metadata": {"name": "short"},
        "spec": {
            "target": {"kind": "Process", "command": [*SIMULATOR, "--max-num-seqs=1", *arguments]},
            "slos": [{"metric": "TTFT", "percentile": 90, "milliseconds": 2000}],
            "workload": {
                "arrival": {"pattern": "Constant", "requestsPerMinute": 1200},
                "promptTokens": {"mean": 64, "stddev": 0, "min": 64, "max": 64},
                "outputTokens": {"mean": 64, "stddev": 0, "min": 64, "max": 64},
                "warmupSeconds": 0,
                "durationSeconds": 1,
                "drainSeconds": 1,
                "dispatchLagFloorMilliseconds": 60_000,
            },
            "searchSpace": {
                "preset": "None",
                "parameters": [
                    {"name": "max_num_seqs", "int": {"min": 4, "max": 64, "scale": "Log"}},
                    {"name": "gpu_memory_utilization", "decimal": {"min": "0.10", "max": "0.99"}},
                ],
            },
            "optimizer": {"name": "random", "seed": 1},
            "budget": {"trials": 4, "gpuMinutes": 5, "wallClockMinutes": 5},
            "trial": {"startupTimeoutSeconds": 30},
            "promotion": OFF,
            **spec,
        },
    }


def as_study(fields: dict[str, Any]) -> Study:
    return Study.model_validate(fields)


@dataclass
class Tune:
    """`sloguard tune` in a process of its own. Its children can be told from all others by a mark."""

    study: Path
    directory: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    process: "subprocess.Popen[str] | None" = None

    def start(self) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "sloguard", "tune", str(self.study), "--output", str(self.directory)]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {MARK: self.mark},
            start_new_session=True,
        )
        return self.process

    def run(self) -> tuple[int, str]:
        process = self.start()
        said, _ = process.communicate(timeout=120)
        return process.returncode, said

    def trials(self) -> list[Trial]:
        return list(read_run(self.directory).trials.values())

    def wait_for_phase(self, *phases: str) -> None:
        self.wait_for(lambda: any(trial.status.phase.value in phases for trial in self.trials()))

    def wait_for(self, holds: Any) -> None:
        deadline = time.monotonic() + 60
        while True:
            if (self.directory / "study.yaml").exists() and holds():
                return
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.02)

    def left(self) -> list[int]:
        """Processes of this run that still exist."""
        return [pid for pid in _marked(self.mark) if _running(pid)]

    def assert_nothing_left(self) -> None:
        deadline = time.monotonic() + 10
        while self.left() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.left() == []


def _marked(mark: str) -> Iterator[int]:
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in entry.read_bytes().split(b"\0"):
                yield int(entry.parent.name)
        except OSError:
            continue


def _running(pid: int) -> bool:
    try:
        return pid in set(members(os.getpgid(pid)))
    except ProcessLookupError:
        return False


@pytest.fixture(autouse=True)
def _heed_ctrl_c() -> Iterator[None]:
    """As in a terminal: a shell's background job inherits that it is ignored, and its children would too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def tune(tmp_path: Path) -> Iterator[Any]:
    """Call it with a study's fields or text; what is left of it in the end is killed."""
    made: list[Tune] = []

    def make(study: dict[str, Any] | str) -> Tune:
        path = tmp_path / f"study-{len(made)}.yaml"
        path.write_text(study if isinstance(study, str) else yaml.safe_dump(study))
        made.append(Tune(path, tmp_path / "results"))
        return made[-1]

    yield make
    for one in made:
        if one.process is not None:
            one.process.kill()
            one.process.communicate()
        for pid in one.left():
            os.kill(pid, signal.SIGKILL)
