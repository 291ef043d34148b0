"""Trials, GPU-minutes and wall-clock minutes; what is kept for confirmations."""

from datetime import timedelta

import pytest

from sloguard.api.v1alpha1 import Outcome, Purpose, StudyPhase, TrialPhase
from sloguard.engine import budget
from sloguard.engine.actions import StopTrial
from sloguard.engine.plan import plan
from sloguard.engine.snapshot import LoadState, ServerState
from tests.unit.engine.builders import (
    T0,
    World,
    baselines,
    condition,
    feasible,
    make_study,
    make_trial,
    recorded,
    result,
    seen,
    snapshot,
)

MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


def with_end(trial, end):
    return trial.model_copy(update={"status": trial.status.model_copy(update={"finished_at": end})})


def used(*trials, now=T0, observed=None):
    return budget.spent(snapshot(make_study(), seen=observed), trials, now)


def test_what_was_left_behind_is_used_but_is_not_what_a_trial_is_expected_to_take():
    spent = used(*baselines(), feasible(2, 10, left_behind_gpu_seconds=500))
    assert (spent.gpu_seconds, spent.a_trial_gpu_seconds) == (590, 30)


def test_a_server_left_behind_counts_before_the_next_trial_begins():
    study = make_study(budget={"gpuMinutes": 10})
    left = feasible(2, 100)
    later = T0 + timedelta(minutes=9)
    assert recorded(plan(snapshot(study, *baselines(), left), later))
    planned = plan(snapshot(study, *baselines(), left, seen={"s-2-1": seen(ServerState.READY)}), later)
    assert [type(a).__name__ for a in planned.actions] == ["UpdateTrial", "StopTrial"]
    assert planned.status.gpu_minutes == 10


def test_attempts_cost_gpu_time_but_no_trial():
    spent = used(*baselines(), make_trial(2, Outcome.INFRASTRUCTURE), feasible(2, 10, attempt=2))
    assert (spent.trials, spent.gpu_seconds) == (3, 120)


def test_what_is_under_way_counts_as_it_is_and_as_it_will_probably_be():
    trial = make_trial(2, phase=TrialPhase.STARTING, started_at=T0)
    spent = used(*baselines(), trial, observed={trial.name: seen(ServerState.STARTING, since=T0)}, now=T0 + MINUTE / 6)
    assert (spent.gpu_seconds, spent.committed_gpu_seconds) == (70, 90)
    assert spent.a_trial_gpu_seconds == 30


def test_before_anything_was_measured_crashes_tell_what_a_trial_takes():
    assert used(make_trial(0, Outcome.CRASHED, gpu_seconds=50)).a_trial_gpu_seconds == 50
    assert used(make_trial(0, Outcome.INFRASTRUCTURE, gpu_seconds=50)).a_trial_gpu_seconds == 0


def test_wall_clock_passes_while_a_trial_is_under_way_and_only_then():
    def ran(number, start, end):
        return feasible(number, 10, started_at=T0 + start * MINUTE, finished_at=T0 + end * MINUTE)

    assert used(ran(0, 0, 10), ran(1, 5, 15), ran(2, 7, 9), ran(3, 100, 105)).wall_clock_seconds == 20 * 60
    loading = make_trial(2, phase=TrialPhase.LOADING, started_at=T0)
    assert used(loading, make_trial(3), now=T0 + 3 * MINUTE).wall_clock_seconds == 3 * 60


def test_the_search_leaves_room_for_the_confirmations():
    study = make_study(budget={"trials": 8}, promotion={"confirmations": 3})
    planned = plan(snapshot(study, *baselines(), feasible(2, 200)), T0)
    assert recorded(planned).spec.is_repeat
    assert planned.status.phase is StudyPhase.CONFIRMING


@pytest.mark.parametrize(
    ("trials", "confirmations", "repeats"), [(30, 3, 3), (12, 2, 1), (15, 2, 2), (8, 3, 1), (500, 10, 10), (9, 0, 0)]
)
def test_baselines_are_repeated_within_two_fifths_of_the_trials(trials, confirmations, repeats):
    study = make_study(budget={"trials": trials}, promotion={"confirmations": confirmations})
    assert budget.baseline_repeats(study.spec) == repeats


def test_the_trials_of_the_budget_are_never_exceeded():
    world = World(
        make_study(budget={"trials": 7}, promotion={"confirmations": 2}),
        lambda t: 100.0 if t.spec.purpose in {Purpose.SEARCH, Purpose.CONFIRM} else 10.0,
    )
    world.run()
    assert len(world.trials) == 7
    assert sum(t.spec.is_repeat for t in world.latest()) == 4


@pytest.mark.parametrize(("minutes", "repeat"), [(5, False), (3, True), (1, None)])
def test_gpu_minutes_end_the_search_first_and_then_the_confirmations(minutes, repeat):
    """Three trials of half a minute were made, five are kept for repeats; another of the search is the ninth."""
    study = make_study(budget={"trials": 50, "gpuMinutes": minutes})
    planned = plan(snapshot(study, *baselines(), feasible(2, 200)), T0)
    if repeat is None:
        assert planned.status.phase is StudyPhase.COMPLETED
        assert "s-2-1 could not be confirmed" in condition(planned.status, "Ready").message
        assert "GPU-minutes" in condition(planned.status, "Ready").message
    else:
        assert recorded(planned).spec.is_repeat is repeat


def test_trials_under_way_count_before_another_is_started():
    study = make_study(budget={"trials": 50, "gpuMinutes": 3}, trial={"parallelism": 4})
    pending = [make_trial(n) for n in (3, 4)]
    planned = plan(snapshot(study, *baselines(), feasible(2, 10), *pending), T0)
    assert not [a for a in planned.actions if type(a).__name__ == "RecordTrial"]


@pytest.mark.parametrize("budget_", [{"gpuMinutes": 3}, {"wallClockMinutes": 2}])
def test_a_trial_under_way_is_ended_when_the_budget_is(budget_):
    """Baselines took two GPU-minutes in one by the clock; one more is left."""
    both = [t.model_copy(update={"status": t.status.model_copy(update={"gpu_seconds": 60})}) for t in baselines()]
    both = [with_end(t, T0 + MINUTE) for t in both]
    start = T0 + 10 * MINUTE
    trial = make_trial(2, phase=TrialPhase.LOADING, started_at=start, ready_at=start, load_started_at=start)
    study = make_study(budget=budget_)
    runs = {trial.name: seen(ServerState.READY, since=start, load=LoadState.RUNNING)}
    end = start + MINUTE
    before = plan(snapshot(study, *both, trial, seen=runs), end - timedelta(seconds=4))
    assert not before.actions
    assert before.wake_after_seconds == 4
    planned = plan(snapshot(study, *both, trial, seen=runs), end)
    update, stop = planned.actions
    assert update.status.outcome is Outcome.CANCELLED
    assert "minutes" in update.status.message
    assert isinstance(stop, StopTrial)
    assert planned.status.phase is StudyPhase.COMPLETED
    measured = {trial.name: seen(ServerState.READY, since=start, load=LoadState.DONE, loaded=result(90))}
    late = plan(snapshot(study, *both, trial, seen=measured), end)
    assert late.actions[0].status.outcome is Outcome.FEASIBLE, "what was measured counts"


def test_a_first_trial_that_uses_up_the_budget_is_not_made_again():
    """Nothing is known yet of what a trial takes."""
    study = make_study(budget={"gpuMinutes": 1})
    trial = make_trial(0, phase=TrialPhase.STARTING, started_at=T0)
    runs = {trial.name: seen(ServerState.STARTING, since=T0)}
    planned = plan(snapshot(study, trial, seen=runs), T0 + MINUTE)
    ended = trial.model_copy(update={"status": planned.actions[0].status})
    assert ended.status.outcome is Outcome.CANCELLED
    after = plan(snapshot(study, ended), T0 + MINUTE)
    assert not after.actions
    assert after.status.phase is StudyPhase.FAILED


def test_no_trial_starts_that_would_probably_not_end_within_the_wall_clock_minutes():
    study = make_study(budget={"trials": 50, "wallClockMinutes": 2}, promotion={"confirmations": 0})
    both = [with_end(feasible(n, 10, started_at=T0 + n * 50 * SECOND), T0 + (n + 1) * 50 * SECOND) for n in (0, 1)]
    planned = plan(snapshot(study, *both), T0 + 9 * MINUTE)
    assert planned.status.phase is StudyPhase.COMPLETED
    told = condition(planned.status, "SearchEnded")
    assert told.message == "trials were under way for 2 of 2 minutes, too little is left for a trial"


def test_near_the_end_of_the_wall_clock_minutes_repeats_come_before_the_search():
    """Three trials of half a minute, one after the other; what is left is for one round of repeats."""
    study = make_study(budget={"trials": 50, "wallClockMinutes": 3}, promotion={"confirmations": 2})
    trials = [
        with_end(feasible(n, figure, started_at=T0 + n * 30 * SECOND), T0 + (n + 1) * 30 * SECOND)
        for n, figure in enumerate([100, 50, 200])
    ]
    assert recorded(plan(snapshot(study, *trials), T0 + 9 * MINUTE)).spec.is_repeat


def test_wall_clock_minutes_end_the_search():
    study = make_study(budget={"trials": 50, "wallClockMinutes": 10})
    late = feasible(2, 10, finished_at=T0 + 10 * MINUTE)
    planned = plan(snapshot(study, *baselines(), late), T0 + 100 * MINUTE)
    assert planned.status.phase is StudyPhase.COMPLETED


def test_a_trial_that_was_not_measured_is_given_up_when_the_minutes_are_over():
    study = make_study(budget={"trials": 50, "gpuMinutes": 1})
    planned = plan(snapshot(study, *baselines(), make_trial(2, Outcome.INFRASTRUCTURE)), T0 + 9 * MINUTE)
    assert planned.status.phase is StudyPhase.COMPLETED


def test_a_baseline_that_does_not_fit_fails_the_study():
    study = make_study(budget={"trials": 50, "gpuMinutes": 1})
    failed = make_trial(1, Outcome.INFRASTRUCTURE, gpu_seconds=40)
    planned = plan(snapshot(study, feasible(0, 10), failed), T0 + 9 * MINUTE)
    assert planned.status.phase is StudyPhase.FAILED
    assert condition(planned.status, "Ready").reason == "BaselineMissing"
    assert "s-1-1" in condition(planned.status, "Ready").message


def test_raising_the_budget_of_a_study_that_has_ended_starts_nothing():
    world = World(make_study())
    world.run()
    made = len(world.trials)
    world.change(budget={"trials": 50})
    world.run()
    assert len(world.trials) == made
    assert world.phase is StudyPhase.COMPLETED


def test_raising_the_budget_of_a_study_under_way_counts():
    world = World(make_study(budget={"trials": 6}))
    world.step()
    world.change(budget={"trials": 9})
    world.run()
    assert len(world.trials) == 6, "nothing is better, so what was kept for repeats is left over"
