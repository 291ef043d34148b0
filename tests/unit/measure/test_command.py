"""`sloguard load` as a process, and what it says to wrong input."""

import asyncio
import json
import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from sloguard.domain.goodput import CLIENT_METRICS
from sloguard.measure.command import load
from sloguard.measure.encode import decode
from tests.unit.measure.fake_server import DONE, a_request, chunk, streams, usage

PROGRAM = "from sloguard.measure.command import load; load()"

STUDY = """
apiVersion: sloguard.dev/v1alpha1
kind: SLOGuardStudy
metadata: {name: a}
spec:
  target: {kind: Process, command: [vllm, serve, m]}
  slos: [{metric: TTFT, milliseconds: 30000}]
  workload:
    arrival: {pattern: Poisson, requestsPerMinute: 600}
    promptTokens: {mean: 4}
    outputTokens: {mean: 2}
    warmupSeconds: 0
    durationSeconds: 1
"""


async def run(*arguments, stdin=b"", **environment):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    )
    out, err = await process.communicate(stdin)
    return process.returncode, out.decode(), err.decode()


async def test_request_in_the_environment_and_result_in_the_termination_log(server, tmp_path):
    log, lines = tmp_path / "termination-log", tmp_path / "requests.jsonl"
    log.write_text("what was there before, which is longer than nothing")
    log_inode = log.stat().st_ino
    code, out, err = await run(
        "--output",
        str(log),
        "--requests-output",
        str(lines),
        SLOGUARD_LOAD_REQUEST=json.dumps(a_request(server).dump()),
    )
    assert code == 0, err
    result = decode(log.read_text())
    assert result.rates == decode(out).rates
    assert result.rates[0].good == 20
    assert [sketch.metric for sketch in result.sketches] == list(CLIENT_METRICS)
    assert log.stat().st_ino == log_inode, "a mounted file can only be written in place"
    requests = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [request["ending"] for request in requests] == ["completed"] * 20
    assert len(requests[0]["gapsMicroseconds"]) == 3
    assert re.search(r"100 %: 20 of 20 requests good, 80\.0 ± [1-9][\d.]* good tokens/s, SLOs met", err)


async def test_workload_of_a_study(server, tmp_path):
    study = tmp_path / "study.yaml"
    study.write_text(STUDY)
    code, out, err = await run("--study", str(study), "--url", server.url + "/v1/")
    assert code == 0, err
    assert decode(out).rates[0].sent == 10


async def test_words_of_vllm_bench(server):
    request = a_request(server, sweep_percent=[50, 100], model="tiny").dump()
    code, out, err = await run("--request", "-", "--format", "vllm-bench", stdin=json.dumps(request).encode())
    assert code == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["completed"], line["model_id"]) for line in lines] == [(20, "tiny")] * 2
    assert all(line["mean_ttft_ms"] > 0 for line in lines)


async def test_a_dead_server_is_a_result(server):
    request = json.dumps(a_request(server).dump())
    await server.stop()
    code, out, err = await run("--request", "-", "--ready-timeout-seconds", "0", stdin=request.encode())
    assert code == 0, err
    assert decode(out).fault is not None


async def test_too_few_files_are_our_own_fault(server):
    """Twenty requests stay open, and this process may have twenty files, some of them in use."""
    server.answer = streams(chunk(), 0.5, usage(4), DONE)
    request = json.dumps(a_request(server).dump())
    limits = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)); "
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", limits + PROGRAM, "--request", "-"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    out, _ = await process.communicate(request.encode())
    result = decode(out.decode())
    assert "the load generator could not open a connection" in result.invalid
    assert result.fault is None, "the server lives"


async def test_a_server_without_models_is_wrong_input(server):
    server.models = server.metrics
    code, out, err = await run("--request", "-", stdin=json.dumps(a_request(server).dump()).encode())
    assert (code, out) == (2, "")
    assert "name it with --model" in err


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ([], "", "nothing to measure; give --study, --request or the environment variable SLOGUARD_LOAD_REQUEST"),
        (["--request", "-"], "{", "- is not JSON"),
        (["--request", "-"], "7", "- holds no JSON object"),
        (["--request", "-"], "{}", "no server is named; give --url"),
        (["--request", "-", "--url", "ftp://a"], "{}", "url: String should match pattern"),
        (["--request", "-", "--url", "http://a"], '{"slo": []}', "slo: Extra inputs are not permitted"),
        (["--request", "/nowhere"], "", "cannot read /nowhere"),
        (["--study", "/nowhere"], "", "does not exist"),
    ],
)
def test_wrong_input(arguments, stdin, message, monkeypatch):
    monkeypatch.delenv("SLOGUARD_LOAD_REQUEST", raising=False)
    result = CliRunner().invoke(load, arguments, input=stdin)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(("text", "message"), [("a: [", "not YAML"), ("7", "7 is not a study"), ("", "is empty")])
def test_wrong_study(tmp_path, text, message):
    study = tmp_path / "study.yaml"
    study.write_text(text)
    result = CliRunner().invoke(load, ["--study", str(study), "--url", "http://a"])
    assert result.exit_code == 2
    assert message in result.output


def test_output_that_cannot_be_written_is_found_before_the_load(tmp_path):
    request = tmp_path / "request.json"
    workload = {"arrival": {"requestsPerMinute": 1}, "promptTokens": {"mean": 1}, "outputTokens": {"mean": 1}}
    slos = [{"metric": "TTFT", "milliseconds": 1}]
    request.write_text(json.dumps({"url": "http://127.0.0.1:9", "workload": workload, "slos": slos}))
    result = CliRunner().invoke(load, ["--request", str(request), "--output", str(tmp_path / "no" / "file")])
    assert result.exit_code == 2
    assert "cannot write" in result.output


def test_the_command_imports_little():
    modules = "sloguard.measure.load, sloguard.measure.command, sloguard.measure.encode"
    program = [sys.executable, "-c", f"import sys, {modules}; print(*sys.modules)"]
    loaded = set(subprocess.run(program, capture_output=True, text=True, check=True).stdout.split())
    assert not loaded & {"optuna", "sklearn", "kopf", "kubernetes", "numpy", "yaml", "rich", "prometheus_client"}
