"""The bench of scale runs from end to end, small."""

import asyncio

from tests.bench import scale


def test_the_bench_runs_on_a_few_studies(tmp_path, capsys):
    size = scale.Size(studies=4, live=1, steady_seconds=1)
    ours, theirs = ends = asyncio.run(scale.run(size, tmp_path))
    assert len(ours.latencies) >= scale.LIVE_TRIALS
    assert 0 < ours.requests_per_trial < 200
    assert min(end.recovery_cpu_seconds for end in ends) > 0
    table = scale.report(size, ends)
    assert table.startswith("| 4 studies, 80 trials | sloguard | kopf daemons |")
    assert "75 trials written" in capsys.readouterr().out
    assert not theirs.latencies, "it decides nothing"
