"""`sloguard measure`: live traffic against a study's SLOs, from a real Prometheus alone."""

import asyncio
import json

import pytest
import yaml
from click.testing import CliRunner

from sloguard.measure.live_command import measure
from sloguard.measure.load import run_load
from tests.prometheus.test_cross_check import a_request, quiet
from tests.unit.engine.builders import make_study

SLOS = [
    {"metric": "TTFT", "percentile": 95, "milliseconds": 80_000},
    {"metric": "E2E", "percentile": 95, "milliseconds": 120_000},
    {"metric": "QueueTime", "percentile": 95, "milliseconds": 60_000},
]


@pytest.fixture
def study(tmp_path):
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(make_study(slos=SLOS).dump()))
    return str(file)


async def told(*arguments):
    result = await asyncio.to_thread(CliRunner().invoke, measure, arguments)
    return result.exit_code, result.output


async def test_figures_of_live_traffic(servers, scraping, study):
    await quiet()
    loads = [run_load(a_request(server, warmup_seconds=0)) for server in servers]
    sent = sum(result.rates[0].sent for result in await asyncio.gather(*loads))
    await quiet()
    about = ("--prometheus-url", scraping.url, "--study", study, "--window-seconds", "600")
    code, output = await told(*about, "--selector", 'namespace="serving"', "--json")
    assert code == 0, output
    seen = json.loads(output)
    assert seen["source"] == "Prometheus"
    assert seen["requests"] >= sent, "of both servers"
    assert seen["goodLow"] == seen["goodHigh"] == seen["requests"], "the limits are on edges, and far off"
    assert seen["goodTokensLow"] == seen["goodTokensHigh"] == seen["outputTokens"]
    code, text = await told(*about, "--selector", 'namespace="serving", pod="llama-a"')
    assert code == 0, text
    assert "requests ended on 1 servers within" in text
    assert "TTFT p95 within 80000 ms: met, 100.0 to 100.0 %" in text
    assert "goodput: " in text


async def test_nobody_to_measure(servers, scraping, study):
    assert servers
    about = ("--prometheus-url", scraping.url, "--study", study)
    code, output = await told(*about, "--selector", 'pod="nobody"')
    assert (code, "no series of vLLM's with two samples" in output) == (2, True)
    code, output = await told(*about, "--selector", "pod=")
    assert (code, "answered HTTP 400" in output) == (2, True)
    code, output = await told("--study", study, "--selector", "x")
    assert (code, "no Prometheus is given" in output) == (2, True)
