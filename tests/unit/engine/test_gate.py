"""Who wins: by repeats, against both baselines, and never with an SLO broken that a baseline holds."""

from sloguard.api.v1alpha1 import Outcome, Purpose
from sloguard.engine.gate import judge
from tests.unit.engine.builders import baselines, feasible, make_study, make_trial, rate


def verdict(*trials, percent=100, **promotion):
    spec = make_study(promotion={"confirmations": 1, "minimumImprovementPercent": 10} | promotion).spec
    return judge(spec, trials, percent)


def repeat(number, of, goodput, **more):
    """A confirmation of trial `of`."""
    parameters = {} if of == 1 else {"max_num_seqs": str(10 + of)}
    outcome = more.pop("outcome", Outcome.FEASIBLE)
    rates = [] if outcome is Outcome.CRASHED else more.pop("rates", [goodput])
    return make_trial(number, outcome, rates, purpose=Purpose.CONFIRM, parameters=parameters, **more)


def broken(number, goodput, **more):
    return make_trial(number, Outcome.INFEASIBLE, [rate(goodput, met=False)], **more)


def test_the_best_candidate_has_to_be_repeated_first():
    gate = verdict(*baselines(), feasible(2, 150), feasible(3, 200), confirmations=2)
    assert (gate.candidate.name, gate.repeats_begun, gate.winner) == ("s-3-1", 0, None)
    gate = verdict(*baselines(), feasible(2, 150), feasible(3, 200), repeat(4, 3, 190), confirmations=2)
    assert (gate.candidate.name, gate.repeats_begun, gate.winner) == ("s-3-1", 1, None)


def test_the_winners_figure_is_that_of_its_confirmations():
    gate = verdict(*baselines(), feasible(3, 200), repeat(4, 3, 150), repeat(5, 3, 170), confirmations=2)
    assert (gate.winner.trial.name, gate.winner.figure, gate.confirmations) == ("s-3-1", 160, 2)


def test_without_confirmations_the_searchs_figure_has_to_do():
    assert verdict(*baselines(), feasible(2, 150), confirmations=0).winner.figure == 150


def test_a_repeat_under_way_is_no_repeat_yet():
    under_way = make_trial(3, purpose=Purpose.CONFIRM, parameters={"max_num_seqs": "12"})
    gate = verdict(*baselines(), feasible(2, 200), under_way)
    assert (gate.winner, gate.repeats_begun) == (None, 1)


def test_a_repeat_that_infrastructure_ended_is_no_repeat():
    failed = make_trial(3, Outcome.INFRASTRUCTURE, purpose=Purpose.CONFIRM, parameters={"max_num_seqs": "12"})
    assert verdict(*baselines(), feasible(2, 200), failed).winner is None


def test_a_candidate_that_crashes_on_repeat_is_refused_and_the_next_one_considered():
    crashed = repeat(4, 3, 0, outcome=Outcome.CRASHED)
    gate = verdict(*baselines(), feasible(2, 150), feasible(3, 200), crashed)
    assert gate.candidate.name == "s-2-1"
    assert gate.refused == ("s-3-1 crashed when it was repeated (s-4-1: as it went)",)


def test_a_candidate_that_is_not_better_on_repeat_is_refused():
    gate = verdict(*baselines(), feasible(2, 200), repeat(3, 2, 109))
    assert (gate.candidate, gate.winner) == (None, None)
    assert "s-2-1 gave 109 tokens/s within every SLO on repeat, not enough" in gate.refused[0]


def test_a_candidate_that_breaks_an_slo_on_repeat_is_refused_where_a_baseline_holds_it():
    gate = verdict(*baselines(), feasible(2, 200), repeat(3, 2, 0, rates=[rate(200, met=False)]))
    assert gate.winner is None
    assert "with an SLO broken" in gate.refused[0]


def test_the_minimum_improvement_is_against_the_better_baseline():
    assert verdict(*baselines(120, 100), feasible(2, 131)).candidate is None
    assert verdict(*baselines(120, 100), feasible(2, 132)).candidate.name == "s-2-1"


def test_the_defaults_may_win_over_production():
    gate = verdict(*baselines(100, 200), repeat(2, 1, 190))
    assert gate.winner.trial.spec.purpose is Purpose.DEFAULT


def test_production_never_wins_over_itself():
    gate = verdict(*baselines(200, 100))
    assert (gate.candidate, gate.winner) == (None, None)
    assert gate.baseline.trial.spec.purpose is Purpose.PRODUCTION


def test_more_tokens_with_an_slo_broken_do_not_win_where_a_baseline_holds_it():
    assert verdict(feasible(0, 10), broken(1, 50), broken(2, 999)).candidate is None


def test_where_no_baseline_holds_the_slos_one_that_does_wins_without_a_minimum():
    assert verdict(broken(0, 100), broken(1, 50), feasible(2, 100)).candidate.name == "s-2-1"
    assert verdict(broken(0, 100), broken(1, 50), feasible(2, 99)).candidate is None


def test_where_no_baseline_holds_the_slos_one_that_breaks_them_too_may_win():
    gate = verdict(broken(0, 100), broken(1, 50), broken(2, 150), repeat(3, 2, 0, rates=[rate(140, met=False)]))
    assert gate.winner.figure == 140
    assert not gate.winner.slos_met


def test_one_that_holds_them_comes_before_one_that_serves_more():
    assert verdict(broken(0, 100), broken(1, 50), broken(2, 999), feasible(3, 120)).candidate.name == "s-3-1"


def test_at_a_higher_rate_a_candidate_must_still_serve_what_is_offered():
    """Production holds 100 % and breaks at 150 %; a candidate that serves more there but breaks at 100 % is worse."""
    both = [rate(100), rate(100, met=False, percent=150)]
    worse = [rate(90, met=False), rate(180, met=False, percent=150)]
    trials = [make_trial(0, Outcome.FEASIBLE, both), make_trial(1, Outcome.FEASIBLE, both)]
    assert verdict(*trials, make_trial(2, Outcome.INFEASIBLE, worse), percent=150).candidate is None
    better = [rate(100), rate(180, met=False, percent=150)]
    assert verdict(*trials, make_trial(2, Outcome.FEASIBLE, better), percent=150).candidate.name == "s-2-1"


def test_at_saturation_a_repeat_may_break_what_no_baseline_holds():
    both = [rate(100), rate(100, met=False, percent=150)]
    trials = [make_trial(0, Outcome.FEASIBLE, both), make_trial(1, Outcome.FEASIBLE, both)]
    lucky = make_trial(2, Outcome.FEASIBLE, [rate(100), rate(200, percent=150)])
    gate = verdict(*trials, lucky, repeat(3, 2, 0, rates=[rate(100), rate(180, met=False, percent=150)]), percent=150)
    assert gate.winner.figure == 180
    assert not gate.winner.slos_met


def test_baselines_that_crashed_serve_nothing():
    dead = [make_trial(n, Outcome.CRASHED) for n in (0, 1)]
    assert verdict(*dead, feasible(2, 1)).candidate.name == "s-2-1"
    assert verdict(*dead, broken(2, 0)).candidate is None


def test_nobody_wins_before_both_baselines_are_in():
    assert verdict(feasible(0, 10), feasible(2, 99), confirmations=0).winner is None
    failed = make_trial(1, Outcome.INFRASTRUCTURE)
    assert verdict(feasible(0, 10), failed, feasible(2, 99), confirmations=0).winner is None


def test_of_two_equal_ones_the_earlier_is_taken():
    assert verdict(*baselines(), feasible(3, 200), feasible(2, 200)).candidate.name == "s-2-1"


def test_a_sweep_that_ended_below_the_rate_of_comparison_counts_with_what_it_reached():
    early = make_trial(2, Outcome.INFEASIBLE, [rate(300, met=False, percent=50)])
    assert verdict(broken(0, 100), broken(1, 50), early).candidate.name == "s-2-1"
    never = make_trial(2, Outcome.INFEASIBLE, [rate(300, met=False, percent=150)])
    assert verdict(broken(0, 100), broken(1, 50), never).candidate is None
