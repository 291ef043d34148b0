"""A promotion by the repository of production: each Job is recorded first, and production is only ever watched."""

from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import GitPromotion, Outcome, PromotionState, Purpose, StudyPhase
from sloguard.engine.actions import ApplyArguments, RecordTrial, StartGitJob, UpdateTrial
from sloguard.engine.git_promotion import MOST_FAILURES, REFRESH
from sloguard.engine.plan import plan
from sloguard.engine.rolling import obstacle
from sloguard.engine.room import Room
from sloguard.engine.snapshot import GitJobEnd, Manager, Rollout, StuckPod, TargetState, Traffic
from tests.unit.engine.builders import (
    COMMITTED,
    FAILED_ROLLOUT,
    OOM,
    PRODUCTION,
    PROPOSED,
    World,
    actions,
    condition,
    cut_short,
    grows,
    is_stalled,
    make_study,
)
from tests.unit.engine.test_promotion import OTHER
from tests.unit.engine.test_verification import window

S = PromotionState
GIT = {
    "repository": "https://git.example.com/team/apps.git",
    "file": {"path": "apps/llama.yaml"},
    "pullRequest": {"forge": "Gitea"},
    "secretRef": {"name": "git"},
}
STUDY = make_study(promotion={"mode": "Git", "git": GIT})
WRITTEN_OTHERWISE = ("model", "--port=8000", "--max_num_seqs", "112")
"""As a file may have it: the same settings at another place."""

DENIED = GitJobEnd(succeeded=False, reason="PermissionDenied", message="the token may not write")
LOST = GitJobEnd(succeeded=False, reason="NotReachable", message="it does not answer in time", may_pass=True)
CLOSED = GitJobEnd(succeeded=False, reason="PullRequestClosed", message="somebody closed it unmerged", declined=True)


def planned_world():
    argo = Manager("ArgoCD", "Argo CD's Application shop", by_git=True)
    return World(STUDY, grows, target=TargetState(PRODUCTION, manager=argo)).run_to_promotion()


def synced(world, arguments=WRITTEN_OTHERWISE, **changes):
    """Somebody merged, and what manages production has applied it."""
    world.target = replace(world.target, arguments=arguments, **changes)


def world_in(state):
    world = planned_world()
    for _ in range(40):
        if world.promotion is state:
            return world
        if world.promotion is S.PROPOSED:
            synced(world)
        if state in {S.REVERTING, S.ROLLING_BACK} and world.promotion is S.PROMOTING:
            world.target = replace(world.target, rollout=FAILED_ROLLOUT)
        if state is S.ROLLING_BACK and world.promotion is S.REVERTING and git(world).revert_commit:
            synced(world, PRODUCTION)
        world.step()
    raise AssertionError(f"never {state}")


def goes_on(world):
    """People merge what is proposed, or the revert; pods become ready."""
    for _ in range(60):
        world.step(5.0)
        back = world.promotion in {S.REVERTING, S.ROLLING_BACK}
        promotion = world.study.status.promotion
        if back and promotion.git.revert_commit:
            synced(world, PRODUCTION, rollout=Rollout())
        elif world.promotion is S.PROPOSED:
            synced(world, rollout=Rollout())
        if world.promotion in {S.PROMOTED, S.ROLLED_BACK, S.HALTED, S.DECLINED}:
            return
    raise AssertionError(f"still {world.promotion}")


def git(world):
    return world.study.status.promotion.git


def test_all_the_way():
    world = planned_world()
    assert world.study.status.promotion.previous_arguments == list(PRODUCTION)
    states = [world.promotion]
    while world.promotion is not S.PROMOTED:
        world.step(20)
        states.append(world.promotion)
        if world.promotion is S.PROPOSED:
            assert world.phase is StudyPhase.PROMOTING
            assert PROPOSED.pull_request in condition(world.study.status, "Ready").message
            assert not is_stalled(world.study.status), "that people take their time is no fault"
            synced(world)
    assert list(dict.fromkeys(states)) == [S.PLANNED, S.PROPOSING, S.PROPOSED, S.PROMOTING, S.VERIFYING, S.PROMOTED]
    assert not world.applied
    assert list(world.git_jobs.values()) == [StartGitJob(1)]
    assert (git(world).commit, git(world).pull_request) == (PROPOSED.commit, PROPOSED.pull_request)
    assert world.phase is StudyPhase.COMPLETED
    assert {k for k in world.events if k.startswith("promotion-")} == {
        f"promotion-s-3-1-{state}"
        for state in ("planned", "proposing", "proposed", "promoting", "verifying", "promoted")
    }


def test_a_job_is_recorded_before_it_is_made():
    world = planned_world()
    planned = plan(world.gather(), world.now)
    assert planned.status.promotion.state is S.PROPOSING
    assert planned.status.promotion.git.job.number == 1
    assert actions(planned, StartGitJob) == []
    world.step()
    assert actions(plan(world.gather(), world.now), StartGitJob) == [StartGitJob(1)]


ALL = [S.PLANNED, S.PROPOSING, S.PROPOSED, S.PROMOTING, S.VERIFYING, S.REVERTING, S.ROLLING_BACK]


@pytest.mark.parametrize("state", ALL)
def test_every_state_can_be_cut_short_after_any_write_and_done_again(state):
    for world in cut_short(lambda: world_in(state)):
        goes_on(world)
        backwards = state in {S.REVERTING, S.ROLLING_BACK}
        assert world.promotion is (S.ROLLED_BACK if backwards else S.PROMOTED)
        assert list(world.git_jobs.values()) == [StartGitJob(1), StartGitJob(2, back=True)][: 2 if backwards else 1]
        assert not world.applied


@pytest.mark.parametrize("state", ALL)
def test_production_is_never_patched_and_never_owed(state):
    """Whoever holds a study for it would wait for people to merge."""
    world = world_in(state)
    for _ in range(20):
        planned = world.step(600)
        assert actions(planned, ApplyArguments) == []
        assert not planned.owes_production
    world.delete()
    planned = plan(world.gather(), world.now)
    assert actions(planned, ApplyArguments) == []
    assert not planned.owes_production


def test_a_direct_commit_that_is_not_synced_is_told():
    world = planned_world()
    world.git = lambda _: COMMITTED
    for _ in range(4):
        world.step()
    assert world.promotion is S.PROPOSED
    assert condition(world.study.status, "Ready").reason == "AwaitingSync"
    world.step(16 * 60)
    world.step()
    assert condition(world.study.status, "Stalled").reason == "NotSynced"
    assert "spec.promotion.git.file" in condition(world.study.status, "Stalled").message
    assert len(world.git_jobs) == 1, "it is there already"
    goes_on(world)
    assert world.promotion is S.PROMOTED
    assert not is_stalled(world.study.status)


def test_what_passes_is_tried_again_later_each_time():
    world = world_in(S.PROPOSING)
    world.git = lambda _: LOST
    begun = {}
    while len(begun) < 5:
        world.step(1)
        for number in world.git_jobs:
            begun.setdefault(number, world.now)
    pauses = [(begun[n + 1] - begun[n]).total_seconds() for n in range(1, 5)]
    assert pauses == sorted(pauses)
    assert 30 <= pauses[0] < 40
    assert 240 <= pauses[3] < 250
    assert not is_stalled(world.study.status)
    assert "does not answer" in condition(world.study.status, "Ready").message
    world.git = lambda _: PROPOSED
    world.step(600)
    for _ in range(3):
        world.step()
    assert world.promotion is S.PROPOSED
    assert git(world).job.failures == 0


def test_what_a_person_has_to_mend_stalls_and_goes_on_when_the_study_is_changed():
    world = world_in(S.PROPOSING)
    world.git = lambda _: DENIED
    world.step()
    world.step()
    stalled = condition(world.study.status, "Stalled")
    assert (stalled.status, stalled.reason) == ("True", "PermissionDenied")
    assert "the token may not write" in stalled.message
    world.git = lambda _: PROPOSED
    world.step()
    assert world.promotion is S.PROPOSING, "the same would fail again"
    world.change(suspend=False)
    for _ in range(4):
        world.step()
    assert world.promotion is S.PROPOSED
    assert not is_stalled(world.study.status)


def test_jobs_that_keep_failing_come_to_an_end():
    world = world_in(S.PROPOSING)
    world.git = lambda _: DENIED
    for _ in range(200):
        world.step(1801)
    assert len(world.git_jobs) == MOST_FAILURES
    assert is_stalled(world.study.status)
    assert plan(world.gather(), world.now).status == world.study.status
    world.git = lambda _: PROPOSED
    world.change(suspend=False)
    for _ in range(4):
        world.step()
    assert world.promotion is S.PROPOSED


def test_a_closed_request_is_an_answer():
    world = world_in(S.PROPOSED)
    world.git = lambda _: CLOSED
    world.step(REFRESH.total_seconds() + 1)
    for _ in range(3):
        world.step()
    assert world.promotion is S.DECLINED
    assert world.phase is StudyPhase.COMPLETED
    assert condition(world.study.status, "Ready").reason == "PromotionDeclined"
    assert not is_stalled(world.study.status)


def test_an_open_request_is_brought_up_to_date():
    world = world_in(S.PROPOSED)
    world.step(REFRESH.total_seconds() + 1)
    for _ in range(3):
        world.step()
    assert list(world.git_jobs) == [1, 2]
    assert world.promotion is S.PROPOSED
    status = world.study.status
    assert plan(world.gather(), world.now).status == status, "what is the same is not written again"


def test_the_base_that_no_longer_fits_is_reported_and_the_request_is_kept():
    world = world_in(S.PROPOSED)
    world.git = lambda _: GitJobEnd(succeeded=False, reason="BaseConflict", message="the file is gone")
    world.step(REFRESH.total_seconds() + 1)
    for _ in range(3):
        world.step()
    assert world.promotion is S.PROPOSED
    assert condition(world.study.status, "Stalled").reason == "BaseConflict"
    assert git(world).pull_request == PROPOSED.pull_request


@pytest.mark.parametrize("state", [S.PROMOTING, S.VERIFYING])
def test_what_fails_goes_back_the_same_way(state):
    world = world_in(state)
    world.target = replace(world.target, rollout=replace(FAILED_ROLLOUT, evidence=OOM))
    world.step()
    assert world.promotion is S.REVERTING
    for _ in range(4):
        world.step()
    stalled = condition(world.study.status, "Stalled")
    assert stalled.reason == "RevertAwaitsMerge"
    assert "did not stay up" in stalled.message
    assert git(world).revert_pull_request == PROPOSED.pull_request
    assert list(world.git_jobs.values()) == [StartGitJob(1), StartGitJob(2, back=True)]
    goes_on(world)
    assert (world.promotion, world.phase) == (S.ROLLED_BACK, StudyPhase.FAILED)
    assert not world.applied
    (failed,) = [t for t in world.trials.values() if t.spec.purpose is Purpose.CANARY]
    assert failed.status.outcome is Outcome.CRASHED
    assert failed.status.crash.class_ == "CUDAOutOfMemory"


def test_traffic_that_is_worse_goes_back():
    world = world_in(S.VERIFYING)
    before, worse = window(1000), window(300)
    seen = replace(world.gather(), traffic=Traffic(before=before, since=worse))
    planned = plan(seen, world.now)
    assert planned.status.promotion.state is S.REVERTING
    assert "served worse" in planned.status.promotion.message
    (record,) = actions(planned, RecordTrial)
    assert record.spec.purpose is Purpose.CANARY
    assert planned.status_first


def test_what_fails_is_taken_back_also_while_the_study_is_suspended():
    world = world_in(S.REVERTING)
    world.change(suspend=True)
    goes_on(world)
    assert world.promotion is S.ROLLED_BACK


def test_a_suspended_study_asks_for_nothing_and_still_sees_what_others_merge():
    world = planned_world()
    world.change(suspend=True)
    for _ in range(5):
        world.step(600)
    assert not world.git_jobs
    assert world.phase is StudyPhase.SUSPENDED
    synced(world)
    for _ in range(4):
        world.step(60)
    assert world.promotion is S.PROMOTED


def test_a_revert_that_people_close_is_theirs():
    world = world_in(S.REVERTING)
    world.git = lambda _: CLOSED
    for _ in range(3):
        world.step()
    assert world.promotion is S.HALTED
    assert "closed" in condition(world.study.status, "Stalled").message


@pytest.mark.parametrize("state", [S.PROPOSING, S.PROPOSED, S.REVERTING])
@pytest.mark.parametrize("change", [{"arguments": OTHER}, {"serving_hash": "other", "image": "vllm:2"}])
def test_production_that_somebody_changed_is_another(state, change):
    world = world_in(state)
    world.study = world.study.model_copy(
        update={
            "status": world.study.status.model_copy(
                update={"target": world.study.status.target.model_copy(update={"serving_hash": "this"})}
            )
        }
    )
    world.target = replace(world.target, serving_hash="this")
    world.target = replace(world.target, **change)
    world.step()
    assert world.promotion is S.HALTED
    assert "somebody else changed production" in world.study.status.promotion.message


def test_the_commit_is_known_although_production_was_faster():
    world = world_in(S.PROPOSING)
    world.step()
    synced(world)
    world.git = lambda _: None
    world.step()
    assert world.promotion is S.PROPOSING, "its Job is about to say which commit it was"
    world.git = lambda _: COMMITTED
    world.step()
    assert world.promotion is S.PROMOTING
    assert git(world).commit == COMMITTED.commit


def test_so_is_the_commit_that_takes_it_back():
    world = world_in(S.PROMOTING)
    world.target = replace(world.target, rollout=FAILED_ROLLOUT)
    world.step()
    assert world.promotion is S.REVERTING
    world.git = lambda _: None
    world.step()
    world.target = replace(world.target, arguments=tuple(world.study.status.promotion.previous_arguments))
    world.step()
    assert world.promotion is S.REVERTING, "its Job is about to say which commit it was"
    world.git = lambda _: COMMITTED
    world.step()
    assert world.promotion is S.ROLLING_BACK
    assert git(world).revert_commit == COMMITTED.commit


def test_pods_in_the_way_of_what_was_taken_back_are_removed():
    world = world_in(S.ROLLING_BACK)
    stuck = (StuckPod("p-1", "uid-1", WRITTEN_OTHERWISE), StuckPod("p-0", "uid-0", PRODUCTION))
    world.target = replace(world.target, rollout=Rollout(complete=False, stuck=stuck))
    planned = plan(world.gather(), world.now)
    assert [(a.name, a.uid) for a in planned.actions if not isinstance(a, UpdateTrial)] == [("p-1", "uid-1")]


def test_another_repository_is_asked_at_once():
    world = world_in(S.PROPOSED)
    world.change(promotion={"git": GitPromotion.model_validate(GIT | {"repository": "git@elsewhere:team/apps.git"})})
    for _ in range(3):
        world.step()
    assert list(world.git_jobs) == [1, 2]
    assert git(world).repository == "git@elsewhere:team/apps.git"


def test_settings_that_are_removed_meanwhile_are_asked_for():
    world = world_in(S.PROPOSING)
    world.change(promotion={"mode": "Off", "git": None})
    world.step()
    world.step()
    assert condition(world.study.status, "Stalled").reason == "GitSettingsMissing"
    assert not world.git_jobs


def test_a_deleted_study_says_what_it_leaves():
    world = world_in(S.PROPOSED)
    world.delete()
    world.step()
    assert PROPOSED.pull_request in world.events["promotion-left"].message


def test_it_waits_for_no_gpu():
    """People merge when they like, and production's own rollout finds its room then."""
    full = Room(places=0, reason="WaitingForGPUs", message="none is free")
    assert obstacle(make_study(promotion={"mode": "Automatic"}), TargetState(PRODUCTION), full) is not None
    assert obstacle(STUDY, TargetState(PRODUCTION), full) is None


def test_people_may_take_their_time():
    world = world_in(S.PROPOSED)
    for _ in range(60):
        world.step(86400)
    assert world.promotion is S.PROPOSED
    assert not is_stalled(world.study.status)
