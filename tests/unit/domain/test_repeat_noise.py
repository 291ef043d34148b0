"""Noise from whatever was repeated, rate by rate; production apart from others."""

import pytest

from sloguard.api.v1alpha1 import Outcome, Purpose
from sloguard.domain.repeat_noise import noise_by_rate, relative_noise
from tests.unit.engine.builders import make_trial, rate


def run(number, low, high, **more):
    return make_trial(number, Outcome.FEASIBLE, [rate(low, percent=50), rate(high, percent=100)], **more)


PRODUCTION = (
    run(0, 100, 100),
    run(7, 101, 140, purpose=Purpose.PRODUCTION, parameters={"max_num_seqs": "2"}),
)
CANDIDATE = (run(3, 200, 300), run(6, 200, 300, purpose=Purpose.CONFIRM, parameters={"max_num_seqs": "13"}))


def test_nothing_is_known_before_something_was_repeated():
    assert noise_by_rate([PRODUCTION[0], run(1, 90, 90), CANDIDATE[0]]) == []
    assert relative_noise([PRODUCTION[0]], 100) is None


def test_each_rate_has_its_own():
    low, high = noise_by_rate([*PRODUCTION, *CANDIDATE])
    assert (low.rate_percent, high.rate_percent) == (50, 100)
    assert low.production_permille == 7, "100 and 101"
    assert high.production_permille == 236, "100 and 140"
    assert (high.permille, high.runs) == (167, 4), "with two that agree"


def test_others_parameters_are_no_repeat_of_production():
    """Production may have settings that are not tuned, so that equal parameters are not equal arguments."""
    twin = run(3, 300, 300, parameters={"max_num_seqs": "2"})
    assert noise_by_rate([PRODUCTION[0], twin]) == []


def test_crashes_and_runs_that_served_nothing_say_nothing():
    crashed = make_trial(6, Outcome.CRASHED, purpose=Purpose.CONFIRM, parameters={"max_num_seqs": "13"})
    nothing = [run(n, 0, 0, purpose=Purpose.DEFAULT, parameters={}) for n in (1, 5)]
    assert noise_by_rate([CANDIDATE[0], crashed, *nothing]) == []


def test_it_is_relative():
    assert relative_noise(PRODUCTION, 100) == pytest.approx(0.2357, abs=1e-4)
