"""Status, conditions and events: what people and tools read."""

import re

import pytest

from sloguard.api.v1alpha1 import Outcome, StudyPhase, StudyStatus
from sloguard.engine.actions import EventType
from sloguard.engine.plan import plan
from tests.unit.engine.builders import (
    OOM,
    T0,
    World,
    baselines,
    condition,
    feasible,
    grows,
    make_study,
    make_trial,
    snapshot,
)


@pytest.mark.parametrize("mode", ["Off", "Manual", "Automatic"])
def test_a_settled_study_is_a_fixed_point(mode):
    world = World(make_study(promotion={"mode": mode}), grows)
    world.run()
    for _ in range(3):
        planned = world.step(3600)
        assert not planned.actions
        assert planned.status == world.study.status
        assert not planned.owes_production


def test_the_same_snapshot_gives_the_same_plan():
    world = World(make_study(promotion={"mode": "Automatic"}), grows)
    for _ in range(60):
        assert plan(world.gather(), world.now) == plan(world.gather(), world.now)
        world.step()
        world.work()


def test_every_status_can_be_stored_and_read_again():
    world = World(make_study(promotion={"mode": "Automatic"}), lambda t: OOM if t.spec.number == 2 else grows(t))
    for _ in range(80):
        planned = world.step()
        world.work()
        assert StudyStatus.model_validate(planned.status.dump()) == planned.status


def test_events_are_told_once_each_under_a_key_of_their_own():
    world = World(make_study(promotion={"mode": "Automatic"}), grows)
    told = []
    for _ in range(80):
        told += world.step(5).events
        world.work()
    keys = [e.key for e in told]
    assert len(set(keys)) == len(keys)
    for number in range(6):
        assert {f"s-{number}-1-recorded", f"s-{number}-1-finished-feasible"} <= set(keys)
    assert all(e.message and re.fullmatch("[A-Z][A-Za-z]+", e.reason) for e in told)


def test_a_crash_is_a_warning():
    world = World(make_study(), lambda _: OOM)
    for _ in range(4):
        world.step()
        world.work()
    event = world.events["s-0-1-finished-crashed"]
    assert (event.type, event.reason) == (EventType.WARNING, "TrialCrashed")
    assert "CUDAOutOfMemory" in event.message


def test_two_reasons_to_stall_are_two_events():
    study = make_study(trial={"infrastructureRetries": 0})
    one = plan(snapshot(study, make_trial(0, Outcome.INFRASTRUCTURE)), T0)
    two = plan(snapshot(study, feasible(0, 9), make_trial(1, Outcome.INFRASTRUCTURE)), T0)
    assert one.events[-1].key != two.events[-1].key
    assert (one.events[-1].type, two.events[-1].type) == (EventType.WARNING, EventType.WARNING)
    assert plan(snapshot(study, make_trial(0, Outcome.INFRASTRUCTURE)), T0).events == one.events


@pytest.mark.parametrize(
    ("phase", "ready", "reconciling"),
    [(StudyPhase.BASELINING, "False", "True"), (StudyPhase.COMPLETED, "True", "False")],
)
def test_kstatus_conditions(phase, ready, reconciling):
    world = World(make_study())
    world.step()
    if phase is StudyPhase.COMPLETED:
        world.run()
    status = world.study.status
    assert status.phase is phase
    assert condition(status, "Ready").status.value == ready
    assert condition(status, "Reconciling").status.value == reconciling
    assert condition(status, "Stalled").status.value == "False"
    assert {c.observed_generation for c in status.conditions} == {1}
    assert all(re.fullmatch("[A-Z][A-Za-z]+", c.reason) and c.message for c in status.conditions)


def test_a_conditions_time_moves_only_with_its_status():
    world = World(make_study())
    world.run()
    since = {c.type: c.last_transition_time for c in world.study.status.conditions}
    assert since["Stalled"] == T0
    assert since["Ready"] > T0


def test_the_beginning_is_the_first_trial_and_the_end_that_of_the_search():
    world = World(make_study(promotion={"mode": "Manual"}), grows)
    world.step()
    assert world.study.status.started_at == T0
    assert world.study.status.finished_at is None
    world.run()
    ended = world.study.status.finished_at
    assert ended > T0
    world.change(promotion={"approved_trial": "s-3-1"})
    world.run()
    assert world.study.status.finished_at == ended


def test_counts_and_figures():
    infeasible = make_trial(4, Outcome.INFEASIBLE, [])
    trials = (*baselines(), feasible(2, 200), make_trial(3, Outcome.CRASHED), infeasible, make_trial(5))
    status = plan(snapshot(make_study(budget={"trials": 9}), *trials), T0).status
    counts = status.trials
    assert (counts.total, counts.running, counts.feasible, counts.infeasible, counts.crashed) == (6, 1, 3, 1, 1)
    assert (status.baseline.trial, status.best.trial) == ("s-0-1", "s-2-1")
    assert status.gpu_minutes == round(5 * 30 / 60)


def test_what_the_space_leaves_out_is_told():
    study = make_study(searchSpace={"preset": "Core", "parameters": []})
    status = plan(snapshot(study), T0).status
    assert condition(status, "SearchSpaceNarrowed").status.value == "True"
