"""Who wins: by repeats of all, against both baselines, and never with an SLO broken that a baseline holds.

How the repeats decide is tested in tests/unit/domain/test_contest.py; here, what trials become in it.
"""

import pytest

from sloguard.api.v1alpha1 import Outcome, Purpose
from sloguard.engine.gate import judge
from tests.unit.engine.builders import baselines, feasible, make_study, make_trial, rate


def verdict(*trials, percent=100, beliefs=None, **promotion):
    """With room for as many repeats of the baselines as of the candidate."""
    promotion = {"confirmations": 1, "minimumImprovementPercent": 10} | promotion
    return judge(make_study(promotion=promotion, budget={"trials": 60}).spec, trials, percent, beliefs or {})


def repeat(number, of, goodput, **more):
    """Of trial `of`: production, the defaults, or a confirmation."""
    purpose = {0: Purpose.PRODUCTION, 1: Purpose.DEFAULT}.get(of, Purpose.CONFIRM)
    parameters = {0: {"max_num_seqs": "2"}, 1: {}}.get(of, {"max_num_seqs": str(10 + of)})
    outcome = more.pop("outcome", Outcome.FEASIBLE)
    rates = [] if outcome is Outcome.CRASHED else more.pop("rates", [goodput])
    return make_trial(number, outcome, rates, **{"purpose": purpose, "parameters": parameters} | more)


def repeated(production=100, default=50, start=20):
    """Both baselines and a repeat of each."""
    return *baselines(production, default), repeat(start, 0, production), repeat(start + 1, 1, default)


def broken(number, goodput, **more):
    return make_trial(number, Outcome.INFEASIBLE, [rate(goodput, met=False)], **more)


def broken_baselines(start=20):
    again = [repeat(start + of, of, 0, rates=[rate(goodput, met=False)]) for of, goodput in ((0, 100), (1, 50))]
    return broken(0, 100), broken(1, 50), *again


def wanted(gate):
    return [(w.of.name, w.purpose.value) for w in gate.wanted]


def test_the_best_candidate_is_repeated_beside_both_baselines():
    gate = verdict(*baselines(), feasible(2, 150), feasible(3, 200), confirmations=2)
    assert (gate.candidate.name, gate.winner) == ("s-3-1", None)
    assert wanted(gate) == [("s-0-1", "Production"), ("s-1-1", "Default"), ("s-3-1", "Confirm")]


def test_who_is_believed_in_is_repeated_first_whatever_its_one_figure():
    trials = (*baselines(), feasible(2, 150), feasible(3, 200))
    assert verdict(*trials, beliefs={2: 160.0, 3: 140.0}).candidate.name == "s-2-1"
    # Who is not better by its own figure is no candidate, and a model that does not know all of them orders none.
    assert verdict(*trials, feasible(4, 90), beliefs={2: 160.0, 3: 140.0, 4: 300.0}).candidate.name == "s-2-1"
    assert verdict(*trials, beliefs={2: 160.0}).candidate.name == "s-3-1"


def test_beliefs_reorder_nobody_who_was_repeated():
    trials = (*repeated(), feasible(2, 150), feasible(3, 200), repeat(4, 3, 199))
    assert verdict(*trials, beliefs={2: 900.0, 3: 1.0}, confirmations=2).candidate.name == "s-3-1"


def test_baselines_that_are_beaten_clearly_are_not_repeated_again():
    gate = verdict(*repeated(), feasible(2, 150), feasible(3, 200), repeat(4, 3, 199), confirmations=2)
    assert (wanted(gate), gate.wanted[0].block, gate.winner) == ([("s-3-1", "Confirm")], 2, None)


def test_the_winners_figure_is_that_of_its_confirmations():
    gate = verdict(*repeated(), feasible(3, 640), repeat(4, 3, 600), repeat(5, 3, 608), confirmations=2)
    assert (gate.winner.trial.name, gate.winner.figure, gate.confirmations) == ("s-3-1", 604, 2)
    better, worse = gate.shown
    assert (better.trial.name, worse.trial.name) == ("s-0-1", "s-1-1")
    assert 1.1 < better.ratio.low < 6.04 < better.ratio.high


def test_without_confirmations_the_searchs_figure_has_to_do():
    assert verdict(*baselines(), feasible(2, 150), confirmations=0).winner.figure == 150


def test_a_repeat_under_way_is_not_asked_for_again():
    under_way = make_trial(3, purpose=Purpose.CONFIRM, parameters={"max_num_seqs": "12"})
    gate = verdict(*baselines(), feasible(2, 200), under_way)
    assert (gate.winner, wanted(gate)) == (None, [("s-0-1", "Production"), ("s-1-1", "Default")])


def test_a_repeat_that_infrastructure_ended_is_no_repeat():
    failed = make_trial(3, Outcome.INFRASTRUCTURE, purpose=Purpose.CONFIRM, parameters={"max_num_seqs": "12"})
    assert verdict(*repeated(), feasible(2, 200), failed).winner is None


def test_a_candidate_that_crashes_on_repeat_is_refused_and_the_next_one_considered():
    crashed = repeat(4, 3, 0, outcome=Outcome.CRASHED)
    gate = verdict(*repeated(), feasible(2, 150), feasible(3, 200), crashed)
    assert gate.candidate.name == "s-2-1"
    assert gate.refused == ("s-3-1 crashed when it was repeated (s-4-1: as it went)",)


def test_a_candidate_that_is_not_better_on_repeat_is_refused_and_it_is_said_why():
    gate = verdict(*repeated(), feasible(2, 200), repeat(3, 2, 109))
    assert (gate.candidate, gate.winner) == (None, None)
    assert gate.refused[0].startswith("s-2-1 gave 109 tokens/s over 1 repeat, +9 % (95 % interval ")
    assert "over s-0-1: not enough to show 10 %" in gate.refused[0]


def test_a_candidate_that_breaks_an_slo_on_repeat_is_refused_where_a_baseline_holds_it():
    gate = verdict(*repeated(), feasible(2, 200), repeat(3, 2, 0, rates=[rate(200, met=False)]))
    assert gate.winner is None
    assert gate.refused == ("s-2-1 gave 200 tokens/s over 1 repeat, with an SLO broken that s-0-1 holds",)


def test_the_minimum_improvement_is_against_the_better_baseline():
    assert verdict(*baselines(120, 100), feasible(2, 131)).candidate is None
    assert verdict(*baselines(120, 100), feasible(2, 132)).candidate.name == "s-2-1"


def test_the_defaults_may_win_over_production_by_confirmations_of_their_own():
    first = (*baselines(100, 200), repeat(2, 0, 101))
    assert wanted(verdict(*first)) == [("s-1-1", "Confirm")]
    gate = verdict(*first, repeat(3, 1, 199, purpose=Purpose.CONFIRM))
    assert gate.winner.trial.spec.purpose is Purpose.DEFAULT
    assert [shown.trial.name for shown in gate.shown] == ["s-0-1"]


def test_production_never_wins_over_itself():
    gate = verdict(*baselines(200, 100))
    assert (gate.candidate, gate.winner) == (None, None)
    assert gate.baseline.trial.spec.purpose is Purpose.PRODUCTION


def test_production_that_runs_the_defaults_is_one_baseline():
    same = feasible(0, 100, arguments=["model"]), feasible(1, 104, arguments=["model"])
    assert wanted(verdict(*same, feasible(2, 200))) == [("s-0-1", "Production"), ("s-2-1", "Confirm")]
    assert verdict(*same, feasible(2, 200), repeat(3, 0, 102), repeat(4, 2, 200)).winner.trial.name == "s-2-1"


def test_more_tokens_with_an_slo_broken_do_not_win_where_a_baseline_holds_it():
    assert verdict(feasible(0, 10), broken(1, 50), broken(2, 999)).candidate is None


def test_where_no_baseline_holds_the_slos_one_that_does_wins_without_a_minimum():
    assert verdict(broken(0, 100), broken(1, 50), feasible(2, 100)).candidate.name == "s-2-1"
    assert verdict(broken(0, 100), broken(1, 50), feasible(2, 99)).candidate is None
    assert verdict(*broken_baselines(), feasible(2, 101), repeat(3, 2, 101)).winner.trial.name == "s-2-1"


def test_where_no_baseline_holds_the_slos_one_that_breaks_them_too_may_win():
    gate = verdict(*broken_baselines(), broken(2, 150), repeat(3, 2, 0, rates=[rate(148, met=False)]))
    assert gate.winner.figure == 148
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
    trials = [make_trial(n, Outcome.FEASIBLE, both) for n in (0, 1)]
    trials += [repeat(20 + n, n, 0, rates=both) for n in (0, 1)]
    lucky = make_trial(2, Outcome.FEASIBLE, [rate(100), rate(184, percent=150)])
    gate = verdict(*trials, lucky, repeat(3, 2, 0, rates=[rate(100), rate(180, met=False, percent=150)]), percent=150)
    assert gate.winner.figure == 180
    assert not gate.winner.slos_met


def test_baselines_that_crashed_serve_nothing_and_are_not_repeated():
    dead = [make_trial(n, Outcome.CRASHED) for n in (0, 1)]
    assert wanted(verdict(*dead, feasible(2, 1))) == [("s-2-1", "Confirm")]
    assert verdict(*dead, feasible(2, 1), repeat(3, 2, 1)).winner.trial.name == "s-2-1"
    assert verdict(*dead, broken(2, 0)).candidate is None


def test_a_baseline_that_crashes_when_it_is_repeated_served_nothing_that_time():
    crashed = repeat(20, 0, 0, outcome=Outcome.CRASHED)
    gate = verdict(*baselines(), crashed, repeat(21, 1, 50), feasible(2, 200), repeat(3, 2, 200))
    assert gate.winner is None, "once 100 tokens/s and once none: nobody can say what production gives"


def test_nobody_wins_before_both_baselines_are_in():
    assert verdict(feasible(0, 10), feasible(2, 99), confirmations=0).winner is None
    failed = make_trial(1, Outcome.INFRASTRUCTURE)
    assert verdict(feasible(0, 10), failed, feasible(2, 99), confirmations=0).winner is None


def test_of_two_equal_ones_the_earlier_is_taken():
    assert verdict(*baselines(), feasible(3, 200), feasible(2, 200)).candidate.name == "s-2-1"


def test_within_noise_the_one_that_changes_less_is_taken():
    many = {"max_num_seqs": "12", "max_num_batched_tokens": "4096", "enforce_eager": "true"}
    few = {"max_num_seqs": "2", "max_num_batched_tokens": "4096"}
    near = feasible(2, 200, parameters=many), feasible(3, 199, parameters=few)
    assert verdict(*baselines(), *near).candidate.name == "s-3-1"
    apart = feasible(2, 200, parameters=many), feasible(3, 190, parameters=few)
    assert verdict(*baselines(), *apart).candidate.name == "s-2-1"


def test_a_candidate_that_was_repeated_keeps_its_place():
    """Whatever is measured later: else the error that each may spend would be dealt out anew."""
    gate = verdict(*repeated(), feasible(2, 150), feasible(3, 200), repeat(4, 2, 149), confirmations=2)
    assert gate.candidate.name == "s-2-1"


def test_after_three_the_error_is_spent_and_no_other_is_repeated():
    searched = [feasible(n, 200 + n) for n in range(2, 8)]
    lost = [repeat(10 + n, n, 60) for n in (7, 6, 5)]
    gate = verdict(*repeated(), *searched, *lost)
    assert (gate.candidate, gate.winner, len(gate.refused)) == (None, None, 4)
    assert "s-4-1 was not repeated" in gate.refused[-1]


@pytest.mark.parametrize(
    ("trials", "kept"),
    [
        ((), 3 + 3 + 3 + 2),
        ((*baselines(100, 90), feasible(2, 150)), 3 + 3 + 3 + 2),
        ((*baselines(100, 50), feasible(2, 150)), 3 + 3 + 1 + 2),
        ((*baselines(100, 50), feasible(2, 250)), 3 + 1 + 1 + 2),
        ((make_trial(0, Outcome.CRASHED), feasible(1, 90), feasible(2, 100)), 3 + 3 + 2),
    ],
)
def test_trials_are_kept_for_the_repeats_that_will_be_needed(trials, kept):
    """And two for a candidate that only seemed good."""
    assert verdict(*trials, confirmations=3).kept == kept


def test_a_sweep_that_ended_below_the_rate_of_comparison_counts_with_what_it_reached():
    early = make_trial(2, Outcome.INFEASIBLE, [rate(300, met=False, percent=50)])
    assert verdict(broken(0, 100), broken(1, 50), early).candidate.name == "s-2-1"
    never = make_trial(2, Outcome.INFEASIBLE, [rate(300, met=False, percent=150)])
    assert verdict(broken(0, 100), broken(1, 50), never).candidate is None
