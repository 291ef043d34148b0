"""What higher rates of a trial's sweep tell of the rate that counts."""

import math
from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.result import RatePoint
from sloguard.optimizer.margin_bo.curves import looks_above
from sloguard.optimizer.margin_bo.outlook import live_of
from sloguard.optimizer.margin_bo.surrogate import MOST_POINTS
from tests.unit.optimizer.margin_bo.test_outlook import ENCODING, expected, outlook, served


def at(percent, goodput=900.0, ratio=0.5, **more):
    return RatePoint(percent, goodput, (ratio,), held=ratio <= 1, **more)


def swept(result, *curve, percent=100):
    return replace(result, curve=curve, rate_percent=percent)


def chance(results, seqs):
    model = outlook(results)
    return float(model.slos_met(model.view(ENCODING.configurations([{KnobName.MAX_NUM_SEQS: seqs}])))[0])


def test_the_nearest_higher_rates_are_looked_at_and_no_others():
    near, far = at(150), at(200)
    trials = [swept(served(0, 10, 900.0), at(50), at(100), near, far), swept(served(1, 90, 800.0), at(150))]
    looks = looks_above([0, 1], trials, 2)
    assert [(look.trial, look.doublings) for look in looks] == [(0, math.log2(1.5)), (1, math.log2(1.5))]
    assert looks_above([0, 1], trials, 9)[-1].doublings == 1
    assert looks_above([1], trials, 9)[0].goodput == 900


def test_what_was_ended_early_or_is_no_rate_is_not_looked_at():
    assert looks_above([0], [swept(served(0, 10, 900.0), at(150, censored=True), at(200, float("nan")))], 9) == []
    assert looks_above([0], [swept(served(0, 10, 900.0), at(150), percent=None)], 9) == [], "Capacity"


def test_looks_carry_their_own_noise():
    looks = looks_above([0], [swept(served(0, 10, 900.0), at(150, 400.0, goodput_stddev=100.0), at(200, 0.0))], 9)
    assert [look.relative_noise for look in looks] == [0.25, 0.0]


def test_who_holds_at_a_higher_rate_is_surer_to_hold_at_the_one_that_counts():
    plain = [served(i, 50 * i + 20, 1000.0, ratio=0.95) for i in range(5)]
    held = [swept(result, at(150, 1400.0, ratio=0.97)) for result in plain]
    broken = [swept(result, at(150, 500.0, ratio=1.0 + i)) for i, result in enumerate(plain)]
    assert chance(broken, 200) < chance(held, 200)


def test_trials_without_curves_are_seen_as_if_there_were_no_rates():
    plain = [served(i, 50 * i + 20, 1000.0) for i in range(4)]
    below = [swept(result, at(50), at(100)) for result in plain]
    configurations = ENCODING.configurations([{KnobName.MAX_NUM_SEQS: 77}])
    views = [outlook(results).view(configurations).seen.shape for results in (plain, below)]
    assert views[0] == views[1]
    assert expected(plain, 77) == expected(below, 77)


def test_the_surrogates_rows_stay_bounded():
    trials = [swept(served(i, i + 1, 900.0), at(150), at(200)) for i in range(MOST_POINTS - 3)]
    points = ENCODING.configurations([result.parameters for result in trials])
    live = live_of(trials, points, 0)
    assert len(live) == MOST_POINTS
    assert live.feasible.sum() == MOST_POINTS - 3
    assert sorted(live.doublings.tolist())[-3:] == pytest.approx([math.log2(1.5)] * 3)
