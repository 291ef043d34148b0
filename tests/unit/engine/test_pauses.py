"""Suspension, windows, and a target that is not there: nothing keeps running, nothing is lost."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sloguard.api.v1alpha1 import Outcome, StudyPhase, TrialPhase
from sloguard.engine.actions import RecordTrial, StartServer, StopTrial, UpdateTrial
from sloguard.engine.plan import plan
from sloguard.engine.snapshot import LoadState, Server, ServerState, TargetProblem, TargetState
from tests.unit.engine.builders import (
    PRODUCTION,
    T0,
    World,
    actions,
    baselines,
    condition,
    feasible,
    is_stalled,
    make_study,
    make_trial,
    recorded,
    result,
    seen,
    snapshot,
)

GONE = TargetProblem("TargetNotFound", "there is no Deployment llama; create it")
NIGHT = {"schedule": "0 1 * * *", "durationMinutes": 60, "timeZone": "Etc/UTC"}


def loading(number=2):
    return make_trial(number, phase=TrialPhase.LOADING, started_at=T0, ready_at=T0, load_started_at=T0)


def test_suspending_ends_what_runs_and_resuming_makes_it_again_at_no_cost():
    suspended = make_study(suspend=True)
    planned = plan(snapshot(suspended, *baselines(), loading(), seen={"s-2-1": seen(ServerState.READY)}), T0)
    update, stop = planned.actions
    assert update.status.outcome is Outcome.CANCELLED
    assert isinstance(stop, StopTrial)
    assert planned.status.phase is StudyPhase.SUSPENDED
    assert condition(planned.status, "Reconciling").status.value == "False"
    cancelled = loading().model_copy(update={"status": update.status})
    again = recorded(plan(snapshot(make_study(), *baselines(), cancelled), T0))
    assert again.name == "s-2-2"
    assert planned.status.trials.total == 3


def test_a_load_that_has_just_ended_is_not_thrown_away_by_suspending():
    done = seen(ServerState.READY, load=LoadState.DONE, loaded=result(90))
    planned = plan(snapshot(make_study(suspend=True), *baselines(), loading(), seen={"s-2-1": done}), T0)
    assert planned.actions[0].status.outcome is Outcome.FEASIBLE


def test_a_study_created_suspended_waits():
    planned = plan(snapshot(make_study(suspend=True)), T0)
    assert not planned.actions
    assert planned.status.phase is StudyPhase.SUSPENDED
    assert planned.status.started_at is None


def test_suspending_a_finished_study_changes_nothing():
    world = World(make_study())
    world.run()
    before = world.study.status
    world.change(suspend=True)
    world.run()
    assert world.phase is StudyPhase.COMPLETED
    assert world.study.status.trials == before.trials


def test_outside_its_windows_a_study_starts_nothing_but_ends_what_runs():
    study = make_study(windows=[NIGHT])
    planned = plan(snapshot(study), T0)
    assert not planned.actions
    assert condition(planned.status, "Reconciling").reason == "OutsideWindow"
    done = seen(ServerState.READY, load=LoadState.DONE, loaded=result(90))
    planned = plan(snapshot(study, *baselines(), loading(), seen={"s-2-1": done}), T0)
    assert [type(a).__name__ for a in planned.actions] == ["UpdateTrial", "StopTrial"]
    assert recorded(plan(snapshot(study), T0.replace(hour=1)))


STOPPING = NIGHT | {"onClose": "Stop"}


@pytest.mark.parametrize(("window", "outcome"), [(NIGHT, None), (STOPPING, Outcome.CANCELLED)])
def test_a_window_that_closes_lets_a_trial_finish_or_stops_it_as_it_says(window, outcome):
    study = make_study(windows=[window])
    there = {"s-2-1": seen(ServerState.READY, load=LoadState.RUNNING, since=T0)}
    planned = plan(snapshot(study, *baselines(), loading(), seen=there), T0)
    (trial,) = [a for a in planned.actions if isinstance(a, UpdateTrial)] or [None]
    assert (trial and trial.status.outcome) is outcome
    assert len(actions(planned, StopTrial)) == (outcome is not None)
    if trial is not None:
        assert "window" in trial.status.message
        cut = loading().model_copy(update={"status": trial.status})
        at_night = T0.replace(hour=1) + timedelta(days=1)
        again = recorded(plan(snapshot(study, *baselines(), cut), at_night))
        assert (again.name, again.spec.number) == ("s-2-2", 2)


def test_a_study_wakes_when_its_window_opens_and_when_it_closes():
    study = make_study(windows=[STOPPING])
    asleep = plan(snapshot(study), T0.replace(hour=0, minute=30))
    assert asleep.wake_after_seconds == 1800
    assert "2026-03-02 01:00 UTC" in condition(asleep.status, "Reconciling").message
    there = {"s-2-1": seen(ServerState.READY, load=LoadState.RUNNING, since=T0)}
    awake = plan(snapshot(study, *baselines(), loading(), seen=there), T0.replace(hour=1, minute=59, second=55))
    assert awake.wake_after_seconds == 5


def test_a_trial_that_was_recorded_and_not_begun_does_not_begin_outside_a_window():
    planned = plan(snapshot(make_study(windows=[NIGHT]), make_trial(0)), T0)
    assert planned.actions[0].status.outcome is Outcome.CANCELLED
    next_night = T0.replace(hour=1) + timedelta(days=1)
    assert recorded(plan(snapshot(make_study(windows=[NIGHT]), make_trial(0, Outcome.CANCELLED)), next_night))


@pytest.mark.parametrize(("state", "starts"), [(ServerState.ABSENT, True), (ServerState.STARTING, False)])
def test_a_server_that_was_taken_away_is_asked_for_again_within_a_window_alone(state, starts):
    starting = make_trial(0, phase=TrialPhase.STARTING, started_at=T0)
    there = {"s-0-1": seen(state)}
    planned = plan(snapshot(make_study(windows=[NIGHT]), starting, seen=there), T0.replace(hour=1))
    assert bool(actions(planned, StartServer)) is starts
    planned = plan(snapshot(make_study(windows=[NIGHT]), starting, seen=there), T0)
    assert not actions(planned, StartServer)
    assert bool(actions(planned, StopTrial)) is starts, "what runs may finish"


@pytest.mark.parametrize(("minutes", "starts"), [(2, True), (1, False)])
def test_nothing_starts_that_the_window_would_stop(minutes, starts):
    """A trial takes a minute and a half."""
    study = make_study(windows=[STOPPING])
    both = [feasible(n, 100, finished_at=T0 + timedelta(seconds=90)) for n in (0, 1)]
    now = T0.replace(hour=2) - timedelta(minutes=minutes) + timedelta(days=1)
    planned = plan(snapshot(study, *both), now)
    assert bool(actions(planned, RecordTrial)) is starts
    if not starts:
        assert condition(planned.status, "Reconciling").reason == "WindowCloses"
        assert planned.wake_after_seconds == 60
        assert not is_stalled(planned.status)


def stopping(minutes, schedule="0 1 * * *"):
    return STOPPING | {"durationMinutes": minutes, "schedule": schedule}


@pytest.mark.parametrize("hour", [1, 12])
def test_a_window_that_is_too_short_for_any_trial_stalls_the_study(hour):
    study = make_study(windows=[stopping(1)])
    both = [feasible(n, 100, finished_at=T0 + timedelta(seconds=90)) for n in (0, 1)]
    planned = plan(snapshot(study, *both), T0.replace(hour=hour) + timedelta(days=1))
    assert is_stalled(planned.status)
    told = condition(planned.status, "Stalled")
    assert told.reason == "WindowsTooShort"
    assert "a trial takes about 90 seconds" in told.message
    assert "raise durationMinutes in spec.windows to 2 at least, or set onClose: Finish" in told.message


@pytest.mark.parametrize(
    ("minutes", "sweep", "starts"), [(3, [100], True), (3, [50, 100], False), (4, [50, 100], True)]
)
def test_no_trial_begins_in_a_window_that_is_shorter_than_its_load(minutes, sweep, starts):
    """20 s of warm-up and 90 s for each rate, and nothing is known of its start-up yet."""
    workload = {"warmupSeconds": 20, "durationSeconds": 90, "sweepPercent": sweep}
    planned = plan(snapshot(make_study(windows=[stopping(minutes)], workload=workload)), T0.replace(hour=1))
    assert bool(actions(planned, RecordTrial)) is starts
    assert is_stalled(planned.status) is not starts
    if not starts:
        assert "a trial's load alone takes 3 minutes" in condition(planned.status, "Stalled").message


@pytest.mark.parametrize(
    "windows",
    [
        [stopping(1), NIGHT | {"schedule": "0 3 * * *"}],
        [stopping(1), stopping(60, "0 3 * * *")],
        [stopping(1), stopping(1, "1 1 * * *")],
        [stopping(1, "* * * * *")],
    ],
)
def test_a_window_that_finishes_or_is_long_or_runs_into_another_is_not_too_short(windows):
    both = [feasible(n, 100, finished_at=T0 + timedelta(seconds=90)) for n in (0, 1)]
    planned = plan(snapshot(make_study(windows=windows), *both), T0)
    assert not is_stalled(planned.status)


def cut(number, attempt, minutes, **more):
    ended = {"finished_at": T0 + timedelta(minutes=minutes), "gpu_seconds": 60 * minutes}
    return make_trial(number, Outcome.CANCELLED, attempt=attempt, **ended | more)


def test_what_two_windows_have_cut_short_is_not_begun_again_in_a_third_of_that_length():
    study = make_study(windows=[stopping(60)])
    night = T0.replace(hour=1) + timedelta(days=3)
    assert recorded(plan(snapshot(study, cut(0, 1, 59)), night)).name == "s-0-2"
    planned = plan(snapshot(study, cut(0, 1, 59), cut(0, 2, 60)), night)
    assert not planned.actions
    told = condition(planned.status, "Stalled")
    assert told.reason == "WindowsTooShort"
    assert "2 attempts of s-0 were cut short after 59 minutes or more, and no window is that long" in told.message
    assert "to 65 at least" in told.message
    longer = make_study(windows=[stopping(65)])
    assert recorded(plan(snapshot(longer, cut(0, 1, 59), cut(0, 2, 60)), night)).name == "s-0-3"


def test_attempts_that_never_ran_or_came_late_in_their_window_say_nothing_of_its_length():
    study = make_study(windows=[stopping(60)])
    night = T0.replace(hour=1) + timedelta(days=3)
    assert recorded(plan(snapshot(study, cut(0, 1, 59, gpu_seconds=0), cut(0, 2, 59)), night))
    assert recorded(plan(snapshot(study, cut(0, 1, 5), cut(0, 2, 59)), night))


def test_a_start_that_takes_longer_than_each_window_is_tried_three_times_and_not_a_hundred():
    study = make_study(windows=[stopping(60)], trial={"startupTimeoutSeconds": 7200})
    world = World(study, now=T0.replace(hour=0, minute=10))
    for _ in range(12 * 80):
        world.step(60 if world.now.hour == 1 else 3000 if world.now.hour > 1 else 600)
        for name, server in world.servers.items():
            if server.state is ServerState.WAITING:
                world.servers[name] = Server(ServerState.STARTING, running_since=world.now)
    assert world.now > T0 + timedelta(days=7)
    assert condition(world.study.status, "Stalled").reason == "WindowsTooShort"
    assert is_stalled(world.study.status)
    assert {t.status.outcome for t in world.trials.values()} == {Outcome.CANCELLED}
    assert 2 <= len(world.trials) <= 3


def test_a_study_that_is_done_says_so_outside_its_windows_too():
    study = make_study(windows=[NIGHT], budget={"trials": 6})
    planned = plan(snapshot(study, *baselines(), feasible(2, 100)), T0)
    assert planned.status.phase is StudyPhase.COMPLETED


def test_a_schedule_that_cannot_be_followed_stalls_the_study():
    study = make_study(windows=[{"schedule": "0 0 31/2 2 *", "durationMinutes": 60}])
    planned = plan(snapshot(study), T0)
    assert condition(planned.status, "Stalled").reason == "WindowInvalid"
    assert "31/2" in condition(planned.status, "Stalled").message


def test_without_its_target_a_study_stalls_and_holds_no_gpu():
    there = {"s-2-1": seen(ServerState.READY)}
    planned = plan(snapshot(make_study(), *baselines(), loading(), target=GONE, seen=there), T0)
    assert actions(planned, StopTrial)
    assert planned.actions[0].status.outcome is Outcome.CANCELLED
    assert condition(planned.status, "Stalled").reason == "TargetNotFound"
    assert not planned.owes_production


@pytest.mark.parametrize("phase", [TrialPhase.PENDING, TrialPhase.STARTING, TrialPhase.LOADING])
def test_nothing_is_started_without_a_target(phase):
    started = T0 if phase is not TrialPhase.PENDING else None
    trial = make_trial(2, phase=phase, started_at=started)
    planned = plan(snapshot(make_study(), *baselines(), trial, target=GONE), T0)
    assert {type(a).__name__ for a in planned.actions} == {"UpdateTrial", "StopTrial"}


def test_stalled_ends_when_the_target_comes_back():
    world = World(make_study())
    world.step()
    world.target, found = GONE, world.target
    world.step()
    assert is_stalled(world.study.status)
    world.target = found
    world.step()
    assert not is_stalled(world.study.status)
    since = condition(world.study.status, "Stalled").last_transition_time
    assert since == T0 + timedelta(seconds=2)
    world.run()
    assert world.phase is StudyPhase.COMPLETED


def test_changed_arguments_of_production_stall_the_study_until_they_are_put_back():
    world = World(make_study())
    for _ in range(4):
        world.step()
        world.work()
    world.target = TargetState(("model", "--max-num-seqs=9"))
    world.step()
    told = condition(world.study.status, "Stalled")
    assert told.reason == "TargetChanged"
    assert "max_num_seqs from 2 to 9" in told.message
    assert not world.servers
    world.target = TargetState(PRODUCTION)
    world.run()
    assert world.phase is StudyPhase.COMPLETED


def test_a_changed_template_is_told_of():
    world = World(make_study())
    world.target = replace(world.target, template_hash="one")
    for _ in range(3):
        world.step()
        world.work()
    assert condition(world.study.status, "TemplateChanged") is None
    world.target = replace(world.target, template_hash="two")
    world.step()
    assert condition(world.study.status, "TemplateChanged").status.value == "True"


def test_a_finished_study_does_not_mind_a_target_that_goes():
    world = World(make_study())
    world.run()
    before = world.study.status
    world.target = GONE
    world.run()
    assert world.study.status == before


def test_a_search_space_that_production_makes_empty_stalls_with_the_spaces_own_words():
    target = TargetState(("model", "--max-num-seqs=x"))
    planned = plan(snapshot(make_study(), target=target), T0)
    assert condition(planned.status, "Stalled").reason == "ArgumentsNotUnderstood"
    short = TargetState(("model", "--max-model-len=10"))
    planned = plan(snapshot(make_study(), target=short), T0)
    assert condition(planned.status, "Stalled").reason == "SearchSpaceInvalid"


def test_a_record_that_makes_no_sense_stalls_rather_than_raises():
    odd = make_trial(2, parameters={"max_num_seqs": "many"})
    planned = plan(snapshot(make_study(), *baselines(), odd), T0)
    assert is_stalled(planned.status)


def test_unsuspending_without_a_target_is_no_longer_called_suspended():
    world = World(make_study())
    world.step()
    world.change(suspend=True)
    world.step()
    assert world.phase is StudyPhase.SUSPENDED
    world.change(suspend=False)
    world.target = GONE
    world.step()
    assert world.phase is StudyPhase.BASELINING
