"""The report of a study, as wide and as narrow as terminals are."""

import io
from typing import Any

import pytest
from rich.console import Console

from sloguard.api.v1alpha1 import Objective, Prediction, Study, Trial
from sloguard.report.expectations import expectations
from sloguard.report.tables import print_report

SPEC = {
    "target": {"kind": "Process", "command": ["vllm", "serve", "m", "--max-num-seqs=2"]},
    "slos": [
        {"metric": "TTFT", "percentile": 90, "milliseconds": 1000},
        {"metric": "ITL", "percentile": 99, "milliseconds": 100},
    ],
    "workload": {
        "arrival": {"pattern": "Poisson", "requestsPerMinute": 60},
        "promptTokens": {"mean": 64, "stddev": 0, "min": 64, "max": 64},
        "outputTokens": {"mean": 64, "stddev": 0, "min": 64, "max": 64},
    },
    "searchSpace": {"preset": "Core"},
}
RECOMMENDATION = {
    "trial": "s-2-1",
    "goodputTokensPerSecond": 720,
    "objectiveValue": 720,
    "slosMet": True,
    "arguments": ["m", "--max-num-seqs=64", "--override-generation-config", '{"a": 1}'],
    "parameters": {"max_num_seqs": "64"},
    "improvementPercent": 106,
    "reason": "720 tokens/s over 2 repeats: +106 %",
}


def study(**status: Any) -> Study:
    return Study.model_validate(
        {
            "apiVersion": "sloguard.dev/v1alpha1",
            "kind": "SLOGuardStudy",
            "metadata": {"name": "s"},
            "spec": SPEC,
            "status": status,
        }
    )


def trial(
    number: int, purpose: str, attempt: int = 1, parameters: dict[str, str] | None = None, **status: Any
) -> Trial:
    return Trial.model_validate(
        {
            "metadata": {"name": f"s-{number}-{attempt}"},
            "spec": {
                "study": "s",
                "number": number,
                "attempt": attempt,
                "purpose": purpose,
                "parameters": parameters or {},
            },
            "status": {"phase": "Finished", **status},
        }
    )


def measured(tokens: int, ttft_microseconds: int | None) -> dict[str, Any]:
    met = ttft_microseconds is not None and ttft_microseconds <= 1_000_000
    ttft = {"metric": "TTFT", "percentile": 90, "limitMilliseconds": 1000, "met": met}
    ttft |= {} if ttft_microseconds is None else {"measuredMicroseconds": ttft_microseconds}
    itl = {"metric": "ITL", "percentile": 99, "limitMilliseconds": 100, "met": True, "measuredMicroseconds": 20_400}
    rate = {
        "ratePercent": 100,
        "requestsPerMinute": 60,
        "durationMilliseconds": 1000,
        "sent": 10,
        "completed": 10,
        "good": 10,
        "promptTokens": 10,
        "outputTokens": tokens,
        "goodTokens": tokens,
        "goodTokensInterval": {"low": tokens - 31, "high": tokens + 9},
        "violations": {},
        "latencies": [],
        "slos": [ttft, itl],
    }
    return {"measurements": [rate], "outcome": "Feasible" if met else "Infeasible"}


TRIALS = [
    trial(0, "Production", parameters={"max_num_seqs": "2"}, **measured(106, None)),
    trial(1, "Default", **measured(350, 2_000_000)),
    trial(2, "Search", parameters={"max_num_seqs": "64", "gpu_memory_utilization": "0.9"}, **measured(721, 250_000)),
    trial(3, "Search", outcome="Infrastructure", message="PortInUse: [Errno 98] address already in use"),
    trial(3, "Search", 2, outcome="Crashed", message="NoKVCacheRoom: KV short by 1.35 GiB"),
]


def printed(width: int, **status: Any) -> str:
    text = io.StringIO()
    print_report(Console(file=text, width=width, color_system=None), study(**status), TRIALS)
    return text.getvalue()


@pytest.mark.parametrize("width", [80, 100, 140, 250])
def test_nothing_but_sentences_is_wider_than_the_terminal(width: int):
    text = printed(width, recommendation=RECOMMENDATION)
    tables = text.partition("tokens/s: of requests")[0]
    assert max(len(line.rstrip()) for line in tables.splitlines()) <= width
    for word in ("Production", "Infrastructure", "NoKVCacheRoom:", "[Errno 98]", "3.2", "721"):
        assert word in text, word


def test_winner_against_production_and_defaults():
    lines = printed(140, recommendation=RECOMMENDATION).splitlines()
    rows = {" ".join(line.split()) for line in lines}
    assert "production today 106 ± 31 failed 20 ms broken" in rows
    assert "vLLM's defaults 350 ± 31 2000 ms 20 ms broken" in rows
    assert "winner, trial 2 720 250 ms 20 ms met" in rows


def test_a_soak_has_no_figures_and_says_what_was_outlived():
    soak = trial(4, "Soak", outcome="Feasible", message="outlived 300 s of 64 requests at once")
    text = io.StringIO()
    print_report(Console(file=text, width=140, color_system=None), study(), [*TRIALS, soak])
    lines = [" ".join(line.split()) for line in text.getvalue().splitlines()]
    row = next(number for number, line in enumerate(lines) if line.startswith("4 Soak"))
    assert lines[row] == "4 Soak Feasible - - - (defaults)"
    assert lines[row + 1] == "outlived 300 s of 64 requests at once"


def test_once_something_was_repeated_the_spread_within_a_run_is_left_out():
    """It takes a queue that grows for noise: past saturation it says ± 1926 of 1136 that came again within 4 %."""
    noise = [{"ratePercent": 100, "permille": 37, "runs": 4}]
    text = printed(140, recommendation=RECOMMENDATION, noise=noise)
    assert "production today 106 failed" in {" ".join(line.split()[:4]) for line in text.splitlines()}
    assert "±" not in text


def test_figures_of_a_closed_loop_are_marked():
    closed = {"pattern": "ClosedLoop", "closedLoop": {"users": 32}}
    spec = SPEC | {"workload": SPEC["workload"] | {"arrival": closed}}
    given = study(recommendation=RECOMMENDATION).model_dump(by_alias=True, exclude_none=True) | {"spec": spec}
    text = io.StringIO()
    print_report(Console(file=text, width=140, color_system=None), Study.model_validate(given), TRIALS)
    assert "; closed loop of 32 users, so no figure compares with those of an open loop" in text.getvalue()
    assert "closed loop" not in printed(140, recommendation=RECOMMENDATION)


def test_what_identical_runs_were_apart_is_told():
    noise = [{"ratePercent": 100, "permille": 4, "runs": 6}, {"ratePercent": 150, "permille": 281, "runs": 6}]
    said = "identical runs differed by (standard deviation): 0.4 % at 100 %, 28.1 % at 150 % of the workload's rate"
    assert said in printed(140, noise=noise)
    assert "identical runs" not in printed(140)


FRONT = [
    {"trial": "s-2-1", "objectiveValue": 720, "limitUsedPercent": [90, 20]},
    {"trial": "s-4-1", "objectiveValue": 700, "limitUsedPercent": [40, 18]},
]


def test_the_front_is_shown_with_why_this_point_of_it():
    choice = "s-4-1 gives 3 % less but takes 40 % of the TTFT p90 limit instead of 90 %"
    text = printed(100, recommendation=RECOMMENDATION | {"choice": choice}, front=FRONT)
    rows = {" ".join(line.split()) for line in text.splitlines()}
    assert "trial tokens/s of TTFT p90 of ITL p99" in rows
    assert "s-4-1 700 40 % 18 %" in rows
    assert f"Why this one: {choice}" in text
    assert "Goodput against latency" not in printed(100, front=FRONT[:1]), "nothing to choose between"


def test_why_the_search_ended_is_told():
    ended = {
        "type": "SearchEnded",
        "status": "True",
        "reason": "StoppedEarly",
        "message": "stopped after 14 of 30 trials: ...",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    assert "the search: stopped after 14 of 30 trials: ..." in printed(140, conditions=[ended])


def expected(number: int, status: dict[str, Any], **predicted: int) -> Trial:
    made = trial(number, "Search", **status)
    return made.model_copy(update={"spec": made.spec.model_copy(update={"predicted": Prediction(**predicted)})})


def test_what_was_expected_is_held_against_what_came():
    trials = [
        *TRIALS,
        expected(4, measured(110, 100_000), objective=100, crash_permille=100, feasible_permille=900, vetoes=2),
        expected(5, measured(90, 100_000), objective=100, crash_permille=100, feasible_permille=800),
        expected(6, measured(50, 2_000_000), objective=100, feasible_permille=500, vetoes=1),
        expected(7, {"outcome": "Crashed"}, objective=100, crash_permille=300),
        expected(8, {"outcome": "Infrastructure"}, crash_permille=1000, vetoes=5),
    ]
    assert expectations(trials, Objective.GOODPUT, 100) == (
        "the objective came within 10 % (median of 2 trials); 0.5 crashes expected, 1 came; 2.2 of 3 within the SLOs "
        "expected, 2 were; 3 configurations vetoed as sure to crash"
    )
    assert expectations(TRIALS, Objective.GOODPUT, 100) == ""


def test_command_can_be_pasted():
    text = printed(80, recommendation=RECOMMENDATION)
    assert """  vllm serve m --max-num-seqs=64 --override-generation-config '{"a": 1}'\n""" in text


def test_no_recommendation_says_why():
    condition = {
        "type": "Ready",
        "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": "NoImprovement",
        "message": "production is kept: [nothing] was better",
    }
    text = printed(80, phase="Completed", conditions=[condition])
    assert "No recommendation: production is kept: [nothing] was better" in text
    assert "Command to serve with" not in text
