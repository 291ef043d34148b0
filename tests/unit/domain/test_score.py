"""Figures of a trial at a rate, the rate of comparison, and what the search hears of a trial."""

import pytest

from sloguard.api.v1alpha1 import (
    SLO,
    Crash,
    CrashClass,
    Fault,
    Interval,
    Metric,
    Objective,
    Outcome,
    SLOResult,
    Violations,
)
from sloguard.domain.result import VIOLATION_CAP
from sloguard.domain.score import (
    at_rate,
    comparison_rate_percent,
    figure_of,
    goodput_tokens_per_second,
    grain_of,
    highest_figure_of,
    result_of,
    slos_met,
    violation_ratio,
    worst_violation_ratio,
)
from tests.unit.engine.builders import feasible, make_trial, rate

TTFT = SLO(metric=Metric.TTFT, percentile=99, milliseconds=500)
E2E = SLO(metric=Metric.E2E, percentile=99, milliseconds=9000)


def swept(*rates, number=0, outcome=Outcome.FEASIBLE):
    return make_trial(number, outcome, rates)


def test_a_rate_that_was_measured_is_taken_as_it_is_and_in_any_order():
    trial = swept(rate(90, percent=150), rate(50, percent=50), rate(80, percent=100))
    assert goodput_tokens_per_second(trial, 100) == 80
    assert slos_met(trial, 100)


def test_a_sweep_that_ended_early_counts_with_its_last_rate_but_met_nothing_beyond():
    trial = swept(rate(50, percent=50))
    assert at_rate(trial, 150).rate_percent == 50
    assert goodput_tokens_per_second(trial, 150) == 50
    assert not slos_met(trial, 150)


def test_a_sweep_broken_off_above_the_rate_serves_nothing_at_it():
    assert goodput_tokens_per_second(swept(rate(50, percent=150)), 100) == 0


@pytest.mark.parametrize("outcome", [Outcome.CRASHED, Outcome.INFRASTRUCTURE, Outcome.CANCELLED, None])
def test_what_was_not_measured_has_no_figure(outcome):
    assert goodput_tokens_per_second(make_trial(2, outcome, [100]), 100) is None


@pytest.mark.parametrize(
    ("rates", "percent"),
    [
        ([rate(90, met=False)], 100),
        ([rate(90, met=False), rate(90, met=False, percent=150)], 100),
        ([rate(90), rate(90, met=False, percent=150), rate(90, met=False, percent=200)], 150),
        ([rate(90), rate(90, percent=150), rate(90, percent=200)], 200),
        ([rate(90), rate(50, percent=50)], 100),
    ],
)
def test_candidates_are_compared_where_production_first_breaks_an_slo(rates, percent):
    assert comparison_rate_percent([swept(*rates)]) == percent


def test_without_productions_figures_it_is_what_is_offered():
    assert comparison_rate_percent([]) == 100
    assert comparison_rate_percent([feasible(1, 9)]) == 100
    crashed = swept(rate(90), rate(90, met=False, percent=150), outcome=Outcome.CRASHED)
    assert comparison_rate_percent([crashed]) == 100


def test_the_search_hears_of_the_rate_of_comparison():
    trial = swept(rate(90), rate(70, met=False, percent=150), number=2)
    heard = result_of(trial, [TTFT], Objective.GOODPUT, 150)
    assert (heard.outcome, heard.objective, heard.violation_ratios) == (Outcome.INFEASIBLE, 70, (1.8,))
    assert result_of(trial, [TTFT], Objective.GOODPUT, 100).outcome is Outcome.FEASIBLE
    none = result_of(trial, [E2E], Objective.GOODPUT, 100)
    assert none.violation_ratios == (VIOLATION_CAP,), "an SLO without a figure"


def test_the_search_hears_of_noise_from_repeats():
    trial = swept(rate(90), number=2)
    assert result_of(trial, [TTFT], Objective.GOODPUT, 100).objective_stddev is None
    assert result_of(trial, [TTFT], Objective.GOODPUT, 100, noise=0.1).objective_stddev == 9


def test_until_something_is_repeated_the_search_hears_of_the_spread_within_a_run():
    spread = rate(90).model_copy(update={"good_tokens_interval": Interval(low=900 - 196, high=900 + 196)})
    heard = result_of(swept(spread, number=2), [TTFT], Objective.GOODPUT, 100)
    assert heard.objective_stddev == pytest.approx(10, rel=0.01)
    assert heard.curve[0].goodput_stddev == heard.objective_stddev


def test_a_growing_queue_is_no_noise():
    """Past saturation the spread within a run may be twice the figure, and repeats come out within 4 % of it."""
    queue = rate(90, met=False).model_copy(update={"good_tokens_interval": Interval(low=0, high=2700)})
    trial = swept(queue, number=2)
    heard = result_of(trial, [TTFT], Objective.GOODPUT, 100)
    assert heard.objective_stddev == pytest.approx(0.28 * 90)
    assert heard.curve[0].goodput_stddev == pytest.approx(0.28 * 90)
    assert result_of(trial, [TTFT], Objective.GOODPUT, 100, noise=0.04).objective_stddev == pytest.approx(0.04 * 90)
    assert result_of(trial, [TTFT], Objective.GOODPUT, 100, noise=0.0).objective_stddev > 0, "two may agree by luck"


def test_the_worst_slo_is_the_one_that_did_worst_where_the_figure_was_taken():
    trial = swept(rate(90), rate(70, met=False, percent=150), number=2)
    assert worst_violation_ratio(trial, Objective.GOODPUT, 100) == 0.2
    assert worst_violation_ratio(trial, Objective.GOODPUT, 150) == 1.8
    assert worst_violation_ratio(trial, Objective.CAPACITY, 150) == 0.2, "taken where the sweep begins"
    assert worst_violation_ratio(trial, Objective.GOODPUT, 200) == VIOLATION_CAP, "it did not come so far"


def test_a_figure_moves_by_one_request_at_least():
    trial = make_trial(2, Outcome.FEASIBLE, [rate(90)], gpus=2)
    assert grain_of(trial, Objective.GOODPUT, 100) == 0.001, "a token of a hundred requests in ten seconds"
    assert grain_of(trial, Objective.GOODPUT_PER_GPU, 100) == 0.0005
    assert grain_of(make_trial(2, Outcome.CRASHED), Objective.GOODPUT, 100) == 0


def test_goodput_per_gpu_divides_by_what_the_server_held():
    trial = make_trial(2, Outcome.FEASIBLE, [rate(90)], gpus=2)
    assert figure_of(trial, Objective.GOODPUT_PER_GPU, 100) == 45
    assert figure_of(swept(rate(90)), Objective.GOODPUT_PER_GPU, 100) == 90, "an old record does not know of GPUs"


def test_a_figure_of_a_rate_that_was_ended_early_has_an_upper_bound():
    lost = rate(9, met=False).model_copy(update={"good_tokens_at_most": 200})
    trial = make_trial(2, Outcome.INFEASIBLE, [lost], gpus=2)
    assert figure_of(trial, Objective.GOODPUT_PER_GPU, 100) == 4.5
    assert highest_figure_of(trial, Objective.GOODPUT_PER_GPU, 100) == 10
    assert highest_figure_of(trial, Objective.GOODPUT, 100) == 20
    assert highest_figure_of(swept(rate(9)), Objective.GOODPUT, 100) is None


def test_capacity_is_judged_where_the_sweep_begins():
    trial = swept(rate(50, percent=50), rate(70, met=False, percent=150), number=2, outcome=Outcome.INFEASIBLE)
    heard = result_of(trial, [TTFT], Objective.CAPACITY, 100)
    assert (heard.outcome, heard.violation_ratios) == (Outcome.FEASIBLE, (0.2,)), "50 % held, so there is a capacity"
    assert 300 < heard.objective < 900
    nothing = swept(rate(50, met=False, percent=50), number=2, outcome=Outcome.INFEASIBLE)
    heard = result_of(nothing, [TTFT], Objective.CAPACITY, 100)
    assert (heard.outcome, heard.objective) == (Outcome.INFEASIBLE, 0)


def test_the_search_hears_of_the_whole_curve_lowest_rate_first():
    lost = rate(70, met=False, percent=150).model_copy(
        update={"good_tokens_interval": Interval(low=504, high=800), "violations": Violations(spared=3)}
    )
    trial = make_trial(2, Outcome.INFEASIBLE, [lost, rate(50, percent=50), rate(90)], gpus=2)
    heard = result_of(trial, [TTFT, E2E], Objective.GOODPUT_PER_GPU, 100)
    assert heard.rate_percent == 100
    assert [(point.percent, point.goodput, point.held) for point in heard.curve] == [
        (50, 25, True),
        (100, heard.objective, True),
        (150, 35, False),
    ]
    assert [point.goodput_stddev for point in heard.curve] == [None, None, pytest.approx(5)], (
        "19.6 at 95 %, of two GPUs"
    )
    assert [point.censored for point in heard.curve] == [False, False, True]
    assert heard.curve[2].violation_ratios == (1.8, VIOLATION_CAP)
    assert result_of(trial, [TTFT], Objective.CAPACITY, 100).rate_percent is None


def test_the_search_hears_of_a_crash_without_figures():
    crash = Crash(class_=CrashClass.DIED_UNDER_LOAD, fault=Fault.CONFIGURATION)
    heard = result_of(make_trial(2, Outcome.CRASHED, [100], crash=crash), [TTFT], Objective.GOODPUT, 100)
    assert (heard.objective, heard.violation_ratios, heard.curve, heard.crash) == (None, (), (), crash)


@pytest.mark.parametrize(("microseconds", "ratio"), [(250_000, 0.5), (None, VIOLATION_CAP), (10**9, VIOLATION_CAP)])
def test_ratios_are_capped(microseconds, ratio):
    slo = SLOResult(
        metric=Metric.TTFT, percentile=99, limit_milliseconds=500, measured_microseconds=microseconds, met=False
    )
    assert violation_ratio(slo) == ratio
