"""A study that is being deleted stops what it runs and holds nothing back."""

import pytest

from sloguard.api.v1alpha1 import Outcome, TrialPhase
from sloguard.engine.actions import StopTrial, UpdateTrial
from sloguard.engine.plan import plan
from sloguard.engine.snapshot import ServerState, TargetProblem
from tests.unit.engine.builders import T0, World, actions, baselines, make_study, make_trial, seen, snapshot


def deleted(**spec):
    study = make_study(**spec)
    metadata = study.metadata.model_copy(update={"deletion_timestamp": T0})
    return study.model_copy(update={"metadata": metadata})


@pytest.mark.parametrize("target", [None, TargetProblem("TargetNotFound", "gone")])
def test_whatever_runs_is_stopped_and_nothing_is_started(target):
    trials = (
        *baselines(),
        make_trial(2, phase=TrialPhase.STARTING, started_at=T0),
        make_trial(3),
        make_trial(4, Outcome.CRASHED),
    )
    observed = {t.name: seen(ServerState.READY) for t in (trials[2], trials[4])}
    planned = plan(snapshot(deleted(), *trials, target=target, seen=observed), T0)
    assert [a.trial.name for a in actions(planned, StopTrial)] == ["s-2-1", "s-3-1", "s-4-1"]
    assert {a.status.outcome for a in actions(planned, UpdateTrial)} == {Outcome.CANCELLED}
    assert len(planned.actions) == 5
    assert not planned.owes_production


def test_a_deleted_study_records_nothing():
    planned = plan(snapshot(deleted()), T0)
    assert not planned.actions
    assert planned.status == deleted().status


def test_another_ones_finalizer_does_not_bring_it_back():
    world = World(make_study())
    for _ in range(5):
        world.step()
        world.work()
    world.delete()
    for _ in range(3):
        planned = world.step()
    assert not planned.actions
    assert not world.servers
    assert all(t.finished for t in world.trials.values())
