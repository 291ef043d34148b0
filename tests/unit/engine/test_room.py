"""A trial starts where there is room for it, and is not even recorded where there is none."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sloguard.api.v1alpha1 import Outcome, StudyPhase, TrialPhase
from sloguard.domain.evidence import Evidence
from sloguard.engine import budget
from sloguard.engine.actions import RecordTrial
from sloguard.engine.plan import plan
from sloguard.engine.room import AMPLE, Room
from sloguard.engine.snapshot import Observation, Server, ServerState
from tests.unit.engine.builders import (
    T0,
    actions,
    baselines,
    condition,
    feasible,
    is_stalled,
    make_study,
    make_trial,
    seen,
    snapshot,
)

NONE = Room(0, "WaitingForGPUs", "a trial needs 1 nvidia.com/gpu on one node; 0 free")
BLIND = Room(1, "NodesForbidden", "free GPUs cannot be seen", blind=True)
WIDE = make_study(trial={"parallelism": 3})


def planned(room, *trials, study=WIDE, observed=None):
    return plan(replace(snapshot(study, *trials, seen=observed), room=room), T0 + timedelta(minutes=1))


@pytest.mark.parametrize(
    "trials", [(), baselines(), (*baselines(), make_trial(2, Outcome.CANCELLED)), (*baselines(), feasible(2, 200))]
)
def test_no_trial_of_any_kind_is_recorded_without_room(trials):
    found = planned(NONE, *trials)
    assert not found.actions
    told = condition(found.status, "Reconciling")
    assert (told.status.value, told.reason, told.message) == ("True", NONE.reason, NONE.message)
    assert not is_stalled(found.status)
    assert found.wake_after_seconds >= 10, "it is not asked again and again"
    assert actions(planned(AMPLE, *trials), RecordTrial)


def test_room_is_asked_for_only_where_a_trial_would_start():
    assert planned(None).asks_for_room
    assert not planned(None).actions
    assert not planned(AMPLE).asks_for_room
    assert not planned(None, study=make_study(suspend=True)).asks_for_room
    busy = [make_trial(n) for n in range(2)]
    assert not planned(None, *busy, study=make_study(trial={"parallelism": 2})).asks_for_room
    done = make_study(budget={"trials": 6})
    ended = planned(None, *baselines(), feasible(2, 100), study=done)
    assert not ended.asks_for_room
    assert ended.status.phase is StudyPhase.COMPLETED


def test_what_cannot_be_seen_is_taken_one_at_a_time_and_told_of():
    first = planned(BLIND)
    assert actions(first, RecordTrial)
    told = condition(first.status, "FreeGPUsSeen")
    assert (told.status.value, told.reason) == ("False", "NodesForbidden")
    second = planned(BLIND, make_trial(0))
    assert not actions(second, RecordTrial)
    assert condition(second.status, "Reconciling").reason == "NodesForbidden"
    seeing = planned(Room(2), study=WIDE.model_copy(update={"status": first.status}))
    assert condition(seeing.status, "FreeGPUsSeen").status.value == "True"
    assert condition(planned(Room(2)).status, "FreeGPUsSeen") is None


def test_waiting_in_a_queue_costs_no_wall_clock_time():
    trial = make_trial(0, phase=TrialPhase.STARTING, started_at=T0)
    queued = Observation(Server(ServerState.WAITING, Evidence(gated=True)), leftovers=True)
    for observed, seconds in ((queued, 0), (seen(ServerState.STARTING, since=T0), 60)):
        there = snapshot(make_study(), trial, seen={trial.name: observed})
        used = budget.spent(there, [trial], T0.replace(minute=1))
        assert used.wall_clock_seconds == seconds
        assert used.under_way is (seconds > 0)
