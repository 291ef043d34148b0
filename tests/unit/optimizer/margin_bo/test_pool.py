"""The candidates of one ask are configurations of the space."""

import numpy as np

from sloguard.api.v1alpha1 import KnobName, SearchSpace
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.margin_bo.encoding import Encoding
from sloguard.optimizer.margin_bo.pool import Pool

K = KnobName
PARAMETERS = [
    {"name": "max_num_seqs", "int": {"min": 4, "max": 256, "scale": "Log"}},
    {"name": "gpu_memory_utilization", "decimal": {"min": "0.6", "max": "0.98"}},
    {"name": "enforce_eager", "choice": {"values": ["false", "true"]}},
    {
        "name": "performance_mode",
        "choice": {"values": ["balanced", "interactivity"]},
        "when": {"name": "enforce_eager", "equals": "false"},
    },
]


def pool_of(parameters=PARAMETERS):
    space = make_space(SearchSpace.model_validate({"preset": "None", "parameters": parameters}), {}, Context())
    encoding = Encoding(space, space.context)
    return space, encoding, Pool(encoding, np.random.default_rng(1))


def test_everywhere_and_around_hold_valid_configurations_only():
    space, encoding, pool = pool_of()
    rows = np.vstack([pool.everywhere(200), pool.around(pool.rows([{K.MAX_NUM_SEQS: 64}]), 200)])
    for row in rows:
        assert space.contains(encoding.values(row))


def test_an_inactive_knob_is_left_out_and_takes_the_value_in_effect():
    _, encoding, pool = pool_of()
    rows = pool.rows([{K.ENFORCE_EAGER: True, K.PERFORMANCE_MODE: "interactivity"}])
    assert K.PERFORMANCE_MODE not in encoding.values(rows[0])
    assert encoding.rows(rows).codes[K.PERFORMANCE_MODE][0] == 0


def test_rows_and_configurations_are_encoded_alike():
    _, encoding, pool = pool_of()
    rows = pool.everywhere(50)
    one, other = encoding.rows(rows), encoding.configurations([encoding.values(row) for row in rows])
    assert np.allclose(one.unit, other.unit)
    for name in one.numbers:
        assert np.array_equal(one.numbers[name], other.numbers[name], equal_nan=True)


def test_changes_are_near_and_touch_few_knobs():
    _, encoding, pool = pool_of()
    centre = pool.rows([{K.MAX_NUM_SEQS: 32, K.GPU_MEMORY_UTILIZATION: 0.8, K.ENFORCE_EAGER: False}])
    around = pool.around(centre, 300)
    touched = (around != centre).sum(axis=1)
    assert touched.max() <= 4  # three, and a knob that became inactive with its parent
    apart = np.abs(encoding.rows(around).unit[:, 0] - encoding.rows(centre).unit[:, 0])
    assert np.median(apart[apart > 0]) < 0.2


def test_a_small_space_is_looked_at_whole():
    space, encoding, pool = pool_of([{"name": "max_num_seqs", "int": {"min": 1, "max": 9}}, PARAMETERS[2]])
    assert {space.key(encoding.values(row)) for row in pool.everywhere(5)} == {space.key(v) for v in space.listed}
