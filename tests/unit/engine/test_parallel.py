"""Several trials at once: no number twice, no more than allowed, confirmations too."""

import pytest

from sloguard.api.v1alpha1 import Outcome, Purpose, StudyPhase
from sloguard.engine.actions import RecordTrial
from sloguard.engine.plan import plan
from tests.unit.engine.builders import (
    T0,
    World,
    actions,
    baselines,
    feasible,
    make_study,
    make_trial,
    recorded,
    snapshot,
)

WIDE = make_study(trial={"parallelism": 3}, budget={"trials": 12}, promotion={"confirmations": 3})


@pytest.mark.parametrize("parallelism", [1, 2, 3, 8])
def test_it_fills_its_places_and_no_more(parallelism):
    study = make_study(trial={"parallelism": parallelism}, budget={"trials": 20}, promotion={"confirmations": 3})
    world = World(study, lambda t: float(t.spec.parameters.get("max_num_seqs", 32)))
    most = 0
    for turn in range(300):
        assert len(actions(world.step(), RecordTrial)) <= 1
        most = max(most, sum(not t.finished for t in world.trials.values()))
        if turn % 20 == 19:
            world.work()
    world.run()
    assert world.phase is StudyPhase.COMPLETED
    assert most == parallelism
    assert sorted(t.spec.number for t in world.trials.values()) == list(range(len(world.trials)))
    assert len(world.trials) <= 20


def test_baselines_may_run_side_by_side():
    assert recorded(plan(snapshot(WIDE, make_trial(0)), T0)).name == "s-1-1"


def test_what_is_under_way_is_not_suggested_again():
    first = recorded(plan(snapshot(WIDE, *baselines()), T0)).spec
    pending = make_trial(2, parameters=first.parameters)
    second = recorded(plan(snapshot(WIDE, *baselines(), pending), T0)).spec
    assert second.number == 3
    assert second.parameters != first.parameters


def test_the_last_trials_of_the_search_come_in_before_a_candidate_is_confirmed():
    searched = [feasible(n, 100 + n) for n in range(2, 8)]
    planned = plan(snapshot(WIDE, *baselines(), *searched, make_trial(8)), T0)
    assert not actions(planned, RecordTrial)


def test_a_blocks_repeats_run_side_by_side_and_only_as_many_as_are_needed():
    trials = [*baselines(), *(feasible(n, 100 + n) for n in range(2, 9))]
    purposes = set()
    for number in range(9, 12):
        spec = recorded(plan(snapshot(WIDE, *trials), T0)).spec
        purposes.add(spec.purpose)
        assert spec.number == number
        trials.append(make_trial(number, purpose=spec.purpose, parameters=spec.parameters))
    assert purposes == {Purpose.PRODUCTION, Purpose.DEFAULT, Purpose.CONFIRM}, "one block"
    assert not actions(plan(snapshot(WIDE, *trials), T0), RecordTrial)


def test_a_place_that_backs_off_holds_up_the_search():
    """One fault of infrastructure often means more of them; starting others meanwhile would meet it again."""
    failed = make_trial(2, Outcome.INFRASTRUCTURE, finished_at=T0)
    assert not plan(snapshot(WIDE, *baselines(), failed, make_trial(3)), T0).actions[2:]
