"""A pull request's text: what it tells, and that texts of logs stay texts."""

import pytest

from sloguard.api.v1alpha1 import KnobName, Purpose, Recommendation, Study, Trial
from sloguard.gitops.markdown_evidence import plain, pull_request_body
from sloguard.gitops.recommended import production_settings
from tests.unit.gitops.test_promote import PARAMETERS, STUDY


def trial(number, outcome, **status):
    return Trial.model_validate(
        {
            "metadata": {"name": f"s-{number}-1"},
            "spec": {"study": "s", "number": number, "purpose": Purpose.SEARCH, "parameters": {"max_num_seqs": "192"}},
            "status": {"phase": "Finished", "outcome": outcome, **status},
        }
    )


def body(**recommended):
    found = Recommendation(
        trial="s-3-1",
        parameters=PARAMETERS,
        arguments=["org/m", "--max-num-seqs", "192"],
        goodput_tokens_per_second=100,
        slos_met=True,
        **recommended,
    )
    crash = {"class": "CUDAOutOfMemory", "fault": "Configuration", "cause": "out of memory: `64 GiB` @octocat #7 | x"}
    trials = [trial(2, "Crashed", crash=crash), trial(3, "Feasible", goodputTokensPerSecond=100)]
    study = Study.model_validate(STUDY)
    return pull_request_body(study, found, trials, production_settings(study))


def test_everything_that_speaks_for_it():
    said = body(
        improvement_percent=12, improvement_low_percent=7, confirmations=3, error_percent=5, choice="it is fast"
    )
    assert "| `max_num_seqs` | `64` | `192` |" in said
    assert "| `gpu_memory_utilization` | vLLM's default | `0.93` |" in said
    assert "| `enforce_eager` | `true` | vLLM's default |" in said
    assert "Improvement: 12 % (95 % interval: from 7 %), from 3 confirmations." in said.replace("\\", "")
    assert "TTFT p99 within 500 ms; all met" in said
    assert "| `s-3-1` | Search | Feasible | 100 | `max_num_seqs=192` |" in said
    assert "- `s-2-1`: CUDAOutOfMemory: out of memory" in said
    assert "### Revert" in said
    assert "### Reproduce" in said


def test_a_log_mentions_nobody_and_links_nothing():
    said = body()
    assert "@octocat" not in said
    assert "#7" not in said
    assert "`64 GiB`" not in said


@pytest.mark.parametrize("text", ["<!-- x -->", "[a](b)", "a\n/approve", "| a |", "**a**"])
def test_text_is_only_text(text):
    said = plain(text)
    assert "\n" not in said
    assert not any(f"{before}{mark}" in f" {said}" for mark in "<[|*" for before in " a(")


def test_many_trials_are_not_all_shown():
    found = Recommendation(
        trial="s-3-1", parameters={KnobName.MAX_NUM_SEQS: "1"}, goodput_tokens_per_second=1, arguments=[]
    )
    said = pull_request_body(Study.model_validate(STUDY), found, [trial(n, "Feasible") for n in range(100)], {})
    assert "The first 60 are not shown." in said
    assert said.count("| Search |") == 40
