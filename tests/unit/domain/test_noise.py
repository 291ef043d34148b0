"""What repeats say about a difference, and that nothing is taken for less noisy than it may be."""

import math

import pytest
from scipy import stats

from sloguard.domain.noise import Sample, chance_of, exceeds, prospect, ratio_interval


def test_it_is_welchs_test():
    ours, theirs = (110.0, 121.0, 115.0), (100.0, 90.0, 104.0)
    expected = stats.ttest_ind(ours, theirs, equal_var=False, alternative="greater").pvalue
    assert chance_of(Sample(ours), Sample(theirs), 1.0) == pytest.approx(expected)


def test_a_minimum_is_the_same_as_a_larger_baseline():
    ours, theirs = (120.0, 131.0), (100.0, 90.0, 104.0)
    larger = tuple(1.1 * figure for figure in theirs)
    assert chance_of(Sample(ours), Sample(theirs), 1.1) == pytest.approx(chance_of(Sample(ours), Sample(larger), 1.0))


def test_equal_repeats_are_still_taken_for_one_percent_apart():
    assert Sample((500.0, 500.0)).noise == 5
    assert Sample((500.0, 500.0), grain=30).noise == 30


def test_what_chose_it_counts_for_noise_and_not_for_the_mean():
    lucky = Sample((100.0, 102.0), earlier=(130.0,))
    assert lucky.mean == 101
    assert lucky.noise > Sample((100.0, 102.0)).noise


def test_one_run_each_says_nothing():
    assert chance_of(Sample((900.0,)), Sample((1.0,)), 1.0) == 1
    assert not exceeds(Sample((900.0,)), Sample((1.0,)), 1.0, 0.05)


def test_a_baseline_that_crashed_serves_nothing_for_certain():
    dead = Sample((), dead=True)
    assert exceeds(Sample((5.0, 5.1)), dead, 2.0, 0.05)
    assert not exceeds(Sample((0.0, 0.0)), dead, 1.0, 0.05)


def test_the_interval_holds_the_ratios_that_are_not_rejected():
    ours, theirs = Sample((140.0, 135.0, 143.0)), Sample((100.0, 102.0, 97.0))
    interval = ratio_interval(ours, theirs, 0.05)
    assert interval.low < 139.33 / 99.67 < interval.high
    assert chance_of(ours, theirs, interval.low) == pytest.approx(0.05, abs=1e-4)
    assert chance_of(ours, theirs, interval.high) == pytest.approx(0.95, abs=1e-4)


def test_against_nothing_there_is_no_upper_end():
    assert ratio_interval(Sample((140.0, 135.0)), Sample((0.0, 0.0), dead=True), 0.05).high == math.inf


def test_prospects_follow_the_difference():
    baseline = Sample((100.0, 105.0), earlier=(103.0,))
    prospects = [
        prospect(Sample((mean, mean + 4), (mean + 8,)), baseline, 1.0, 0.02, 4) for mean in (90.0, 105.0, 120.0, 160.0)
    ]
    assert prospects == sorted(prospects)
    assert prospects[0] < 0.01
    assert prospects[-1] > 0.9
