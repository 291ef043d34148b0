"""The bench of the optimizers: its lands are what they say, and small tables come out in the expected order."""

import math
from dataclasses import replace
from random import Random
from statistics import fmean

import pytest

from sloguard.api.v1alpha1 import KnobName, Outcome
from sloguard.optimizer.margin_bo import MarginBO
from tests.bench import optimizers
from tests.bench.lands.land import OVERWHELMED_RATIO
from tests.bench.lands.recorded import CARD, LONGEST, MODEL, recordings
from tests.bench.lands.server import Setting, memory_of
from tests.bench.optimizer_tables import Paired
from tests.bench.references import NEEDS_TORCH, REFERENCES
from tests.bench.torch_cache import has_torch

CRASHING = {
    "tight": (30, 45),
    "quant": (33, 48),
    "serving_death": (40, 60),
    "benign": (0, 0),
    "noisy": (30, 45),
    "misleading": (25, 45),
    "recorded": (10, 30),
}
"""Percent of random configurations that crash."""


@pytest.mark.parametrize("name", optimizers.LANDS)
def test_a_land_crashes_as_often_as_it_says_and_can_be_solved(name):
    land = optimizers.land(name)
    rng = Random(1)
    truths = [land.truth_of(land.space.sample(rng)) for _ in range(600)]
    low, high = CRASHING[name]
    assert low <= 100 * sum(truth.crash is not None for truth in truths) / len(truths) <= high
    assert sum(truth.worth > 0 for truth in truths) > 10
    assert all(math.isfinite(truth.goodput) and truth.goodput >= 0 for truth in truths)


def test_margins_announce_nothing_of_a_fifth_of_the_crashes_in_misleading():
    land = optimizers.land("misleading")
    rng = Random(2)
    crashes = [crash for _ in range(600) if (crash := land.truth_of(land.space.sample(rng)).crash)]
    assert sum(crash.value in {"GPUFault", "Hang"} for crash in crashes) > len(crashes) / 5


def test_noise_depends_on_land_seed_and_configuration_only():
    land = optimizers.land("tight")
    values = land.space.sample(Random(3))
    assert land.measure(7, values, 1) == replace(land.measure(2, values, 1), number=7)
    assert land.measure(7, values, 1) != land.measure(7, values, 2)


@pytest.mark.parametrize("name", optimizers.CURVES)
def test_a_land_with_curves_is_the_same_at_the_offered_rate_and_ends_when_overwhelmed(name):
    land, point = optimizers.land(name), optimizers.land(name.removesuffix("_curve"))
    drawn = [land.space.sample(Random(i)) for i in range(60)]
    results = [land.measure(i, values, 1) for i, values in enumerate(drawn)]
    swept = [(values, result) for values, result in zip(drawn, results, strict=True) if result.curve]
    assert len(swept) > 20
    assert all(result.outcome is Outcome.CRASHED for result in results if not result.curve)
    for values, result in swept:
        assert land.truth_of(values) == point.truth_of(values)
        assert [max(rate.violation_ratios) > OVERWHELMED_RATIO for rate in result.curve[:-1]].count(True) == 0
        ended = max(result.curve[-1].violation_ratios) > OVERWHELMED_RATIO
        assert ended or len(result.curve) == len(land.sweep.percents)
        at = [rate for rate in result.curve if rate.percent <= 100][-1]
        assert (result.objective, result.violation_ratios) == (at.goodput, at.violation_ratios)
    noise = [(land.sweep.noise(land.truth_of(values)), max(land.truth_of(values).ratios)) for values, _ in swept]
    assert all(sd == land.sweep.held_noise for sd, worst in noise if worst < 0.9)
    assert all(sd == land.sweep.saturated_noise for sd, worst in noise if worst > 1.5)


def test_the_recorded_land_has_the_memory_of_the_recordings():
    errors = [
        abs(memory_of(Setting.of(r["config"], LONGEST), CARD, MODEL).kv_gib - r["kv_gib"])
        for r in recordings()
        if r["vram_gib"] == 24 and r["kv_gib"] is not None
    ]
    assert len(errors) > 40
    assert sorted(errors)[len(errors) // 2] < 0.2
    assert max(errors) < 0.9


def test_the_same_command_prints_the_same_table():
    where = optimizers.land("recorded")

    def rows():
        rows = optimizers.run(where, "random", 5, (4, 8))
        return [replace(row, ask_ms=0.0, ask_peak_ms=0.0) for row in rows]

    assert rows() == rows()


def test_what_breaks_an_slo_in_truth_is_worth_nothing():
    land = optimizers.land("noisy")
    history = [land.measure(i, land.space.sample(Random(i)), 1) for i in range(80)]
    worths = optimizers.recommended_worths(land, history, optimizers.make("random")(land.space, 1))
    best = max((r for r in history if r.outcome is Outcome.FEASIBLE), key=lambda r: r.objective)
    assert worths[-1] == land.truth_of(best.parameters).worth
    assert worths[0] == 0.0


def test_a_model_recommends_what_it_believes_in_and_others_the_best_figure():
    class Believing:
        def believed(self, history):
            return {result.number: -result.objective for result in history if result.objective is not None}

    land = optimizers.land("benign")
    history = [land.measure(i, land.space.sample(Random(i)), 1) for i in range(20)]
    held = sorted((r for r in history if r.outcome is Outcome.FEASIBLE), key=lambda r: r.objective)
    assert optimizers.recommended(history, Believing()) is held[0]
    assert optimizers.recommended(history, optimizers.make("tpe")(land.space, 1)) is held[-1]
    assert optimizers.recommended([], Believing()) is None


def test_small_tables_order_as_the_large_ones_do():
    """TPE learns to crash less than random within 24 trials: 21 to 33 % over 8 seeds of the large table."""
    where = optimizers.land("tight")
    rows = [optimizers.run(where, name, seed, (24,))[0] for name in ("random", "tpe") for seed in range(3)]
    random_rows, tpe_rows = rows[:3], rows[3:]
    assert sum(row.crash_percent for row in tpe_rows) < sum(row.crash_percent for row in random_rows)
    text = optimizers.table(rows) + optimizers.comparison(rows, "tpe")
    assert "| tight | tpe | 3 |" in text
    assert "| tight | random | 3 |" in text


def test_references_and_ablations_search_like_the_others():
    """Each of them asks once it knows more than its start, and its suggestions are measured."""
    where = optimizers.land("serving_death")
    known = [where.measure(i, where.space.sample(Random(i)), 1) for i in range(14)]
    for name in set(REFERENCES) - {NEEDS_TORCH}:
        suggestion = optimizers.make(name)(where.space, 3).ask(known, [])
        assert set(suggestion.parameters) <= set(where.space.names), name
        where.measure(len(known), suggestion.parameters, 1)


@pytest.mark.skipif(not has_torch(), reason="torch is neither installed nor in the tests' cache")
def test_the_reference_that_needs_torch_finds_it():
    where = optimizers.land("tight")
    known = [where.measure(i, where.space.sample(Random(i)), 1) for i in range(12)]
    suggestion = optimizers.make(NEEDS_TORCH)(where.space, 3).ask(known, [])
    assert set(suggestion.parameters) <= set(where.space.names)


def test_without_torch_the_table_says_what_it_leaves_out(monkeypatch, capsys):
    monkeypatch.setattr(optimizers, "has_torch", lambda: False)
    optimizers.main(["--lands", "tight", "--budgets", "3", "--seeds", "1", "--optimizers", "random", NEEDS_TORCH])
    text = capsys.readouterr().out
    assert "optuna-gp is left out: it needs torch" in text
    assert "| optuna-gp |" not in text


def test_each_ablation_changes_what_margin_bo_asks_for():
    """One that no longer takes anything away would say that its source of information is worth nothing."""
    where = optimizers.land("misleading")
    known = [where.measure(i, where.space.sample(Random(100 + i)), 1) for i in range(20)]
    swept = optimizers.land("tight_curve")
    known.append(replace(known[0], curve=swept.measure(1, {}, 1).curve))
    assert {"GPUFault", "NoKVCacheRoom"} <= {result.crash.class_.value for result in known if result.crash}
    for name in REFERENCES:
        if name.startswith("margin-bo"):
            part = optimizers.make(name)(where.space, 3)
            told = [part.told(result) for result in known]
            stripped = told != known or part.known(where.space) != where.space or getattr(part, "starts_cold", False)
            assert stripped or _asked_differently(part, known) or not part.believed(known), name


def _asked_differently(part, known):
    return part.ask(known, []) != MarginBO(part.space, part.seed).ask(known, [])


def test_what_breaks_an_argument_rule_is_a_start_that_fails():
    where = optimizers.land("tight")
    broken = {KnobName.MAX_NUM_SEQS: 256, KnobName.MAX_NUM_BATCHED_TOKENS: 128}
    assert where.space.broken(broken)
    result = where.measure(3, broken, 1)
    assert (result.outcome, result.gpu_seconds) == (Outcome.CRASHED, 30)
    assert where.truth_of(broken).worth == 0


def test_paired_differences_tell_a_gain_from_chance():
    gains = Paired(tuple(5 + 0.1 * i for i in range(20)))
    assert gains.chance < 0.001
    assert gains.effect > 2
    assert (gains.count(1), gains.count(-1)) == (20, 0)
    assert Paired((3.0, -3.0, 2.0, -2.0, 1.0, -1.0)).chance > 0.5
    assert Paired((0.0, 0.0)).effect == 0


def test_rows_from_processes_of_their_own_are_the_same_and_are_kept(tmp_path, capsys):
    kept = tmp_path / "rows.jsonl"
    asked = ["--lands", "tight", "--budgets", "3", "--brief"]
    optimizers.main([*asked, "--optimizers", "random", "--seeds", "2", "--jobs", "2", "--rows", str(kept)])
    first = capsys.readouterr().out
    optimizers.main([*asked, "--read", str(kept)])
    assert capsys.readouterr().out == first
    here = [row for seed in range(2) for row in optimizers.run(optimizers.land("tight"), "random", seed, (3,))]
    assert f"| random | {fmean(row.regret_percent for row in here):.1f}/" in first
