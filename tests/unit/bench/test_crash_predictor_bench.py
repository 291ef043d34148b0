"""The bench of the crash predictor: its ledgers hold crashes and survivals, and its small tables order as the large."""

from statistics import fmean

from tests.bench import crash_predictor as bench


def brier(said):
    return fmean((entry.probability - entry.crashed) ** 2 for entry in said)


def reference(said):
    return fmean((entry.reference - entry.crashed) ** 2 for entry in said)


def test_the_ledgers_hold_crashes_and_survivals():
    real = bench.recorded()
    assert len(real) == 77
    assert 20 <= sum(record.crashed for record in real) <= 30
    made = bench.simulated(12, seed=1)
    assert len(made) == 12 * len(bench.GPUS) * len(bench.MODELS)
    assert 0.03 < fmean(record.crashed for record in made) < 0.4
    assert made == bench.simulated(12, seed=1)


def test_what_is_said_of_a_gpu_that_was_left_out_is_worth_more_than_the_crash_rate():
    said = bench.left_out(bench.simulated(24, seed=2), bench.model_of, seed=2)
    assert brier(said) < 0.7 * reference(said)
    row = bench.line("simulated", "one model at a time", said)
    assert row.count("|") == len(bench.COLUMNS) + 1


def test_reliability_counts_everything_once():
    said = bench.within(bench.recorded(), 20, seed=1)
    rows = bench.reliability(said).splitlines()[2:]
    assert sum(int(row.split("|")[2]) for row in rows) == len(said) == 37
