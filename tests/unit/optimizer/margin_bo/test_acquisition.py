"""What a configuration promises."""

import numpy as np
import pytest

from sloguard.optimizer.margin_bo.acquisition import CRASH_PRICE, priced


def worth(gain, alive):
    return float(priced(np.array([gain]), np.array([alive]))[0])


def test_a_sure_survivor_is_worth_its_gain():
    assert worth(0.001, 1.0) == pytest.approx(0.001)


def test_an_even_chance_is_taken_for_a_gain_that_outweighs_a_crash_and_for_no_less():
    assert worth(1.1 * CRASH_PRICE, 0.5) > 0 > worth(0.9 * CRASH_PRICE, 0.5)


def test_the_less_there_is_to_gain_the_surer_a_survivor_has_to_be():
    """Against something sure that promises half as much."""
    chances = np.linspace(0.0, 1.0, 1001)
    needed = [
        chances[np.argmax(priced(np.full(1001, gain), chances) > gain / 2)] for gain in (0.2, 0.02, 0.002, 0.0002)
    ]
    assert needed == sorted(needed)
    assert needed[0] < 0.6
    assert needed[-1] > 0.99


def test_a_greater_gain_and_a_likelier_life_are_always_worth_more():
    gains = np.linspace(1e-6, 1.0, 50)
    for alive in (0.1, 0.5, 0.9, 1.0):
        assert (np.diff(priced(gains, np.full(50, alive))) > 0).all()
    chances = np.linspace(0.0, 1.0, 50)
    assert (np.diff(priced(np.full(50, 0.02), chances)) > 0).all()
