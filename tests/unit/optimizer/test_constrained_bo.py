import math
from dataclasses import replace

import numpy as np
import pytest

from sloguard.api.v1alpha1 import KnobName, OptimizerName, Outcome
from sloguard.domain.result import VIOLATION_CAP, Result
from sloguard.optimizer import make_optimizer
from sloguard.optimizer.constrained_bo import MOST_MODELLED, START, _kept
from sloguard.optimizer.constrained_bo_observations import DIED, JUST_BROKEN, LIVED, observed
from sloguard.optimizer.constrained_bo_surrogate import fitted
from sloguard.optimizer.scores import scores
from tests.unit.optimizer.made_up_server import SPACE, best, crashes, search, served

K = KnobName


def ask(history, pending=(), seed=1):
    return make_optimizer(OptimizerName.CONSTRAINED_BO, SPACE, seed).ask(history, list(pending))


def values(seqs):
    return {K.MAX_NUM_SEQS: seqs}


def test_it_crashes_less_and_finds_more_than_random():
    modelled = [search(OptimizerName.CONSTRAINED_BO, seed, 24) for seed in range(3)]
    random = [search(OptimizerName.RANDOM, seed, 24) for seed in range(3)]
    assert sum(map(crashes, modelled)) < 0.7 * sum(map(crashes, random))
    assert sum(map(best, modelled)) > sum(map(best, random))


def test_crashes_are_learned_from():
    spread = search(OptimizerName.RANDOM, 4, 24)
    lived = [result for result in spread if result.outcome is not Outcome.CRASHED]
    fresh = [result.parameters for result in search(OptimizerName.RANDOM, 5, 60)]
    truth = [served(0, configuration).outcome is not Outcome.CRASHED for configuration in fresh]

    def chances(history):
        optimizer = make_optimizer(OptimizerName.CONSTRAINED_BO, SPACE, 1)
        lives = optimizer._forecast(fresh, observed(SPACE, history, []), scores(SPACE, history)).lives
        return [float(np.mean(lives[np.array(truth) == survives])) for survives in (True, False)]

    warned, unwarned = chances(spread), chances(lived)
    assert warned[0] - warned[1] > 0.25
    assert abs(unwarned[0] - unwarned[1]) < 0.15


def test_it_says_what_it_expects():
    history = search(OptimizerName.RANDOM, 1, 16)
    suggestion = ask(history)
    assert suggestion.reason.startswith("Constrained BO: expected improvement of the objective ")
    assert "by Gaussian processes of 16 configurations; against the best so far: " in suggestion.reason
    assert set(suggestion.predicted) == {
        "crash_probability",
        "feasible_probability",
        "objective",
        "expected_improvement",
    }


def test_it_says_that_it_is_still_covering_the_space():
    assert f"configuration 1 of {START}" in ask([]).reason


def test_all_crashed_is_said_and_not_hidden_behind_a_random_choice():
    spread = [Result(r.number, r.parameters, Outcome.CRASHED) for r in search(OptimizerName.RANDOM, 1, 10)]
    suggestion = ask(spread)
    assert "none of 10 met the SLOs, so the most likely to meet them" in suggestion.reason
    assert "objective" not in suggestion.predicted
    assert suggestion.predicted["crash_probability"] > 0.2


def test_a_trial_under_way_is_no_place_to_go_again():
    history = search(OptimizerName.RANDOM, 2, 14)
    first = ask(history).parameters
    assert SPACE.distance(first, ask(history, [first]).parameters) > 0.01


def test_every_trial_says_something():
    told = observed(
        SPACE,
        [
            Result(0, values(8), Outcome.FEASIBLE, 100.0, (0.5, 0.001)),
            Result(1, values(8), Outcome.FEASIBLE, 120.0, (0.5, 0.001)),
            Result(2, values(16), Outcome.INFEASIBLE, 90.0, (math.e, math.nan)),
            Result(3, values(32), Outcome.CRASHED),
            Result(4, values(64), Outcome.FEASIBLE, math.nan, ()),
        ],
        [(values(20), 50.0)],
    )
    assert sorted(told.objective.y.tolist()) == [50.0, 90.0, 110.0]
    assert sorted(told.death.y.tolist()) == [LIVED, LIVED, LIVED, DIED]
    assert sorted(told.slos[0].y.tolist()) == pytest.approx([math.log(0.5), 1.0])
    assert sorted(told.slos[1].y.tolist()) == pytest.approx([math.log(0.02), math.log(VIOLATION_CAP)])


def test_a_measurement_that_ended_early_is_no_objective_but_breaks_an_slo_for_certain():
    early = Result(0, values(8), Outcome.INFEASIBLE, 3.0, (0.4, 0.9), censored=True)
    told = observed(SPACE, [early, replace(early, number=1, parameters=values(9), violation_ratios=(0.4, 2.0))], [])
    assert told.objective.y.size == 0
    assert sorted(told.slos[1].y.tolist()) == pytest.approx([math.log(JUST_BROKEN), math.log(2.0)])


def test_a_process_goes_through_what_was_measured_and_doubts_what_is_far():
    x = np.linspace(0, 1, 9)[:, None]
    y = 100 + 10 * np.sin(5 * x[:, 0])
    process = fitted(x, y, np.array([0.5]))
    mean, deviation = process.predict(np.array([[0.5], [3.0]]))
    assert mean[0] == pytest.approx(100 + 10 * math.sin(2.5), abs=1.0)
    assert deviation[0] < 0.3 * deviation[1]


def test_a_process_of_equal_figures_is_flat():
    mean, deviation = fitted(np.array([[0.1], [0.9]]), np.array([5.0, 5.0]), np.array([0.5])).predict(np.array([[0.4]]))
    assert mean[0] == pytest.approx(5.0)
    assert 0 < deviation[0] < 2


def test_of_many_trials_the_best_half_and_an_even_sample_are_modelled():
    history = [
        Result(i, values(4 + i), Outcome.CRASHED if i % 3 == 0 else Outcome.FEASIBLE, float(i), (0.5,))
        for i in range(3, 200)
    ]
    kept = _kept(scores(SPACE, history), history, SPACE)
    assert len(kept) == MOST_MODELLED
    figures = sorted(result.objective for result in history if result.outcome is Outcome.FEASIBLE)
    assert set(figures[-MOST_MODELLED // 2 :]) <= {result.objective for result in kept}
    assert any(result.outcome is Outcome.CRASHED for result in kept)
    assert len(_kept(scores(SPACE, history[:50]), history[:50], SPACE)) == 50
