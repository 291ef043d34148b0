"""What a study says in the end, and whose wish it follows."""

from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import Outcome, PromotionState, Purpose, StudyPhase, Workload
from sloguard.engine.plan import plan
from tests.unit.engine.builders import (
    OOM,
    PRODUCTION,
    T0,
    World,
    baselines,
    condition,
    feasible,
    grows,
    is_stalled,
    make_study,
    make_trial,
    rate,
    recorded,
    snapshot,
)

WINNER = ["model", "--max-num-seqs=112", "--port=8000"]


def ended(mode, serve=grows, **spec):
    world = World(make_study(promotion={"mode": mode}, **spec), serve)
    world.run()
    return world


def test_the_recommendation_holds_the_exact_arguments_that_were_measured():
    world = ended("Off")
    found = world.study.status.recommendation
    assert (world.phase, found.trial, found.arguments) == (StudyPhase.COMPLETED, "s-3-1", WINNER)
    assert (found.improvement_percent, found.confirmations) == (250, 1)
    assert (found.improvement_low_percent, found.improvement_high_percent, found.error_percent) == (229, 273, 5)
    assert found.reason == (
        "112 tokens/s over 1 repeat: +250 % (95 % interval +229..+273) over vLLM's defaults (s-1-1, 32 tokens/s); "
        "+5500 % (95 % interval +5161..+5861) over production (s-0-1, 2 tokens/s); error allowed 5 %"
    )
    assert condition(world.study.status, "Ready").status.value == "True"
    assert not world.applied


def test_figures_of_a_closed_loop_are_marked():
    """In the status itself: they must not pass for an open loop's."""
    study = make_study(promotion={"mode": "Off"})
    arrival = {"pattern": "ClosedLoop", "closedLoop": {"users": 32}}
    lengths = {"promptTokens": {"mean": 64, "max": 64}, "outputTokens": {"mean": 16, "max": 16}}
    spec = study.spec.model_copy(update={"workload": Workload.model_validate({"arrival": arrival} | lengths)})
    world = World(study.model_copy(update={"spec": spec}), grows)
    world.run()
    assert world.study.status.recommendation.reason.endswith("error allowed 5 %; closed loop of 32 users")
    assert "closed loop of 32 users" in condition(world.study.status, "Ready").message


def test_once_given_it_stays():
    world = ended("Off")
    before = world.study.status.recommendation
    world.change(promotion={"minimum_improvement_percent": 900})
    world.run()
    assert world.study.status.recommendation == before


def test_without_an_improvement_production_is_kept():
    world = ended("Automatic", lambda _: 100.0)
    assert world.phase is StudyPhase.COMPLETED
    assert condition(world.study.status, "Ready").reason == "NoImprovement"
    assert "better by 5 %" in condition(world.study.status, "Ready").message
    assert not world.applied


def test_why_better_looking_candidates_were_refused_is_told():
    world = ended("Off", lambda t: OOM if t.spec.purpose is Purpose.CONFIRM else grows(t))
    message = condition(world.study.status, "Ready").message
    assert "s-3-1 crashed when it was repeated" in message
    assert message.count("crashed when it was repeated") == 2


def test_an_exhausted_space_ends_the_search():
    two = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 2, "max": 4}}]}
    world = ended("Off", searchSpace=two, budget={"trials": 50})
    assert world.phase is StudyPhase.COMPLETED
    searched = [t.spec.parameters["max_num_seqs"] for t in world.latest() if t.spec.purpose is Purpose.SEARCH]
    assert sorted(searched) == ["3", "4"], "production's own value is known already"


def test_where_production_serves_everything_higher_rates_are_compared_and_it_is_said():
    served = [rate(100), rate(120, met=False, percent=150), rate(110, met=False, percent=200)]
    trials = [make_trial(n, Outcome.FEASIBLE, served) for n in (0, 1)]
    status = plan(snapshot(make_study(workload={"sweepPercent": [100, 150, 200]}), *trials), T0).status
    assert status.comparison_rate_percent == 150
    met = condition(status, "TargetAlreadyMet")
    assert (met.status.value, met.reason) == ("True", "WithinSLOs")
    assert "150 %" in met.message
    assert status.baseline.objective_value == 120


def test_where_production_breaks_an_slo_that_is_said_too():
    trials = [make_trial(n, Outcome.INFEASIBLE, [rate(50, met=False)]) for n in (0, 1)]
    status = plan(snapshot(make_study(), *trials), T0).status
    assert condition(status, "TargetAlreadyMet").status.value == "False"
    assert status.comparison_rate_percent == 100


def test_manual_waits_for_a_person_and_says_what_to_write():
    world = ended("Manual")
    assert world.phase is StudyPhase.AWAITING_APPROVAL
    assert "set spec.promotion.approvedTrial to s-3-1" in condition(world.study.status, "Ready").message
    assert condition(world.study.status, "Reconciling").status.value == "False"
    made = len(world.trials)
    world.change(budget={"trials": 99})
    world.run()
    assert len(world.trials) == made, "who waits for approval searches no more"


def test_the_approved_trial_is_promoted():
    world = ended("Manual")
    world.change(promotion={"approved_trial": "s-3-1"})
    world.run()
    assert (world.phase, world.promotion) == (StudyPhase.COMPLETED, PromotionState.PROMOTED)
    assert world.applied == [tuple(WINNER)]


def test_a_person_may_approve_another_trial_than_the_recommended_one():
    world = ended("Manual")
    world.change(promotion={"approved_trial": "s-2-1"})
    world.run()
    assert world.target.arguments == ("model", "--max-num-seqs=28", "--port=8000")


@pytest.mark.parametrize(("name", "why"), [("s-77-1", "is not a trial of this study"), ("s-4-1", "is Crashed")])
def test_a_wrong_name_stalls_until_it_is_corrected(name, why):
    world = ended("Manual", lambda t: OOM if t.spec.number == 4 else grows(t))
    world.change(promotion={"approved_trial": name})
    world.run()
    told = condition(world.study.status, "Stalled")
    assert (world.phase, told.reason) == (StudyPhase.AWAITING_APPROVAL, "ApprovedTrialUnknown")
    assert why in told.message
    assert not world.applied
    world.change(promotion={"approved_trial": "s-3-1"})
    world.run()
    assert world.promotion is PromotionState.PROMOTED
    assert not is_stalled(world.study.status)


def test_an_earlier_attempt_is_called_by_its_name():
    study = make_study(promotion={"mode": "Manual", "approvedTrial": "s-2-1"}, budget={"trials": 6})
    failed = make_trial(2, Outcome.INFRASTRUCTURE)
    planned = plan(snapshot(study, *baselines(), failed, feasible(2, 50, attempt=2)), T0)
    assert "s-2-1 is Infrastructure" in condition(planned.status, "Stalled").message


def test_an_approval_given_early_waits_for_the_end_of_the_search():
    study = make_study(promotion={"mode": "Manual", "approvedTrial": "s-0-1"})
    assert recorded(plan(snapshot(study, *baselines()), T0)).spec.purpose is Purpose.SEARCH


def test_approving_what_production_runs_changes_nothing():
    world = ended("Manual")
    world.change(promotion={"approved_trial": "s-0-1"})
    world.run()
    assert condition(world.study.status, "Ready").reason == "AlreadyInProduction"
    assert not world.applied
    assert world.target.arguments == PRODUCTION


def test_switching_to_automatic_later_promotes():
    world = ended("Off")
    world.change(promotion={"mode": "Automatic"})
    world.run()
    assert world.promotion is PromotionState.PROMOTED


def test_no_promotion_begins_while_the_study_is_suspended():
    world = ended("Manual")
    world.change(suspend=True, promotion={"approved_trial": "s-3-1"})
    world.run()
    assert (world.phase, world.promotion) == (StudyPhase.SUSPENDED, None)
    world.change(suspend=False)
    world.run()
    assert world.promotion is PromotionState.PROMOTED


def test_no_promotion_begins_over_arguments_that_were_never_measured():
    world = ended("Manual")
    world.target = replace(world.target, arguments=("model", "--max-num-seqs=3"))
    world.change(promotion={"approved_trial": "s-3-1"})
    world.run()
    assert condition(world.study.status, "Stalled").reason == "TargetChanged"
    assert not world.applied


def test_defaults_that_win_are_held_against_production_and_not_against_themselves():
    world = ended("Off", lambda t: {Purpose.PRODUCTION: 10.0}.get(t.spec.purpose, 0.0 if t.spec.parameters else 40.0))
    found = world.study.status.recommendation
    assert (found.trial, found.improvement_percent) == ("s-1-1", 300)
    assert "over production (s-0-1, 10 tokens/s)" in found.reason


def test_without_confirmations_it_is_said_that_nothing_is_confirmed():
    world = World(make_study(promotion={"confirmations": 0}), grows)
    world.run()
    found = world.study.status.recommendation
    assert (found.confirmations, found.improvement_low_percent, found.error_percent) == (0, None, None)
    assert "nothing is confirmed" in found.reason


def test_what_identical_runs_were_apart_is_told_for_each_rate():
    world = ended("Off")
    (noise,) = world.study.status.noise
    assert (noise.rate_percent, noise.permille, noise.production_permille, noise.runs) == (100, 0, 0, 6)
