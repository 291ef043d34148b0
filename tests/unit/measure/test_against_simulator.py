"""The load and the vLLM stand-in, which have to agree."""

import asyncio
import json
import socket
import subprocess
import sys

import pytest

from sloguard.api.v1alpha1 import (
    SLO,
    Arrival,
    ArrivalPattern,
    DisagreementPart,
    Metric,
    ServerFaultKind,
    SharedPrefix,
    TokenLengths,
    Workload,
)
from sloguard.measure import load as load_module
from sloguard.measure import pulse as pulse_module
from sloguard.measure.client import open_session
from sloguard.measure.load import run_load
from sloguard.measure.request import LoadRequest, Soak


@pytest.fixture
async def simulate():
    started = []

    async def start(*arguments):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "sloguard.simulator", "m", "--profile", "tiny", "--startup-scale", "0.001"]
        process = await asyncio.create_subprocess_exec(
            *command, "--port", str(port), *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        started.append(process)
        return process, f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


def a_request(url, **changes):
    fields = {
        "arrival": Arrival(requests_per_minute=1800),
        "prompt_tokens": TokenLengths(mean=40, stddev=20, min=1, max=100),
        "output_tokens": TokenLengths(mean=8, stddev=8, min=1, max=20),
        "shared_prefix": SharedPrefix(tokens=32, percent=50),
        "warmup_seconds": 1,
        "duration_seconds": 1,
        "drain_seconds": 30,
        "dispatch_lag_floor_milliseconds": 60_000,
    }
    return LoadRequest(
        url=url,
        workload=Workload(**fields | changes),
        slos=[SLO(metric=metric, milliseconds=60_000) for metric in Metric],
    )


async def test_client_and_server_count_the_same(simulate):
    _, url = await simulate()
    result = await run_load(a_request(url, sweep_percent=[50, 100]))
    assert result.fault is None
    assert [rate.sent for rate in result.rates] == [15, 30]
    for rate in result.rates:
        assert rate.good == rate.sent
        assert rate.slos_met, "by the client, and by the server where only that knows: QueueTime"
        assert rate.server.prompt_tokens == rate.prompt_tokens
        assert rate.server.generation_tokens == rate.output_tokens
        assert rate.server.prefix_cache_hits_tokens > 0
        view = rate.server_view
        assert view.requests == rate.sent
        assert (view.prompt_tokens, view.output_tokens) == (rate.prompt_tokens, rate.output_tokens)
        assert view.good_low <= rate.good <= view.good_high
        assert view.good_tokens_low <= rate.good_tokens <= view.good_tokens_high
        # On a busy machine the client may well be late; but nobody else sends, and nothing is lost.
        assert {one.part for one in view.disagreements} <= {DisagreementPart.QUEUE, DisagreementPart.NETWORK}


async def test_a_trace_with_shared_blocks_finds_them_in_the_prefix_cache(simulate, tmp_path):
    """Three turns of one talk, each with a block of 512 tokens more than the last."""
    _, url = await simulate()
    path = tmp_path / "mooncake.jsonl"
    turns = [
        {"timestamp": 90 * turn, "input_length": 512 * turn, "output_length": 2, "hash_ids": list(range(turn))}
        for turn in range(1, 4)
    ]
    path.write_text("\n".join(map(json.dumps, turns)))
    arrival = Arrival(pattern=ArrivalPattern.TRACE, trace_file=str(path))
    nothing_else = {"prompt_tokens": None, "output_tokens": None, "shared_prefix": None, "warmup_seconds": 0}
    result = await run_load(a_request(url, arrival=arrival, **nothing_else))
    (rate,) = result.rates
    assert (rate.good, rate.server.prompt_tokens) == (3, 512 * 6)
    assert 512 * 3 * 0.9 < rate.server.prefix_cache_hits_tokens <= 512 * 3


async def test_an_engine_that_dies_under_load(simulate):
    process, url = await simulate("--fault", "engine-dies@0.5")
    result = await run_load(a_request(url, warmup_seconds=0, duration_seconds=30))
    assert result.fault.kind in {ServerFaultKind.ENGINE_DEAD, ServerFaultKind.SERVER_GONE}
    (rate,) = result.rates
    assert rate.sent == 900
    assert rate.sent == rate.good + rate.violations.slow + rate.violations.failed
    assert rate.violations.failed > 800
    assert await process.wait() == 0


async def test_an_engine_that_hangs(simulate, monkeypatch):
    """/health stays 200 and nothing breaks; tokens just stop."""
    monkeypatch.setattr(pulse_module, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(pulse_module, "STANDSTILL_SECONDS", 2.0)
    _, url = await simulate("--fault", "hang@0.5")
    result = await run_load(a_request(url, warmup_seconds=0, duration_seconds=30))
    assert result.fault.kind is ServerFaultKind.GENERATION_STALLED
    assert (result.finished_at - result.fault.at).total_seconds() >= 2
    (rate,) = result.rates
    assert rate.sent == 900
    assert rate.sent == rate.good + rate.violations.slow + rate.violations.failed
    assert rate.violations.refused > 0, "what was not sent any more"


async def test_a_server_killed_under_load(simulate):
    process, url = await simulate()
    async with open_session() as session:
        assert await load_module._wait_until_ready(session, url, 60) is None
    loading = asyncio.create_task(run_load(a_request(url, warmup_seconds=0, duration_seconds=30)))
    await asyncio.sleep(0.5)
    process.kill()
    result = await loading
    assert result.fault.kind is ServerFaultKind.SERVER_GONE
    assert result.rates[0].sent == 900


async def test_a_soak_fills_the_batch_with_what_the_model_takes(simulate):
    _, url = await simulate("--max-num-seqs", "6", "--max-model-len", "512")
    unbounded = TokenLengths(mean=400, stddev=200)
    request = a_request(url, prompt_tokens=unbounded, output_tokens=unbounded, shared_prefix=None)
    result = await run_load(request.model_copy(update={"soak": Soak(seconds=2, max_num_seqs=6)}))
    (rate,) = result.rates
    assert result.worst_case == "6 requests at once (max_num_seqs), each a prompt of 448 and an answer of 64 tokens"
    assert rate.violations.client_error == 0, "none is longer than it takes"
    assert rate.completed == rate.sent >= 6
    assert rate.output_tokens == 64 * rate.completed
    assert result.fault is None
