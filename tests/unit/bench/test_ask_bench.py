"""The bench of asking runs: each optimizer is asked as often as wanted, and the last one is the reference."""

from tests.bench import ask
from tests.bench.optimizers import land


def test_every_optimizer_has_its_line_and_the_reference_a_ratio_of_one():
    lines = ask.table(["benign"], ["random", "tpe"], [8], asks=2).splitlines()
    assert [line.split(" | ")[:3] for line in lines[2:]] == [["| benign", "8", "random"], ["| benign", "8", "tpe"]]
    assert lines[-1].split(" | ")[4] == "1.00"


def test_the_history_holds_both_baselines_and_as_many_trials_as_were_wanted():
    where = land("tight")
    history = ask.drawn(where, 40)
    assert [result.number for result in history] == list(range(40))
    assert (history[0].parameters, history[1].parameters) == (where.production, {})
    assert len({result.outcome for result in history}) > 1
