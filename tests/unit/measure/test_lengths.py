from collections import Counter
from random import Random
from statistics import fmean, pstdev

import pytest

from sloguard.api.v1alpha1 import LengthBucket, LengthDistribution, TokenLengths
from sloguard.measure.lengths import drawing


def draws(count=20_000, **fields):
    draw, rng = drawing(TokenLengths(**fields)), Random(1)
    return [draw(rng) for _ in range(count)]


def test_normal_has_its_mean_and_stddev():
    drawn = draws(mean=1000, stddev=100)
    assert fmean(drawn) == pytest.approx(1000, rel=0.01)
    assert pstdev(drawn) == pytest.approx(100, rel=0.03)


@pytest.mark.parametrize("distribution", [LengthDistribution.NORMAL, LengthDistribution.LOG_NORMAL])
def test_no_stddev_means_a_fixed_length(distribution):
    assert set(draws(100, distribution=distribution, mean=37)) == {37}


def test_log_normal_has_its_mean_and_stddev_and_a_long_tail():
    drawn = sorted(draws(distribution=LengthDistribution.LOG_NORMAL, mean=1000, stddev=1000))
    assert fmean(drawn) == pytest.approx(1000, rel=0.03)
    assert pstdev(drawn) == pytest.approx(1000, rel=0.1)
    median = drawn[len(drawn) // 2]
    assert median == pytest.approx(1000 / 2**0.5, rel=0.03), "exp of the mean logarithm: mean / sqrt(1 + (sd/mean)^2)"


def test_uniform_takes_every_count_alike():
    counted = Counter(draws(distribution=LengthDistribution.UNIFORM, min=5, max=8))
    assert set(counted) == {5, 6, 7, 8}
    assert all(each == pytest.approx(5000, rel=0.05) for each in counted.values())


def test_buckets_come_by_their_weights_and_are_even_within():
    buckets = [LengthBucket(min=7, weight=3), LengthBucket(min=100, max=101, weight=1)]
    counted = Counter(draws(distribution=LengthDistribution.EMPIRICAL, buckets=buckets))
    assert set(counted) == {7, 100, 101}
    assert counted[7] == pytest.approx(15_000, rel=0.05)
    assert counted[100] == pytest.approx(2500, rel=0.1)


def test_every_distribution_is_clipped():
    buckets = [LengthBucket(min=1, max=1000)]
    for fields in ({"mean": 50, "stddev": 500}, {"distribution": LengthDistribution.EMPIRICAL, "buckets": buckets}):
        drawn = draws(1000, min=40, max=60, **fields)
        assert (min(drawn), max(drawn)) == (40, 60)


@pytest.mark.parametrize(
    ("fields", "longest"),
    [
        ({"mean": 8}, 8),
        ({"mean": 8, "stddev": 1, "max": 90}, 90),
        ({"distribution": "LogNormal", "mean": 8}, 8),
        ({"distribution": "Uniform", "min": 1, "max": 9}, 9),
        ({"distribution": "Empirical", "buckets": [{"min": 3}, {"min": 5, "max": 70}, {"min": 6}]}, 70),
        ({"distribution": "Empirical", "buckets": [{"min": 3, "max": 70}], "max": 60}, 60),
    ],
)
def test_the_longest_is_known(fields, longest):
    assert TokenLengths(**fields).longest == longest
