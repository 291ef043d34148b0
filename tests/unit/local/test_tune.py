"""`sloguard tune` with real processes: whole studies, kills at any moment, servers that fail in every way."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from sloguard.api.v1alpha1 import Crash, Outcome, Purpose, Trial, TrialPhase
from sloguard.local.command import tune as tune_command
from sloguard.local.directory import RunDirectory
from sloguard.local.report_command import report
from tests.unit.local.conftest import OFF, SIMULATOR, Tune, as_study, short_study

UNMEASURED = {Outcome.CANCELLED, Outcome.INFRASTRUCTURE}
PRODUCTION, DEFAULT, SEARCH = Purpose.PRODUCTION, Purpose.DEFAULT, Purpose.SEARCH


def reported(tune: Tune, *options: str) -> str:
    return CliRunner().invoke(report, [str(tune.directory), *options]).output


def assert_dense(trials: list[Trial]) -> None:
    """Each number once for each attempt, attempts from 1, none left out; only the last attempt may be measured."""
    numbers = sorted({trial.spec.number for trial in trials})
    assert numbers == list(range(len(numbers)))
    for number in numbers:
        attempts = [trial for trial in trials if trial.spec.number == number]
        assert [trial.spec.attempt for trial in attempts] == list(range(1, len(attempts) + 1))
        assert all(trial.status.outcome in UNMEASURED for trial in attempts[:-1])


def test_whole_study(tune: Any):
    budget = {"trials": 7, "gpuMinutes": 5, "wallClockMinutes": 5}
    run = tune(short_study(promotion=OFF | {"confirmations": 2}, budget=budget))
    code, said = run.run()
    assert code == 0, said
    assert_whole_study(run.trials())
    assert "Command to serve with:" in said
    assert " -m sloguard.simulator --profile=tiny --startup-scale=0.001" in said
    assert "--max-num-seqs=1" not in said.rpartition("Command to serve with:")[2]
    run.assert_nothing_left()
    assert reported(run).strip() in said, "the report says the same"
    told = json.loads(reported(run, "--json"))
    assert told["study"]["status"]["recommendation"]["trial"] == "short-1-1"
    assert len(told["trials"]) == 6
    again = CliRunner().invoke(tune_command, [str(run.study), "--output", str(run.directory)])
    assert again.exit_code == 0, "a study that is complete is told again"
    assert len(run.trials()) == 6


def assert_whole_study(trials: list[Trial]) -> None:
    """Production is too slow, vLLM's defaults are not, and the one candidate leaves the KV cache no room."""
    assert [t.spec.purpose for t in trials[:3]] == [PRODUCTION, DEFAULT, SEARCH]
    assert sorted(t.spec.purpose for t in trials[3:]) == [Purpose.CONFIRM, Purpose.CONFIRM, PRODUCTION]
    outcomes = [Outcome.INFEASIBLE, Outcome.FEASIBLE, Outcome.CRASHED]
    assert [t.status.outcome for t in trials[:3]] == outcomes
    assert {t.status.outcome for t in trials[3:] if t.spec.purpose is Purpose.CONFIRM} == {Outcome.FEASIBLE}
    crash, margins = trials[2].status.crash, trials[1].status.margins
    assert crash is not None
    assert crash.class_ == "NoKVCacheRoom"
    assert margins is not None
    assert margins.available_kv_cache_bytes


NO_LAG_RULE = {"dispatchLagFloorMilliseconds": 60_000}
"""A busy machine is not what is tested."""


def test_a_winner_that_dies_of_its_worst_case_load_gives_way_to_the_next(tune: Any):
    """With 98 % of the memory it serves the study's load as well as any, and a full batch of long prompts kills it.

    Ties go to who changes least of production: first to more sequences alone, then to vLLM's defaults, which live.
    """
    parameters = [
        {"name": "max_num_seqs", "choice": {"values": ["1", "64"]}},
        {"name": "gpu_memory_utilization", "choice": {"values": ["0.90", "0.98"]}},
    ]
    study = short_study(
        "--gpu-memory-utilization=0.98",
        "--max-num-batched-tokens=4096",
        searchSpace={"preset": "None", "parameters": parameters},
        promotion=OFF | {"soakSeconds": 4, "minimumImprovementPercent": 0},
        budget={"trials": 6, "gpuMinutes": 5, "wallClockMinutes": 5},
    )
    study["spec"]["workload"] |= {
        "arrival": {"pattern": "Constant", "requestsPerMinute": 600},
        "promptTokens": {"mean": 64, "stddev": 100, "min": 16, "max": 400},
    }
    run = tune(study)
    code, said = run.run()
    assert code == 0, said
    soaks = [t for t in run.trials() if t.spec.purpose is Purpose.SOAK]
    dead, lived = soaks
    assert dead.spec.parameters == {"max_num_seqs": "64", "gpu_memory_utilization": "0.98"}, said
    assert dead.status.crash is not None
    assert (dead.status.outcome, dead.status.crash.class_) == (Outcome.CRASHED, "CUDAOutOfMemory")
    assert dead.status.crash.phase == "Serving"
    assert (lived.spec.parameters, lived.status.outcome) == ({}, Outcome.FEASIBLE)
    assert lived.status.message.startswith("outlived 4 s of ")
    assert "each a prompt of 400 and an answer of 64 tokens" in lived.status.message
    recommendation = json.loads(reported(run, "--json"))["study"]["status"]["recommendation"]
    assert (recommendation["trial"], recommendation["soakedSeconds"]) == ("short-1-1", 4)
    told = " ".join(reported(run).split())
    assert "Soak" in told
    assert "it outlived 4 s of its worst-case load" in told
    run.assert_nothing_left()


def test_every_trial_replays_the_trace_as_it_was_at_first(tune: Any, tmp_path: Path):
    trace = tmp_path / "recorded.csv"
    trace.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,40,4\n2023-11-16 18:15:46.7,30,3\n"
    )
    study = short_study(budget={"trials": 3, "gpuMinutes": 5, "wallClockMinutes": 5})
    workload = {"arrival": {"pattern": "Trace", "traceFile": "recorded.csv"}}
    study["spec"]["workload"] = workload | {"warmupSeconds": 0, "durationSeconds": 1, "drainSeconds": 1} | NO_LAG_RULE
    run = tune(study)
    _, said = run.run()
    measured = [rate for trial in run.trials() for rate in trial.status.measurements]
    assert len(measured) >= 2, said
    assert {(rate.sent, rate.prompt_tokens, rate.output_tokens) for rate in measured} == {(2, 70, 7)}
    trace.write_text(trace.read_text().replace("30,3", "31,3"))
    again = CliRunner().invoke(tune_command, [str(run.study), "--output", str(run.directory)])
    assert again.exit_code == 2
    assert "holds results of another study: spec.workload differ" in again.output
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,none,4\n")
    again = CliRunner().invoke(tune_command, [str(run.study), "--output", str(tmp_path / "other")])
    assert again.exit_code == 2
    assert 'line 2: ContextTokens: "none" is not a whole number' in again.output


def test_ctrl_c_once(tune: Any):
    run = tune(short_study())
    process = run.start()
    run.wait_for_phase("Loading")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "Stopping: the running trial is ended and will be made again" in said
    assert "Interrupted. The same command resumes" in said
    run.assert_nothing_left()
    (ended,) = run.trials()
    assert (ended.status.outcome, ended.status.message) == (Outcome.CANCELLED, "interrupted")
    assert ended.status.gpu_seconds is not None


def test_ctrl_c_twice_does_not_wait_for_the_server(tune: Any):
    """A server that holds on to its streams for a minute after SIGTERM."""
    slow = {**short_study()["spec"]["workload"], "durationSeconds": 60}
    run = tune(short_study("--drain-seconds=60", workload=slow))
    process = run.start()
    run.wait_for_phase("Loading")
    time.sleep(1.5)  # until the load has imported what it needs and sends
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=40)  # the server alone would take 60 s
    assert process.returncode == 128 + signal.SIGTERM
    run.assert_nothing_left()


def test_sigkill_at_any_moment(tune: Any):
    """Killed again and again, wherever it is; the study ends as if nothing had been, and nothing is left running."""
    rng = random.Random(7)
    run = tune(short_study(budget={"trials": 3, "gpuMinutes": 5, "wallClockMinutes": 5}))
    for _ in range(4):
        process = run.start()
        try:
            process.communicate(timeout=0.8 + rng.random() * 2.4)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        run.assert_nothing_left()
    code, said = run.run()
    assert code in {0, 3}, said
    trials = run.trials()
    assert_dense(trials)
    assert trials[-1].spec.number == 2
    assert all(trial.status.phase is TrialPhase.FINISHED for trial in trials)
    run.assert_nothing_left()


def first_crash(run: Tune) -> Crash:
    """Runs until the first trial has ended."""
    process = run.start()
    run.wait_for_phase("Finished")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    run.assert_nothing_left()
    status = run.trials()[0].status
    assert status.outcome is Outcome.CRASHED
    assert status.crash is not None
    return status.crash


def test_server_that_never_gets_ready(tune: Any):
    crash = first_crash(tune(short_study("--fault=stuck-start", trial={"startupTimeoutSeconds": 2})))
    assert (crash.class_, crash.limit) == ("StartupTimeout", "start-up over 2 s")


def test_server_that_dies_under_load(tune: Any):
    """vLLM's API server leaves with exit code 0 when its engine dies."""
    crash = first_crash(tune(short_study("--fault=engine-dies@0.3")))
    assert (crash.class_, crash.phase) == ("DiedUnderLoad", "Serving")


def test_server_whose_engine_hangs_though_it_says_that_it_is_well(tune: Any):
    """/health stays 200 and the load has a minute and a half to go: only the standstill can have ended the trial."""
    workload = {**short_study()["spec"]["workload"], "durationSeconds": 90}
    run = tune(short_study("--fault=hang@0.3", workload=workload, trial={"standstillSeconds": 2}))
    crash = first_crash(run)
    assert crash.class_ == "Hang"
    assert crash.cause.startswith("requests are open and no token has been generated for")


def test_server_that_hangs_in_the_warm_up(tune: Any):
    workload = {**short_study()["spec"]["workload"], "warmupSeconds": 90}
    run = tune(short_study("--fault=hang@0.3", workload=workload, trial={"standstillSeconds": 2}))
    assert first_crash(run).class_ == "Hang"
    assert run.trials()[0].status.measurements == []


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"budget": {"trials": 0}}, 2, "spec.budget.trials"),
        ({"target": {"kind": "Deployment", "name": "a", "container": "b"}}, 2, "runs a Process here"),
        ({"target": {"kind": "Process", "command": ["sleep", "60"]}}, 2, "no vLLM server in the command 'sleep 60'"),
        ({"target": {"kind": "Process", "command": ["/no/vllm", "serve"]}}, 2, "/no/vllm is not a program"),
        ({"suspend": True}, 4, "spec.suspend is true"),
        (
            {"target": {"kind": "Process", "command": [*SIMULATOR, "--max-num-seqs"]}},
            4,
            "--max-num-seqs has no value",
        ),
        (
            {
                "searchSpace": {
                    "preset": "None",
                    "parameters": [{"name": "max_model_len", "int": {"min": 1, "max": 2}}],
                }
            },
            4,
            "max_model_len",
        ),
    ],
)
def test_what_cannot_be_run_is_told_in_a_sentence(tmp_path: Path, changes: dict[str, Any], code: int, said: str):
    ended = tuned(tmp_path, yaml.safe_dump(short_study(**changes)))
    assert ended.exit_code == code, ended.output
    assert said in ended.output


def test_no_study_at_all(tmp_path: Path):
    ended = tuned(tmp_path, "just text")
    assert ended.exit_code == 2
    assert "is not a valid study" in ended.output


def test_directory_in_use(tmp_path: Path):
    with RunDirectory(tmp_path / "results", as_study(short_study())):
        ended = tuned(tmp_path, yaml.safe_dump(short_study()))
    assert ended.exit_code == 2
    assert f"another sloguard (process {os.getpid()}) runs a study in" in ended.output


def test_program_that_cannot_be_started_is_told_and_stays_to_be_tried(tmp_path: Path):
    program = tmp_path / "vllm"
    program.write_text("#!/not/there\n")
    program.chmod(0o755)
    ended = tuned(tmp_path, yaml.safe_dump(short_study(target={"kind": "Process", "command": [str(program), "serve"]})))
    assert ended.exit_code == 4
    assert "the interpreter that its first line names, does not exist" in ended.output
    assert "Then resume with the same command" in ended.output


def test_report_of_nothing(tmp_path: Path):
    ended = CliRunner().invoke(report, [str(tmp_path)])
    assert ended.exit_code == 2
    assert "holds no results of a study" in ended.output


def tuned(tmp_path: Path, study: str) -> Result:
    """In this process: a traceback would be an exception here."""
    (tmp_path / "study.yaml").write_text(study)
    ended = CliRunner().invoke(tune_command, [str(tmp_path / "study.yaml"), "-o", str(tmp_path / "results")])
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exc_info
    return ended
