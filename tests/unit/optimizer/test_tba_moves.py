import math
from random import Random

import pytest

from sloguard.api.v1alpha1 import KnobName, SearchSpace
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.tba_moves import moves

K = KnobName
SPACE = make_space(
    SearchSpace.model_validate(
        {
            "preset": "None",
            "parameters": [
                {"name": "max_num_seqs", "int": {"min": 4, "max": 1024, "scale": "Log"}},
                {"name": "gpu_memory_utilization", "decimal": {"min": "0.60", "max": "0.98"}},
                {"name": "enforce_eager", "choice": {"values": ["true", "false"]}},
                {
                    "name": "enable_chunked_prefill",
                    "choice": {"values": ["true", "false"]},
                    "when": {"name": "enforce_eager", "equals": "false"},
                },
            ],
        }
    ),
    {},
    Context(),
)
HERE = {
    K.MAX_NUM_SEQS: 64,
    K.GPU_MEMORY_UTILIZATION: 0.8,
    K.ENFORCE_EAGER: False,
    K.ENABLE_CHUNKED_PREFILL: True,
}


def anything(_values):
    return True


def moved(temperature, wanted=200, fresh=anything, here=HERE):
    return list(moves(SPACE, here, temperature, wanted, fresh, Random(1)))


@pytest.mark.parametrize("temperature", [0.001, 0.3, 1.0])
def test_every_move_is_valid_and_another_configuration(temperature):
    made = moved(temperature)
    keys = [SPACE.key(values) for values in made]
    assert len(made) > 30
    assert SPACE.key(HERE) not in keys
    assert len(set(keys)) == len(keys)
    assert all(SPACE.contains(values) for values in made)


def test_steps_are_even_in_ratios_where_the_knob_is_logarithmic():
    ratios = [math.log2(values[K.MAX_NUM_SEQS] / 64) for values in moved(0.5) if values[K.MAX_NUM_SEQS] != 64]
    down, up = sum(ratio < 0 for ratio in ratios), sum(ratio > 0 for ratio in ratios)
    assert 0.6 < down / up < 1.7
    assert sum(abs(ratio) < 1 for ratio in ratios if ratio < 0) / down == pytest.approx(
        sum(ratio < 1 for ratio in ratios if ratio > 0) / up, abs=0.25
    )


def test_hot_moves_are_longer_and_more_often_structural():
    def structural(made):
        return sum(values[K.ENFORCE_EAGER] or not values.get(K.ENABLE_CHUNKED_PREFILL) for values in made)

    def length(made):
        return sum(abs(values[K.GPU_MEMORY_UTILIZATION] - 0.8) for values in made) / len(made)

    hot, cold = moved(1.0, 60), moved(0.0, 60)
    assert length(hot) > 2 * length(cold)
    assert structural(moved(0.0, 60)) < len(cold)
    assert structural(hot) > 0


def test_a_knob_that_becomes_active_gets_a_value():
    eager = {K.MAX_NUM_SEQS: 64, K.GPU_MEMORY_UTILIZATION: 0.8, K.ENFORCE_EAGER: True}
    woken = [values for values in moved(1.0, here=eager) if not values[K.ENFORCE_EAGER]]
    assert woken
    assert all(K.ENABLE_CHUNKED_PREFILL in values for values in woken)


def test_only_what_is_wanted_is_offered():
    made = moved(0.5, fresh=lambda values: values[K.MAX_NUM_SEQS] <= 64)
    assert made
    assert all(values[K.MAX_NUM_SEQS] <= 64 for values in made)
    assert len(moved(0.5, wanted=7)) == 7


def test_a_start_outside_the_space_is_brought_inside():
    assert all(SPACE.contains(values) for values in moved(0.5, here={K.MAX_NUM_SEQS: 9999, K.BLOCK_SIZE: 16}))
