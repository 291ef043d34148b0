"""What a configuration promises."""

import numpy as np
import pytest

from sloguard.optimizer.margin_bo.acquisition import MINIMUM_GAIN, unafraid


def test_a_crash_counts_as_the_loss_of_a_gain_that_hardly_matters():
    likely, risky, doomed = np.array([1.0]), np.array([0.5]), np.array([0.01])
    assert unafraid(np.array([0.001]), likely)[0] == pytest.approx(0.001)
    # A tenth is worth an even chance of a crash, a tenth of a percent is not.
    assert unafraid(np.array([0.1]), risky)[0] > 0.9 * 0.1
    assert unafraid(np.array([0.1 * MINIMUM_GAIN]), risky)[0] < 0.1 * 0.1 * MINIMUM_GAIN
    assert unafraid(np.array([0.1]), doomed)[0] < 0.1 * 0.1


def test_a_greater_gain_and_a_likelier_life_are_always_worth_more():
    gains = np.linspace(1e-6, 1.0, 50)
    for alive in (0.0, 0.1, 0.5, 0.9, 1.0):
        assert (np.diff(unafraid(gains, np.full(50, alive))) > 0).all()
    chances = np.linspace(0.0, 1.0, 50)
    assert (np.diff(unafraid(np.full(50, 0.02), chances)) > 0).all()
