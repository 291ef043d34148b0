"""The simulator is as close to recorded vLLM as it claims to be, on recordings that nothing was fitted to.

It runs in simulated time, so no figure depends on this machine.
"""

import pytest

from tests.bench.simulator import Summary, compare, held_out, main, recorded


@pytest.fixture(scope="module")
def kept_back() -> Summary:
    table = recorded()
    names = held_out(table.trials)
    return Summary.of([compare(trial, table.loads) for trial in table.trials if trial["name"] in names])


def test_kv_tokens_are_within_a_tenth(kept_back):
    assert kept_back.errors["kv_tokens"][0] < 0.10


@pytest.mark.parametrize("figure", ["latency", "ttft_p50", "tpot_p50", "tpot_p90", "itl_p50", "itl_p99"])
def test_latency_at_the_middle_rate_is_within_a_quarter(kept_back, figure):
    assert kept_back.errors[f"mid {figure}"][0] < 0.25


def test_its_tail_is_within_a_third(kept_back):
    assert kept_back.errors["mid ttft_p90"][0] < 0.33


def test_nine_of_ten_trials_agree_on_crash_or_no_crash(kept_back):
    assert kept_back.agreement > 0.90
    assert kept_back.same_reason > 0.90


def test_a_start_lasts_as_long_within_a_fifth(kept_back):
    assert kept_back.errors["startup_s"][0] < 0.20


def test_the_quick_mode_prints_both_parts(capsys):
    main(["--quick"])
    said = capsys.readouterr().out
    for row in ("| trials | ", "| startup_s | ", "| kv_tokens | ", "| mid latency | ", "| crash or no crash agrees | "):
        assert row in said


def test_the_third_that_is_held_out_is_always_the_same_and_of_both_lands():
    trials = recorded().trials
    names = held_out(trials)
    assert names == held_out(reversed(trials))
    assert len(names) == len(trials) // 3 == 36
    assert len([name for name in names if name.startswith("small8")]) == 11
