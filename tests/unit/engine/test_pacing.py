"""Strategy Rolling without a spare GPU: replicas one after the other, at a pace that is given back before any end."""

from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import PreviousPace, PromotionState, RolloutPace, StudyPhase
from sloguard.engine.actions import ApplyArguments, GivePaceBack, SetPace
from sloguard.engine.pacing import own_pace
from sloguard.engine.plan import plan
from sloguard.engine.room import AMPLE, Room
from sloguard.engine.snapshot import DeclaredPace, Pace, Rollout, TargetProblem, TargetState
from tests.unit.engine.builders import (
    FAILED_ROLLOUT,
    PRODUCTION,
    World,
    actions,
    condition,
    cut_short,
    grows,
    is_stalled,
    make_study,
)

NONE_FREE = Room(0, "WaitingForGPUs", "0 nvidia.com/gpu free")
THEIRS = RolloutPace(max_surge="1", max_unavailable="0")
OURS = RolloutPace(max_surge="0", max_unavailable="1", min_ready_seconds=60)
S = PromotionState


def target(declared=None, replicas=2, **more):
    return TargetState(PRODUCTION, replicas=replicas, declared=declared or DeclaredPace(THEIRS, manager="helm"), **more)


def searched(found=None, **promotion):
    """All trials are made, somebody approves the winner, and no GPU is free any more."""
    world = World(make_study(promotion={"mode": "Manual"} | promotion), grows)
    world.target = found or target()
    world.run()
    world.room = NONE_FREE
    world.change(promotion={"approved_trial": world.study.status.recommendation.trial})
    return world


def world_in(state):
    world = searched()
    for _ in range(40):
        if world.promotion is state:
            return world
        if state is S.ROLLING_BACK and world.promotion is S.PROMOTING:
            world.target = replace(world.target, rollout=FAILED_ROLLOUT)
        world.step(20 if state is S.RESTORING else 1)
    raise AssertionError(f"never {state}")


STATES = [S.PLANNED, S.PROMOTING, S.VERIFYING, S.ROLLING_BACK, S.RESTORING]


def test_replicas_go_one_after_the_other_where_no_gpu_is_free():
    world = searched()
    world.step()
    recorded = world.study.status.promotion
    assert (recorded.state, recorded.pace) == (S.PLANNED, OURS)
    assert recorded.previous_pace == PreviousPace(pace=THEIRS, manager="helm")
    assert world.target.declared.pace == THEIRS, "recorded before it is changed"
    assert plan(world.gather(), world.now).actions == (SetPace(OURS),)
    world.step()
    following = plan(world.gather(), world.now).actions
    assert [type(one) for one in following] == [ApplyArguments], "not before production is slowed down"


def test_all_the_way():
    world = searched()
    states = []
    while world.promotion is not S.PROMOTED:
        world.step(20)
        states.append(world.promotion)
        assert world.finalizer is (world.promotion is not S.PROMOTED)
    assert list(dict.fromkeys(states)) == [S.PLANNED, S.PROMOTING, S.VERIFYING, S.RESTORING, S.PROMOTED]
    assert world.target.declared.pace == THEIRS
    assert world.phase is StudyPhase.COMPLETED
    assert "ready for 60 s" in condition(world.study.status, "Ready").message


@pytest.mark.parametrize("state", STATES)
def test_every_state_can_be_cut_short_after_any_write_and_done_again(state):
    for world in cut_short(lambda: world_in(state)):
        world.target = replace(world.target, rollout=Rollout())
        world.run()
        assert world.promotion is (S.ROLLED_BACK if state is S.ROLLING_BACK else S.PROMOTED)
        assert world.target.declared.pace == THEIRS
        assert not world.finalizer


def test_a_rollout_that_fails_goes_back_at_that_pace_and_only_then_gives_it_back():
    world = world_in(S.ROLLING_BACK)
    world.step()
    assert world.target.arguments == PRODUCTION
    assert world.target.declared.pace == OURS, "no GPU is free for the way back either"
    world.target = replace(world.target, rollout=Rollout())
    world.run()
    assert (world.promotion, world.phase) == (S.ROLLED_BACK, StudyPhase.FAILED)
    assert world.target.declared.pace == THEIRS
    assert "did not stay up" in condition(world.study.status, "Stalled").message


@pytest.mark.parametrize("state", STATES)
def test_it_is_given_back_where_a_person_has_to_look(state):
    world = world_in(state)
    if state is S.PLANNED:
        world.step()
    world.target = replace(world.target, arguments=("model", "--max-num-seqs=5"))
    world.run()
    assert world.promotion is S.HALTED
    assert world.target.declared.pace == THEIRS
    assert "somebody else changed" in condition(world.study.status, "Stalled").message


@pytest.mark.parametrize("state", STATES)
def test_a_pace_that_somebody_else_has_set_since_is_theirs(state):
    world, other = world_in(state), RolloutPace(max_surge="2", max_unavailable="1")
    if state is S.PLANNED:
        world.step()
    world.target = replace(world.target, declared=DeclaredPace(other), rollout=Rollout())
    world.run()
    assert not world.finalizer
    assert world.target.declared.pace == other
    assert world.promotion in {S.PROMOTED, S.ROLLED_BACK, S.HALTED}


@pytest.mark.parametrize("state", [S.VERIFYING, S.RESTORING])
def test_arguments_that_somebody_writes_in_another_way_are_the_same(state):
    world = world_in(state)
    model, setting, *others = world.target.arguments
    otherwise = (model, *others, *setting.split("="))
    world.target = replace(world.target, arguments=otherwise)
    world.run()
    assert world.promotion is S.PROMOTED
    assert world.target.arguments == otherwise


def test_an_end_is_an_end_whatever_pace_somebody_sets_afterwards():
    world = world_in(S.RESTORING)
    world.run()
    world.target = replace(world.target, declared=DeclaredPace(OURS))
    world.step()
    assert world.promotion is S.PROMOTED
    assert world.target.declared.pace == OURS


def test_each_replica_adds_its_watch_to_the_time_that_it_may_take():
    world = world_in(S.PROMOTING)
    world.target = replace(world.target, rollout=Rollout(complete=False))
    world.step(2 * (100 + 60) + 55)
    world.step()
    assert world.promotion is S.PROMOTING
    world.step(10)
    world.step()
    assert world.promotion is S.ROLLING_BACK


@pytest.mark.parametrize("state", [S.PROMOTING, S.VERIFYING])
def test_a_study_deleted_meanwhile_waits_for_the_way_back(state):
    """At production's own pace it would wait for a GPU, and half of production would keep the new arguments."""
    world = world_in(state)
    world.delete()
    world.step()
    world.step()
    assert world.target.arguments == PRODUCTION
    world.target = replace(world.target, rollout=Rollout(complete=False))
    world.step()
    assert world.finalizer
    assert world.target.declared.pace == OURS
    world.target = replace(world.target, rollout=Rollout())
    for _ in range(4):
        world.step()
    assert not world.finalizer
    assert world.target.declared.pace == THEIRS
    assert world.promotion is S.ROLLED_BACK


def test_a_study_deleted_meanwhile_can_go_where_production_is_gone():
    world = world_in(S.PROMOTING)
    world.target = TargetProblem("TargetNotFound", "there is no Deployment llama")
    world.delete()
    world.step()
    assert not world.finalizer


WITHHELD = DeclaredPace(THEIRS, withheld="kustomize-controller applies the strategy")


@pytest.mark.parametrize(
    ("found", "undisturbed", "why"),
    [
        (target(replicas=1), "", "would leave requests without a server"),
        (target(WITHHELD), "", "kustomize-controller applies the strategy"),
        (target(), "PodDisruptionBudget llama lets none be missing now", "PodDisruptionBudget llama"),
        (replace(target(), declared=None), "", "kind has no other pace"),
    ],
)
def test_where_that_may_not_be_it_waits_for_a_gpu_and_says_why(found, undisturbed, why):
    world = searched(found)
    world.undisturbed = undisturbed
    world.step()
    told = condition(world.study.status, "Ready")
    assert (world.promotion, world.phase, told.reason) == (None, StudyPhase.PROMOTING, "WaitingForGPUs")
    assert "0 nvidia.com/gpu free" in told.message
    assert why in told.message
    assert not is_stalled(world.study.status)
    world.room = AMPLE
    world.run()
    assert world.promotion is S.PROMOTED
    assert world.study.status.promotion.pace is None


def test_the_only_replica_goes_first_where_a_person_allows_it():
    world = searched(target(replicas=1), allow_downtime=True)
    world.run()
    assert world.promotion is S.PROMOTED
    assert world.study.status.promotion.pace == OURS


def test_with_a_gpu_free_production_keeps_its_own_pace():
    world = searched()
    world.room = AMPLE
    world.run()
    assert world.promotion is S.PROMOTED
    assert world.study.status.promotion.pace is None
    assert actions(plan(world.gather(), world.now), GivePaceBack) == []


def test_a_canary_needs_a_gpu_whatever_the_pace():
    world = searched()
    world.change(promotion={"strategy": "Canary"})
    world.step()
    assert world.promotion is None


@pytest.mark.parametrize(
    ("watched", "declared", "seconds"),
    [
        (600, DeclaredPace(THEIRS), 60),
        (20, DeclaredPace(THEIRS), 20),
        (600, DeclaredPace(THEIRS, progress_deadline_seconds=120), 30),
        (0, DeclaredPace(THEIRS), 0),
        (20, DeclaredPace(THEIRS.model_copy(update={"min_ready_seconds": 45})), 45),
    ],
)
def test_a_replica_is_watched_for_as_long_as_its_deployment_allows(watched, declared, seconds):
    study = make_study(promotion={"verification": {"durationSeconds": watched}})
    assert own_pace(study, target(declared, pace=Pace())).min_ready_seconds == seconds
