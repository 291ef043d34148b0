"""How a candidate's repeats and those of production and the defaults beside it are made."""

from sloguard.api.v1alpha1 import Outcome, Purpose, StudyPhase
from sloguard.engine.actions import StartServer
from sloguard.engine.plan import plan
from tests.unit.engine.builders import (
    OOM,
    PRODUCTION,
    T0,
    World,
    actions,
    baselines,
    condition,
    feasible,
    grows,
    make_study,
    make_trial,
    recorded,
    snapshot,
)


def study(seed=1, **spec):
    return make_study(optimizer={"seed": seed}, budget={"trials": 8}, promotion={"confirmations": 3}, **spec)


SEARCHED = (*baselines(), feasible(2, 200))


def test_the_order_within_a_block_is_left_to_the_seed():
    firsts = {recorded(plan(snapshot(study(seed), *SEARCHED), T0)).spec.purpose for seed in range(20)}
    assert firsts == {Purpose.PRODUCTION, Purpose.DEFAULT, Purpose.CONFIRM}
    again = {recorded(plan(snapshot(study(7), *SEARCHED), T0)).spec.purpose for _ in range(5)}
    assert len(again) == 1


def test_a_repeat_says_what_it_is_for():
    trials, reasons = list(SEARCHED), {}
    for _ in range(3):
        spec = recorded(plan(snapshot(study(), *trials), T0)).spec
        reasons[spec.purpose] = spec.reason
        figure = {Purpose.PRODUCTION: 100, Purpose.DEFAULT: 50}.get(spec.purpose, 200)
        trials.append(feasible(spec.number, figure, purpose=spec.purpose, parameters=spec.parameters))
    ended = "The search ended: 3 of 8 trials were made, the others are kept for repeats."
    assert sum(reason.endswith(f" {ended}") for reason in reasons.values()) == 1, "the first of them says why"
    reasons = {purpose: reason.removesuffix(f" {ended}") for purpose, reason in reasons.items()}
    assert reasons == {
        Purpose.PRODUCTION: "Production once more, beside repeat 1 of s-2-1: what it is held against.",
        Purpose.DEFAULT: "vLLM's defaults once more, beside repeat 1 of s-2-1: what it is held against.",
        Purpose.CONFIRM: "Confirms s-2-1: repeat 1 of at most 3.",
    }


def test_production_is_repeated_word_for_word():
    repeat = make_trial(3, purpose=Purpose.PRODUCTION, parameters={"max_num_seqs": "2"})
    planned = plan(snapshot(study(), *SEARCHED, repeat), T0)
    assert actions(planned, StartServer)[0].arguments == PRODUCTION
    assert planned.status.phase is StudyPhase.CONFIRMING


def test_a_repeat_that_infrastructure_ended_is_made_again_before_anything_else():
    failed = make_trial(
        3, Outcome.INFRASTRUCTURE, purpose=Purpose.PRODUCTION, parameters={"max_num_seqs": "2"}, finished_at=T0
    )
    waiting = plan(snapshot(study(), *SEARCHED, failed), T0)
    assert condition(waiting.status, "Reconciling").reason == "BackingOff"


def test_repeats_of_production_do_not_change_the_rate_of_comparison():
    """It is chosen by trial 0, and later runs that broke an SLO by chance must not move it."""
    crashed = make_trial(3, Outcome.CRASHED, purpose=Purpose.PRODUCTION, parameters={"max_num_seqs": "2"})
    assert plan(snapshot(study(), *SEARCHED, crashed), T0).status.comparison_rate_percent == 100


def test_luck_of_the_search_costs_one_block():
    """The candidate that looked best gives what production gives; the next best is as good as it looked."""

    def lucky(trial):
        luck = trial.spec.purpose is Purpose.SEARCH and trial.spec.number == 3
        return 300.0 if luck else {"112": 32.0}.get(trial.spec.parameters.get("max_num_seqs"), grows(trial))

    world = World(make_study(budget={"trials": 30}, promotion={"confirmations": 3}), lucky)
    world.run()
    repeats = [t.spec.parameters for t in world.latest() if t.spec.purpose is Purpose.CONFIRM]
    assert repeats.count({"max_num_seqs": "112"}) == 1
    assert world.study.status.recommendation.parameters != {"max_num_seqs": "112"}


def test_production_that_crashed_is_not_repeated():
    world = World(make_study(), lambda t: OOM if t.spec.purpose is Purpose.PRODUCTION else grows(t))
    world.run()
    assert [t.spec.number for t in world.latest() if t.spec.purpose is Purpose.PRODUCTION] == [0]
    assert world.study.status.recommendation.improvement_percent is not None, "against the defaults"
