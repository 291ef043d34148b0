"""What the surrogates are told of each trial."""

import numpy as np
import pytest

from sloguard.api.v1alpha1 import KnobName, Outcome, SearchSpace
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.margin_bo.encoding import Encoding
from sloguard.optimizer.margin_bo.memory import learn
from sloguard.optimizer.margin_bo.outlook import foresee, live_of

SEARCH_SPACE = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 1, "max": 256}}]}
SPACE = make_space(SearchSpace.model_validate(SEARCH_SPACE), {}, Context(vram_bytes=24 * 2**30))
ENCODING = Encoding(SPACE, SPACE.context)


def outlook(results):
    points = ENCODING.configurations([result.parameters for result in results])
    return foresee(live_of(results, points, 0), learn(ENCODING, results, points))


def expected(results, seqs):
    model = outlook(results)
    return float(model.log_objective(model.view(ENCODING.configurations([{KnobName.MAX_NUM_SEQS: seqs}])))[0][0])


def served(number, seqs, objective, ratio=0.5, stddev=None):
    outcome = Outcome.FEASIBLE if ratio <= 1 else Outcome.INFEASIBLE
    config = {KnobName.MAX_NUM_SEQS: seqs}
    return Result(number, config, outcome, objective, (ratio,), objective_stddev=stddev)


def test_a_figure_that_is_known_to_be_noisy_counts_less():
    quiet = [served(i, 40 * i + 10, 1000.0) for i in range(5)]
    lucky = served(5, 240, 1500.0)
    doubted = served(5, 240, 1500.0, stddev=600.0)
    assert expected([*quiet, doubted], 230) < expected([*quiet, lucky], 230)


def test_what_was_served_beyond_the_slos_is_no_bound_of_what_would_be_served_within():
    within = [served(i, 40 * i + 10, 1000.0 + 50 * i) for i in range(5)]
    # How many requests are still good beyond a limit varies, and is not the server's speed.
    beyond = [served(5 + i, 230 + 5 * i, 500.0 * (1 + i), ratio=1.5) for i in range(2)]
    assert expected([*within, *beyond], 190) > np.log(1150)


def test_an_slo_that_holds_by_luck_every_other_time_is_not_met():
    rng = np.random.default_rng(3)
    noisy = [served(i, 6 * i + 5, 1000.0, ratio=float(np.exp(rng.normal(0, 0.15)))) for i in range(40)]
    model = outlook(noisy)
    points = ENCODING.configurations([{KnobName.MAX_NUM_SEQS: seqs} for seqs in (40, 120, 200)])
    assert model.slos_met(model.view(points)).max() < 0.35


def test_the_noise_of_a_hopeless_figure_is_bounded():
    live = live_of([served(0, 10, 1e-9, stddev=5.0)], ENCODING.configurations([{KnobName.MAX_NUM_SEQS: 10}]), 0)
    assert live.noise.tolist() == pytest.approx([1.0])


def test_more_requests_at_once_are_expected_to_serve_more_until_figures_say_otherwise():
    few = [served(0, 8, 500.0), served(1, 16, 660.0)]
    assert np.exp(expected(few, 48)) > 1.1 * 660
    flat = [served(i, 8 * i + 8, 500.0) for i in range(12)]
    assert np.exp(expected(flat, 52)) == pytest.approx(500, rel=0.05)
