"""`sloguard load` by options alone."""

import json

import pytest
from click.testing import CliRunner

from sloguard.measure import command
from sloguard.measure.encode import decode
from tests.unit.measure.test_command import run

SLO = ("--slo", "TTFT=500")
SIZES = ("--prompt-tokens", "8", "--output-tokens", "4")
RATE = ("--requests-per-second", "10")


@pytest.fixture
def asked(monkeypatch):
    """The request that options make, which is not sent to anybody."""
    seen = []

    def keep(request, *_):
        seen.append(request)
        raise command.WrongInput("enough")

    monkeypatch.setattr(command, "_run", keep)

    def ask(*options):
        result = CliRunner().invoke(command.load, ["--url", "http://a", *options])
        assert "enough" in result.output, result.output
        return seen.pop()

    return ask


def refused(*options):
    result = CliRunner().invoke(command.load, ["--url", "http://a", *options])
    assert result.exit_code == 2, result.output
    return " ".join(result.output.split())


async def test_a_quick_load(server):
    code, out, err = await run(
        *(
            "--url",
            server.url,
            *RATE,
            "--pattern",
            "constant",
            *SIZES,
            "--warmup-seconds",
            "0",
            "--duration-seconds",
            "1",
        ),
        *("--slo", "ttft-p90=30000", "--slo", "E2E=60000"),
    )
    assert code == 0, err
    (rate,) = decode(out).rates
    assert (rate.sent, rate.good, rate.requests_per_minute) == (10, 10, 600)
    assert [(slo.metric, slo.percentile) for slo in rate.slos] == [("TTFT", 90), ("E2E", 99)]
    assert {len(json.loads(body)["prompt"]) for body in server.bodies} == {8}


async def test_a_closed_loop_says_so(server):
    code, out, err = await run(
        *("--url", server.url, "--users", "2", *SIZES, "--warmup-seconds", "0", "--duration-seconds", "1", *SLO)
    )
    assert code == 0, err
    assert decode(out).rates[0].users == 2
    assert "100 %, closed loop of 2 users: " in err


@pytest.mark.parametrize(
    ("options", "arrival"),
    [
        (RATE, {"pattern": "Poisson", "requestsPerMinute": 600}),
        (("--requests-per-minute", "7"), {"pattern": "Poisson", "requestsPerMinute": 7}),
        ((*RATE, "--burstiness", "0.25"), {"pattern": "Gamma", "requestsPerMinute": 600, "burstinessPercent": 25}),
        (
            ("--users", "9", "--think-milliseconds", "50"),
            {"pattern": "ClosedLoop", "closedLoop": {"users": 9, "thinkMilliseconds": 50}},
        ),
    ],
)
def test_the_pattern_follows_from_what_is_given(asked, options, arrival):
    assert asked(*options, *SIZES, *SLO).workload.arrival.dump() == arrival


def test_a_trace_brings_its_own_lengths(asked, tmp_path, monkeypatch):
    (tmp_path / "a.csv").write_text("")
    monkeypatch.chdir(tmp_path)
    workload = asked("--trace", "a.csv", "--replay-time-percent", "50", *SLO).workload
    assert workload.arrival.pattern == "Trace"
    assert workload.arrival.trace_file == str(tmp_path / "a.csv")
    assert workload.arrival.replay.time_percent == 50
    assert workload.prompt_tokens is None


def test_lengths_rates_and_prompts(asked):
    options = (
        "--prompt-tokens",
        "100-200",
        "--output-tokens",
        "64:16",
        "--sweep-percent",
        "50,100",
        "--prompts",
        "chat",
    )
    workload = asked(*RATE, *options, "--seed", "3", *SLO).workload
    assert (workload.prompt_tokens.distribution, workload.prompt_tokens.min, workload.prompt_tokens.max) == (
        "Uniform",
        100,
        200,
    )
    assert (workload.output_tokens.mean, workload.output_tokens.stddev) == (64, 16)
    assert (workload.sweep_percent, workload.prompts.format, workload.seed) == ([50, 100], "Chat", 3)
    assert (workload.warmup_seconds, workload.duration_seconds) == (5, 30)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*SIZES, *SLO), "pattern Poisson needs a rate; give --requests-per-second or --requests-per-minute"),
        ((*RATE, *SIZES), "no SLO is given, so nothing could be called good; give --slo, such as --slo TTFT-p99=500"),
        ((*RATE, *SLO), "promptTokens and outputTokens are needed"),
        ((*RATE, "--requests-per-minute", "5", *SIZES, *SLO), "are both given; keep one"),
        ((*RATE, *SIZES, "--slo", "TTFX=5"), "--slo TTFX=5 is no SLO; write METRIC-PERCENTILE=MILLISECONDS"),
        ((*RATE, *SIZES, "--slo", "TTFT-p999=5"), "less than or equal to 100"),
        ((*RATE, "--prompt-tokens", "some", *SLO), "--prompt-tokens some is no length; write 1024, or 1024:256"),
        ((*RATE, *SIZES, *SLO, "--sweep-percent", "50;100"), "is no list of rates; write whole numbers"),
        ((*RATE, *SIZES, *SLO, "--sweep-percent", "50"), "lacks 100"),
        ((*RATE, *SIZES, *SLO, "--users", "3"), "requestsPerMinute has no effect with pattern ClosedLoop"),
        ((*SIZES, *SLO, "--pattern", "ClosedLoop"), "pattern ClosedLoop needs closedLoop"),
        (("--trace", "/nowhere", *SLO), "does not exist"),
        ((*RATE, *SIZES, *SLO, "--request", "-"), "--requests-per-second says what a request or a study says already"),
    ],
)
def test_what_does_not_belong_together(options, message):
    assert message in refused(*options)
