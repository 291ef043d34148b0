from random import Random

import numpy as np
import pytest

from sloguard.api.v1alpha1 import KnobName, SearchSpace
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.kde import Parzen, places, reflected

K = KnobName
SPACE = make_space(
    SearchSpace.model_validate(
        {
            "preset": "None",
            "parameters": [
                {"name": "max_num_seqs", "int": {"min": 4, "max": 512, "scale": "Log"}},
                {"name": "block_size", "choice": {"values": ["16", "32", "64"]}},
            ],
        }
    ),
    {},
    Context(),
)
POINTS = [{K.MAX_NUM_SEQS: seqs, K.BLOCK_SIZE: 32} for seqs in (30, 32, 36, 40)]


def density(parzen, *configurations):
    return np.exp(parzen.log_density(places(SPACE, configurations)))


def test_it_is_dense_where_the_points_lie_on_the_knobs_own_scale():
    near, far, other = density(
        Parzen(SPACE, POINTS),
        {K.MAX_NUM_SEQS: 34, K.BLOCK_SIZE: 32},
        {K.MAX_NUM_SEQS: 400, K.BLOCK_SIZE: 32},
        {K.MAX_NUM_SEQS: 34, K.BLOCK_SIZE: 16},
    )
    assert near > 5 * other > 5 * far


def test_it_is_even_in_ratios():
    lower, upper = density(
        Parzen(SPACE, [{K.MAX_NUM_SEQS: 32, K.BLOCK_SIZE: 32}] * 3),
        {K.MAX_NUM_SEQS: 16, K.BLOCK_SIZE: 32},
        {K.MAX_NUM_SEQS: 64, K.BLOCK_SIZE: 32},
    )
    assert lower == pytest.approx(upper, rel=1e-6)


def test_it_adds_up_to_one():
    grid = np.linspace(-1, 2, 3001)
    table = np.array([[place, value] for place in grid for value in range(3)])
    kernels = np.exp(Parzen(SPACE, POINTS).log_density(table)) - 1.0 / 5  # without the even part, which has no end
    assert kernels.mean() * 3 == pytest.approx(4 / 5, abs=0.01)


def test_an_unknown_value_is_like_no_point():
    known, unknown = density(Parzen(SPACE, POINTS), POINTS[0], {**POINTS[0], K.BLOCK_SIZE: 128})
    assert unknown < known


def test_draws_lie_near_the_points_but_not_only_there():
    rng, parzen = Random(1), Parzen(SPACE, POINTS)
    drawn = [parzen.draw(rng) for _ in range(300)]
    assert all(SPACE.contains(values) for values in drawn)
    assert sum(20 <= values[K.MAX_NUM_SEQS] <= 60 for values in drawn) > 240
    assert 150 < sum(values[K.BLOCK_SIZE] == 32 for values in drawn) < 290
    assert len({SPACE.key(values) for values in drawn}) > 20


@pytest.mark.parametrize(("place", "expected"), [(0.3, 0.3), (-0.2, 0.2), (1.1, 0.9), (2.4, 0.4), (-1.5, 0.5)])
def test_what_leaves_the_range_is_thrown_back(place, expected):
    assert reflected(place) == pytest.approx(expected)
