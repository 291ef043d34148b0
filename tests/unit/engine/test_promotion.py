"""The promotion's state machine: recorded first, seen before it is believed, and back again where it does not hold."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sloguard.api.v1alpha1 import PromotionState, StudyPhase
from sloguard.engine.actions import ApplyArguments, EndPod
from sloguard.engine.canary import STATES as CANARY_STATES
from sloguard.engine.git_promotion import STATES as GIT_STATES
from sloguard.engine.plan import plan
from sloguard.engine.promotion import UNDER_WAY, advance_promotion, begin
from sloguard.engine.snapshot import Rollout, StuckPod, TargetProblem, TargetState
from tests.unit.engine.builders import (
    FAILED_ROLLOUT,
    PRODUCTION,
    T0,
    World,
    actions,
    condition,
    cut_short,
    feasible,
    grows,
    is_stalled,
    make_study,
)

NEW = ("model", "--max-num-seqs=112", "--port=8000")
OTHER = ("model", "--max-num-seqs=5")
STUDY = make_study(promotion={"mode": "Automatic"})
S = PromotionState
BY_PATCH = sorted(UNDER_WAY - CANARY_STATES - GIT_STATES - {S.RESTORING})
"""Those that every promotion may come to in a cluster; test_pacing.py tells of Restoring."""
GONE = TargetProblem("TargetNotFound", "there is no Deployment llama")


def planned_world():
    return World(STUDY, grows).run_to_promotion()


def world_in(state):
    world = planned_world()
    for _ in range(30):
        if world.promotion is state:
            return world
        if state is S.ROLLING_BACK and world.promotion is S.PROMOTING:
            world.target = replace(world.target, rollout=FAILED_ROLLOUT)
        world.step()
    raise AssertionError(f"never {state}")


def test_it_is_recorded_with_the_way_back_before_production_is_touched():
    world = planned_world()
    promotion = world.study.status.promotion
    assert promotion.state is S.PLANNED
    assert promotion.arguments == list(NEW)
    assert promotion.previous_arguments == list(PRODUCTION)
    assert not world.applied
    assert world.finalizer


def test_all_the_way():
    world = planned_world()
    states = [world.promotion]
    while world.promotion is not S.PROMOTED:
        world.step(20)
        states.append(world.promotion)
    assert list(dict.fromkeys(states)) == [S.PLANNED, S.PROMOTING, S.VERIFYING, S.PROMOTED]
    assert world.applied == [NEW]
    assert world.phase is StudyPhase.COMPLETED
    assert not world.finalizer
    assert condition(world.study.status, "Ready").reason == "Promoted"
    assert {k for k in world.events if k.startswith("promotion-")} == {
        f"promotion-s-3-1-{state}" for state in ("planned", "promoting", "verifying", "promoted")
    }


@pytest.mark.parametrize("state", BY_PATCH)
def test_every_state_can_be_cut_short_after_any_write_and_done_again(state):
    for world in cut_short(lambda: world_in(state)):
        if state is S.ROLLING_BACK:
            world.target = replace(world.target, rollout=Rollout())
        world.run()
        expected = S.ROLLED_BACK if state is S.ROLLING_BACK else S.PROMOTED
        assert world.promotion is expected
        assert world.target.arguments == (PRODUCTION if state is S.ROLLING_BACK else NEW)
        assert not world.finalizer


@pytest.mark.parametrize("state", [S.PROMOTING, S.VERIFYING])
def test_a_rollout_that_fails_goes_back(state):
    world = world_in(state)
    world.target = replace(world.target, rollout=FAILED_ROLLOUT)
    world.step()
    assert world.promotion is S.ROLLING_BACK
    assert world.applied == [NEW], "the way back is written down before it is gone"
    world.step()
    assert world.applied == [NEW, PRODUCTION]
    assert world.finalizer
    world.target = replace(world.target, rollout=Rollout())
    world.run()
    assert (world.promotion, world.phase) == (S.ROLLED_BACK, StudyPhase.FAILED)
    assert "did not stay up" in condition(world.study.status, "Stalled").message
    assert not world.finalizer


STUCK = Rollout(complete=False, stuck=(StuckPod("p-1", "uid-1", NEW), StuckPod("p-0", "uid-0", PRODUCTION)))


def test_pods_of_the_arguments_that_go_are_not_waited_for_on_the_way_back():
    """First the template has its previous arguments again: what is made in the pod's place has them."""
    world = world_in(S.ROLLING_BACK)
    world.target = replace(world.target, rollout=STUCK)
    planned = plan(world.gather(), world.now)
    assert actions(planned, EndPod) == []
    assert actions(planned, ApplyArguments) == [ApplyArguments(PRODUCTION)]
    world.step()
    planned = plan(world.gather(), world.now)
    assert planned.actions == (EndPod("p-1", "uid-1"),)
    assert planned.owes_production


@pytest.mark.parametrize("state", [S.PLANNED, S.PROMOTING, S.VERIFYING])
def test_on_the_way_there_no_pod_is_removed(state):
    world = world_in(state)
    world.target = replace(world.target, rollout=STUCK)
    assert actions(plan(world.gather(), world.now), EndPod) == []


def test_a_study_that_is_deleted_leaves_no_pod_that_its_controller_waits_for():
    world = world_in(S.PROMOTING)
    world.target = replace(world.target, rollout=STUCK)
    metadata = world.study.metadata.model_copy(update={"deletion_timestamp": T0})
    world.study = world.study.model_copy(update={"metadata": metadata})
    planned = plan(world.gather(), world.now)
    assert planned.actions == (ApplyArguments(PRODUCTION), EndPod("p-1", "uid-1"))


def test_a_rollout_that_does_not_end_goes_back():
    world = world_in(S.PROMOTING)
    world.target = replace(world.target, rollout=Rollout(complete=False))
    world.step(160)
    assert world.promotion is S.PROMOTING
    world.step(1)
    world.step()
    assert world.promotion is S.ROLLING_BACK
    assert "not rolled out within 160 s" in world.study.status.promotion.message


def test_more_replicas_may_take_longer():
    world = world_in(S.PROMOTING)
    world.target = replace(world.target, rollout=Rollout(complete=False), replicas=3)
    world.step(300)
    world.step()
    assert world.promotion is S.PROMOTING


def test_pods_that_do_not_stay_ready_while_watched_go_back():
    world = world_in(S.VERIFYING)
    world.target = replace(world.target, rollout=Rollout(complete=False))
    world.step(200)
    world.step(100)
    assert world.promotion is S.VERIFYING
    world.step()
    assert world.promotion is S.ROLLING_BACK


def test_a_moment_of_unreadiness_is_forgiven():
    world = world_in(S.VERIFYING)
    world.target = replace(world.target, rollout=Rollout(complete=False))
    world.step(100)
    world.target = replace(world.target, rollout=Rollout())
    world.run()
    assert world.promotion is S.PROMOTED


def test_a_rollback_that_does_not_end_is_a_persons_business():
    world = world_in(S.ROLLING_BACK)
    world.step(161)
    world.step()
    assert world.promotion is S.HALTED
    assert world.target.arguments == PRODUCTION
    assert not world.finalizer


@pytest.mark.parametrize("state", BY_PATCH)
def test_arguments_that_somebody_else_changed_are_left_alone(state):
    world = world_in(state)
    applied = list(world.applied)
    world.target = replace(world.target, arguments=OTHER)
    world.run()
    assert (world.promotion, world.phase) == (S.HALTED, StudyPhase.FAILED)
    assert world.applied == applied
    assert is_stalled(world.study.status)
    assert "somebody else changed" in condition(world.study.status, "Stalled").message
    assert not world.finalizer


@pytest.mark.parametrize("state", [S.PROMOTING, S.VERIFYING])
def test_whoever_puts_the_old_arguments_back_is_not_fought(state):
    world = world_in(state)
    world.target = replace(world.target, arguments=PRODUCTION)
    world.run()
    assert world.promotion is S.HALTED
    assert world.applied == [NEW]


def test_arguments_that_do_not_stay_are_given_up_on():
    world = planned_world()
    for _ in range(200):
        world.step(1)
        world.target = TargetState(PRODUCTION)
    assert world.promotion is S.HALTED


@pytest.mark.parametrize("state", BY_PATCH)
def test_a_target_that_vanishes_stalls_but_keeps_the_debt(state):
    world = world_in(state)
    found, world.target = world.target, GONE
    world.step()
    assert is_stalled(world.study.status)
    assert world.promotion is state
    assert world.finalizer
    world.target = replace(found, rollout=Rollout())
    world.run()
    assert world.promotion in {S.PROMOTED, S.ROLLED_BACK}
    assert not world.finalizer


@pytest.mark.parametrize("state", BY_PATCH)
def test_a_study_deleted_meanwhile_leaves_production_as_it_was(state):
    world = world_in(state)
    world.delete()
    world.step()
    assert world.target.arguments == PRODUCTION
    assert world.promotion is S.ROLLED_BACK
    assert not world.finalizer


@pytest.mark.parametrize("state", BY_PATCH)
@pytest.mark.parametrize("target", [GONE, TargetState(OTHER)])
def test_a_study_deleted_meanwhile_can_go_whatever_became_of_its_target(state, target):
    world = world_in(state)
    applied = list(world.applied)
    world.target = target
    world.delete()
    world.step()
    assert not world.finalizer
    assert world.applied == applied


@pytest.mark.parametrize("state", BY_PATCH)
def test_the_finalizer_stays_until_production_is_put_back(state):
    world = world_in(state)
    world.delete()
    planned = plan(world.gather(), world.now)
    for _, write in world.writes(planned)[: 2 + len(planned.actions)]:
        write()
    assert world.finalizer
    world.step()
    assert world.target.arguments == PRODUCTION
    assert not world.finalizer


@pytest.mark.parametrize("change", [{"suspend": True}, {"promotion": {"mode": "Off"}}])
def test_neither_suspension_nor_another_mode_leaves_it_half_done(change):
    world = world_in(S.PROMOTING)
    world.change(**change)
    world.run()
    assert world.promotion is S.PROMOTED


def test_it_happens_once():
    world = world_in(S.VERIFYING)
    world.run()
    world.target = replace(world.target, arguments=PRODUCTION)
    world.change(budget={"trials": 99})
    world.run()
    assert world.applied == [NEW]
    assert world.promotion is S.PROMOTED


def test_arguments_that_are_the_same_need_no_change():
    trial = feasible(0, 100)
    same = begin(trial, list(PRODUCTION), TargetState(PRODUCTION), T0)
    step = advance_promotion(same, TargetState(PRODUCTION), STUDY, T0 + timedelta(seconds=1))
    assert (step.apply, step.status.state) == (None, S.PROMOTING)


def test_what_is_applied_waits_for_nothing_else():
    world = planned_world()
    planned = plan(world.gather(), world.now)
    assert actions(planned, ApplyArguments) == [ApplyArguments(NEW)]
    assert planned.wake_after_seconds == 1
    assert planned.owes_production


def test_the_watch_ends_on_time_and_not_at_the_next_resync():
    world = world_in(S.VERIFYING)
    ends = STUDY.spec.promotion.verification.duration_seconds
    changed = world.study.status.promotion.changed_at
    near = plan(world.gather(), changed + timedelta(seconds=ends - 3))
    far = plan(world.gather(), changed + timedelta(seconds=1))
    assert near.wake_after_seconds == 3
    assert far.wake_after_seconds <= ends - 1


def test_a_decision_is_told_once():
    world = World(STUDY, grows)
    for _ in range(60):
        told = [event.message for event in plan(world.gather(), world.now).events]
        assert len(told) == len(set(told))
        world.step()
        world.work()
