"""Before a promotion begins it is seen whether production's rolling update can go on, and whether somebody serves."""

from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import PromotionState, StudyPhase
from sloguard.engine.plan import plan
from sloguard.engine.room import Room
from sloguard.engine.snapshot import Pace, TargetState
from tests.unit.engine.builders import PRODUCTION, World, condition, is_stalled, make_study

NONE_FREE = Room(0, "WaitingForGPUs", "a trial needs 1 nvidia.com/gpu on one node; 0 nvidia.com/gpu free")


def world_with(pace, replicas=1, **promotion):
    study = make_study(promotion={"mode": "Automatic"} | promotion)
    world = World(study, lambda t: float(t.spec.parameters.get("max_num_seqs", 32)))
    world.target = TargetState(PRODUCTION, replicas=replicas, pace=pace)
    return world


def searched(pace, replicas=1):
    """All trials are made, and nothing is promoted yet."""
    world = world_with(pace, replicas, mode="Manual")
    world.run()
    winner = world.study.status.recommendation.trial
    world.change(promotion={"approved_trial": winner})
    return world


@pytest.mark.parametrize(("replicas", "ended"), [(1, "the only replica"), (3, "all 3 replicas")])
def test_without_anybody_left_to_serve_it_is_not_begun(replicas, ended):
    world = world_with(Pace(0, replicas), replicas)
    world.run()
    told = condition(world.study.status, "Stalled")
    assert (world.phase, told.reason) == (StudyPhase.AWAITING_APPROVAL, "PromotionNeedsDowntime")
    assert ended in told.message
    assert "allowDowntime" in told.message
    assert not world.applied


def test_a_person_may_allow_it():
    world = world_with(Pace(0, 1), allow_downtime=True)
    world.run()
    assert world.promotion is PromotionState.PROMOTED


def test_where_replicas_go_one_after_the_other_no_gpu_has_to_be_free():
    world = searched(Pace(0, 1), replicas=2)
    planned = plan(replace(world.gather(), room=NONE_FREE), world.now)
    assert planned.status.promotion.state is PromotionState.PLANNED


def test_what_needs_a_pod_more_asks_and_waits_for_its_gpu():
    world = searched(Pace(1, 0), replicas=2)
    asked = plan(replace(world.gather(), room=None), world.now)
    assert asked.asks_for_room
    assert asked.status.promotion is None
    waiting = plan(replace(world.gather(), room=NONE_FREE), world.now)
    assert waiting.status.promotion is None
    assert (waiting.status.phase, condition(waiting.status, "Ready").reason) == (StudyPhase.PROMOTING, "WaitingForGPUs")
    assert "before it ends an old one" in condition(waiting.status, "Ready").message
    assert not is_stalled(waiting.status)
    begun = plan(replace(world.gather(), room=Room(1)), world.now)
    assert begun.status.promotion.state is PromotionState.PLANNED


def test_where_pods_are_kept_from_updates_it_is_not_begun():
    world = world_with(Pace(0, 1), replicas=2)
    world.target = replace(world.target, withheld="StatefulSet llama has updateStrategy OnDelete")
    world.run()
    told = condition(world.study.status, "Stalled")
    assert (world.phase, told.reason) == (StudyPhase.AWAITING_APPROVAL, "PromotionWithheld")
    assert "StatefulSet llama has updateStrategy OnDelete" in told.message
    assert not world.applied
    world.target = replace(world.target, withheld="")
    world.run()
    assert world.promotion is PromotionState.PROMOTED


def test_what_helps_is_said_in_the_words_of_its_kind():
    world = world_with(Pace(0, 1))
    world.target = replace(world.target, more_room="Give the StatefulSet more replicas")
    world.run()
    assert "Give the StatefulSet more replicas, or allow" in condition(world.study.status, "Stalled").message


def test_what_candidates_have_otherwise_is_told():
    world = world_with(Pace(1, 0), mode="Off")
    world.run()
    assert all(c.type != "CandidatesDiffer" for c in world.study.status.conditions)
    world = world_with(Pace(1, 0), mode="Off")
    world.target = replace(world.target, differs="candidates begin with volumes of their own")
    world.step()
    told = condition(world.study.status, "CandidatesDiffer")
    assert (told.status, told.message) == ("True", "candidates begin with volumes of their own")
    world.target = replace(world.target, differs="")
    world.step()
    assert condition(world.study.status, "CandidatesDiffer").status == "False"


def test_that_requests_may_be_lost_is_told_where_something_may_be_promoted():
    assert told_of_risk(mode="Off", at_risk="without a preStop hook") is None
    assert told_of_risk(mode="Manual", at_risk="") is None
    told = told_of_risk(mode="Manual", at_risk="without a preStop hook pods that go may cut off what they answer")
    assert (told.status, told.reason) == ("True", "PodsDoNotDrain")
    assert told.message.startswith("a promotion may lose requests: without a preStop hook")


def told_of_risk(mode, at_risk):
    world = world_with(Pace(1, 0), mode=mode)
    world.target = replace(world.target, at_risk=at_risk)
    world.step()
    return condition(world.study.status, "RequestsAtRisk")


def test_that_they_no_longer_may_is_told_as_well():
    world = world_with(Pace(1, 0), mode="Manual")
    world.target = replace(world.target, at_risk="without a readinessProbe")
    world.step()
    world.target = replace(world.target, at_risk="")
    world.step()
    assert condition(world.study.status, "RequestsAtRisk").status == "False"
