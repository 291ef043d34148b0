"""`sloguard tune` with the real vLLM as a child process."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.e2e.vllm import serving

# tuned one by one, these are all that there is to try: vLLM refuses eight, since the model has twelve heads
SPACE = [serving.choice("max_num_seqs", "64"), serving.choice("tensor_parallel_size", "1", "8")]


@pytest.fixture(scope="module")
def results(vllm, workload, tmp_path_factory):
    """The directory of a study that has run to its end."""
    folder = tmp_path_factory.mktemp("local")
    target = {"kind": "Process", "command": serving.command(vllm)}
    budget = {"trials": 4, "gpuMinutes": 60, "wallClockMinutes": 60}
    off = {"mode": "Off", "confirmations": 0}
    study = serving.study("local", target, workload, SPACE, budget=budget, promotion=off)
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    command = ["sloguard", "tune", str(folder / "study.yaml"), "--output", str(folder / "results")]
    environment = os.environ | serving.variables(vllm)
    ended = subprocess.run(command, env=environment, check=False, text=True, capture_output=True, timeout=900)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / "results"


@pytest.fixture(scope="module")
def report(results):
    return json.loads(subprocess.check_output(["sloguard", "report", str(results), "--json"], text=True))


def test_it_measures_what_serves_and_learns_from_what_vllm_refuses(report):
    # a machine too busy to send the load in time is no news of vLLM; such a trial was made again
    trials = [t for t in report["trials"] if t["status"].get("outcome") != "Infrastructure"]
    assert [t["spec"]["purpose"] for t in trials] == ["Production", "Default", "Search", "Search"]
    assert serving.crash_classes(trials) == ["InvalidArguments"]
    crash = next(t["status"]["crash"] for t in trials if t["status"].get("crash"))
    assert "attention heads" in crash["cause"]
    assert len(serving.goodputs(trials)["Search"]) == 1


def test_it_recommends_something_several_times_better_than_production(report):
    recommendation = report["study"]["status"]["recommendation"]
    (production,) = serving.goodputs(report["trials"])["Production"]
    assert recommendation["goodputTokensPerSecond"] > 3 * production
    assert "--max-num-seqs=2" not in recommendation["arguments"]
    assert set(serving.FIXED_ARGUMENTS) <= set(recommendation["arguments"])


def test_it_knows_how_much_kv_cache_each_server_had(report):
    served = [t["status"] for t in report["trials"] if t["status"].get("measurements")]
    assert [status["margins"]["kvCacheTokens"] for status in served] == [serving.KV_CACHE_TOKENS] * len(served)


def test_no_process_stays(results, vllm):
    assert results.is_dir()
    assert not [pid for pid, line in _processes() if str(vllm.folder) in line or "VLLM::" in line]


def _processes() -> list[tuple[str, str]]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append((path.parent.name, path.read_text()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return lines
