"""The bench of the simulator runs, and what it compares is what was recorded."""

from tests.bench.simulator import held_out, main, recorded


def test_the_quick_mode_prints_both_parts(capsys):
    main(["--quick"])
    said = capsys.readouterr().out
    for row in ("| trials | ", "| startup_s | ", "| kv_tokens | ", "| mid latency | ", "| crash or no crash agrees | "):
        assert row in said


def test_the_third_that_is_held_out_is_always_the_same_and_of_both_lands():
    trials = recorded().trials
    kept_back = held_out(trials)
    assert kept_back == held_out(reversed(trials))
    assert len(kept_back) == len(trials) // 3 == 36
    assert len([name for name in kept_back if name.startswith("small8")]) == 11
