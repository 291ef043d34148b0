from decimal import Decimal
from itertools import pairwise

import pytest

from sloguard.api.v1alpha1 import KnobName, Scale
from sloguard.optimizer.domains import choice, decimals, integers

K = KnobName
SEQS, UTILIZATION = K.MAX_NUM_SEQS, K.GPU_MEMORY_UTILIZATION


def test_a_logarithmic_range_is_searched_at_round_numbers_a_few_percent_apart():
    values = integers(SEQS, 4, 512, Scale.LOG).values
    assert (values[0], values[-1]) == (4, 512)
    assert 64 in values
    assert 128 in values
    wide = [(a, b) for a, b in pairwise(values) if a >= 32]
    assert all(1.03 <= b / a <= 1.07 for a, b in wide)


def test_the_ends_are_kept_even_when_they_are_not_round():
    values = integers(SEQS, 1001, 9999, Scale.LOG).values
    assert (values[0], values[-1]) == (1001, 9999)
    assert list(values) == sorted(set(values))


@pytest.mark.parametrize("scale", Scale)
def test_a_narrow_range_has_every_whole_number(scale):
    assert integers(SEQS, 100, 110, scale).values == tuple(range(100, 111))
    assert integers(SEQS, 7, 7, scale).values == (7,)


def test_a_huge_linear_range_is_thinned_out():
    values = integers(SEQS, 1, 10_000_000, Scale.LINEAR).values
    assert len(values) == 1024
    assert (values[0], values[-1]) == (1, 10_000_000)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ("0.8", "0.83", (0.8, 0.81, 0.82, 0.83)),
        ("0.955", "0.957", (0.955, 0.956, 0.957)),
        ("0.9", "0.9", (0.9,)),
        ("0.5", "1", tuple(n / 100 for n in range(50, 101))),
    ],
)
def test_decimals_step_in_hundredths_or_as_fine_as_their_ends(low, high, expected):
    assert decimals(UTILIZATION, Decimal(low), Decimal(high)).values == expected


@pytest.mark.parametrize(
    "domain",
    [
        integers(SEQS, 4, 512, Scale.LOG),
        integers(SEQS, 1, 5000, Scale.LINEAR),
        decimals(UTILIZATION, Decimal("0.6"), Decimal("0.98")),
        choice(K.ENFORCE_EAGER, (False, True)),
        choice(K.KV_CACHE_DTYPE, ("auto", "fp8", "fp8_e5m2")),
        choice(SEQS, (128, 8)),
    ],
    ids=str,
)
def test_place_and_value_are_inverse_and_neighbours_are_near(domain):
    for value in domain.values:
        place = domain.place(value)
        assert 0 <= place <= 1
        assert domain.at(place) == value
        assert domain.contains(value)
        assert value not in list(domain.neighbours(value))
        assert all(domain.contains(other) for other in domain.neighbours(value))
    assert domain.at(0.0) == domain.values[0]
    assert domain.at(1.0) == domain.values[-1]


def test_values_beyond_the_ends_lie_at_the_ends_but_are_not_contained():
    domain = integers(SEQS, 4, 512, Scale.LOG)
    assert (domain.place(1), domain.place(9999)) == (0.0, 1.0)
    assert not domain.contains(1)
    assert not domain.contains(9999)


def test_between_the_grids_values_is_contained_and_snaps():
    domain = integers(SEQS, 4, 512, Scale.LOG)
    assert domain.contains(401)
    assert domain.snapped(401) == 400
    assert domain.snapped(600) is None


def test_types_are_told_apart():
    assert not integers(SEQS, 0, 4, Scale.LINEAR).contains(True)
    assert not integers(SEQS, 1, 4, Scale.LINEAR).contains(1.5)
    assert not integers(SEQS, 1, 4, Scale.LINEAR).contains("auto")
    assert decimals(UTILIZATION, Decimal("0.6"), Decimal(1)).contains(1)
    assert choice(K.KV_CACHE_DTYPE, ("auto",)).place("fp8") is None
