"""The bench of confidence intervals runs, and requests that share a queue are not taken as independent."""

from tests.bench import intervals


def test_quick_run(capsys):
    intervals.main(["--runs", "2"])
    assert len(capsys.readouterr().out.splitlines()) == 2 + 2 * len(intervals.CASES)


def test_the_block_bootstrap_covers_where_independence_does_not():
    _, (ours, independent), _ = intervals.coverage(0.8, 200, fixed=True, runs=40)
    assert ours >= 0.85
    assert independent <= 0.6
