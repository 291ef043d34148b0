import pytest

from sloguard.api.v1alpha1 import KnobName, SearchSpace
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.rows import rows

K = KnobName
SPACE = make_space(
    SearchSpace.model_validate(
        {
            "preset": "None",
            "parameters": [
                {"name": "max_num_seqs", "int": {"min": 4, "max": 64, "scale": "Log"}},
                {"name": "enforce_eager", "choice": {"values": ["true", "false"]}},
                {"name": "block_size", "choice": {"values": ["16", "32", "64"]}},
            ],
        }
    ),
    {},
    Context(),
)


def test_numbers_by_their_place_switches_in_one_column_and_choices_in_one_each():
    table = rows(SPACE, [{K.MAX_NUM_SEQS: 16, K.ENFORCE_EAGER: False, K.BLOCK_SIZE: 32}])
    assert table[0].tolist() == pytest.approx([0.5, 1.0, 0.0, 1.0, 0.0])


def test_what_is_left_unsaid_has_its_default_and_what_is_unknown_lies_in_the_middle():
    table = rows(SPACE, [{}, {K.MAX_NUM_SEQS: 10_000, K.BLOCK_SIZE: 128}])
    assert table.tolist() == [[0.5, 1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0, 0.0]]


def test_no_configurations_are_no_rows():
    assert rows(SPACE, []).size == 0
