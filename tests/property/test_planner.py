"""Whatever a substrate, a restart or a person does, the planner keeps its promises. Seeded; SLOGUARD_SCHEDULES many."""

import os

import pytest

from sloguard.api.v1alpha1 import StudyPhase
from sloguard.domain.contest import LEAST_REPEATS
from sloguard.engine.plan import plan
from sloguard.engine.promotion import UNDER_WAY
from tests.property.planner_world import PACE, live, make_world
from tests.unit.engine.builders import condition

SCHEDULES = int(os.environ.get("SLOGUARD_SCHEDULES", "400"))
CHUNKS = 10


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_every_schedule_ends_well(chunk):
    for seed in range(chunk, SCHEDULES, CHUNKS):
        try:
            ends_well(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


@pytest.mark.parametrize("seed", range(SCHEDULES // 100))
def test_a_search_that_may_stop_early_ends_as_well(seed):
    ends_well(seed, optimizer="margin-bo", trials=(20, 40))


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_whatever_becomes_of_soaks_a_study_ends_as_well(chunk):
    for seed in range(chunk, SCHEDULES // 4, CHUNKS):
        try:
            ends_well(seed, soaked=True)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


def ends_well(seed, **more):
    world = make_world(seed, **more)
    live(world)
    status = world.study.status
    assert not world.servers, "something was left running"
    assert not world.loads, "something was left running"
    after = plan(world.gather(), world.now)
    assert not after.actions
    assert after.status == status
    if world.deleted:
        assert not world.finalizer, "the study cannot go"
        return
    if world.target.declared is not None:
        assert world.target.declared.pace == PACE, "production's own pace was not given back"
    assert world.settled(), f"still {status.phase}: {status.conditions}"
    promotion = status.promotion
    assert world.finalizer == (promotion is not None and promotion.state in UNDER_WAY)
    assert all(c.message for c in status.conditions)
    if status.phase in {StudyPhase.COMPLETED, StudyPhase.FAILED, StudyPhase.AWAITING_APPROVAL}:
        assert status.finished_at is not None
        assert all(t.finished for t in world.trials.values())
    if status.phase is StudyPhase.COMPLETED and status.recommendation is None:
        _nothing_was_left_untried(world)


def _nothing_was_left_untried(world):
    """A study without a winner says why it searched no more, and keeps no trials that could have found one."""
    spec, end = world.study.spec, condition(world.study.status, "SearchEnded")
    assert end is not None
    assert end.status.value == "True"
    if end.reason == "TrialsUsed":
        left = spec.budget.trials - world.study.status.trials.total
        assert left <= min(spec.promotion.confirmations, LEAST_REPEATS) + 2


def test_a_schedule_can_be_repeated():
    worlds = [make_world(7), make_world(7)]
    for world in worlds:
        live(world)
    assert worlds[0].study == worlds[1].study
    assert worlds[0].trials == worlds[1].trials
