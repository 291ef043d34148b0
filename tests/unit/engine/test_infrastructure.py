"""Faults of infrastructure: the same trial again, a little later, at no cost, until a person has to look."""

from datetime import timedelta

import pytest

from sloguard.api.v1alpha1 import Outcome, Purpose, StudyPhase
from sloguard.domain.evidence import Evidence
from sloguard.engine.actions import RecordTrial
from sloguard.engine.candidates import history
from sloguard.engine.next_trial import MOST_ATTEMPTS
from sloguard.engine.plan import plan
from tests.unit.engine.builders import (
    PULL,
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
    snapshot,
)

STUDY = make_study()


def failed(number, attempt=1, after=0, **more):
    finished = T0 + timedelta(seconds=after)
    return make_trial(number, Outcome.INFRASTRUCTURE, attempt=attempt, finished_at=finished, **more)


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def test_it_is_tried_again_under_the_same_number_after_a_pause():
    trials = (*baselines(), failed(2, message="ImagePull: no such image. Really."))
    waiting = plan(snapshot(STUDY, *trials), at(9))
    assert not waiting.actions
    assert condition(waiting.status, "Reconciling").reason == "BackingOff"
    assert waiting.wake_after_seconds == 1
    again = recorded(plan(snapshot(STUDY, *trials), at(10)))
    assert again.name == "s-2-2"
    assert (again.spec.number, again.spec.attempt, again.spec.purpose) == (2, 2, Purpose.SEARCH)
    assert again.spec.parameters == trials[2].spec.parameters
    assert again.spec.reason == "Attempt 2, after ImagePull: no such image. Really.. why."


@pytest.mark.parametrize(("attempt", "pause"), [(1, 10), (2, 20), (3, 40), (9, 300), (60, 300)])
def test_the_pause_doubles_up_to_a_bound(attempt, pause):
    study = make_study(trial={"infrastructureRetries": 20})
    trials = (*baselines(), failed(2, attempt))
    assert not actions(plan(snapshot(study, *trials), at(pause - 1)), RecordTrial)
    assert recorded(plan(snapshot(study, *trials), at(pause))).spec.attempt == attempt + 1


def test_the_reason_does_not_grow_with_the_attempts():
    trials = (*baselines(), failed(2, message="one"), failed(2, 2, message="two"))
    assert recorded(plan(snapshot(STUDY, *trials), at(20))).spec.reason == "Attempt 3, after two. why."


def test_it_costs_no_trial_and_is_counted_for_itself():
    trials = (*baselines(), failed(2), failed(2, 2), feasible(2, 70, attempt=3))
    status = plan(snapshot(STUDY, *trials), at(0)).status
    assert (status.trials.total, status.trials.infrastructure, status.trials.feasible) == (4, 2, 3), "and a new one"


def test_the_optimizer_never_hears_of_it():
    cancelled = make_trial(3, Outcome.CANCELLED)
    assert [r.number for r in history(STUDY, [*baselines(), failed(2), cancelled, make_trial(4)], 100)] == [0, 1]


def test_too_many_faults_stall_the_study_with_a_remedy_and_raising_the_bound_lets_it_go_on():
    world = World(STUDY, lambda t: PULL if t.spec.number == 2 and t.spec.attempt < 5 else 10.0)
    world.run()
    status = world.study.status
    assert is_stalled(status)
    told = condition(status, "Stalled")
    assert told.reason == "ImagePullFailed"
    assert "trial 2 failed 3 times" in told.message
    assert "ImagePull" in told.message
    assert "imagePullSecrets" in told.message
    assert "raise spec.trial.infrastructureRetries (now 2) to at least 3" in told.message
    assert status.phase is StudyPhase.SEARCHING
    assert status.finished_at is None
    world.change(trial={"infrastructure_retries": 5})
    world.run()
    assert world.phase is StudyPhase.COMPLETED
    assert not is_stalled(world.study.status)
    assert world.study.status.trials.infrastructure == 4
    assert {t.spec.number for t in world.trials.values()} == set(range(5))


def test_a_fault_while_confirming_is_made_again_and_does_not_count_as_a_repeat():
    study = make_study(budget={"trials": 6})
    confirm = failed(3, purpose=Purpose.CONFIRM, parameters={"max_num_seqs": "12"})
    trials = (*baselines(), feasible(2, 200), confirm)
    waiting = plan(snapshot(study, *trials), at(1))
    assert waiting.status.recommendation is None
    assert recorded(plan(snapshot(study, *trials), at(10))).name == "s-3-2"


def test_a_trial_that_is_cancelled_without_end_stops_somewhere():
    trials = (*baselines(), make_trial(2, Outcome.CANCELLED, attempt=MOST_ATTEMPTS))
    planned = plan(snapshot(STUDY, *trials), at(99))
    assert condition(planned.status, "Stalled").reason == "TooManyAttempts"
    assert not planned.actions


def test_of_several_the_one_whose_pause_is_over_goes_first():
    study = make_study(trial={"parallelism": 2})
    trials = (*baselines(), failed(2, after=100), failed(3, after=0))
    assert recorded(plan(snapshot(study, *trials), at(101))).name == "s-3-2"


def test_a_crash_is_not_tried_again():
    died = Evidence(ended=True, exit_code=0)
    world = World(STUDY, lambda t: died if t.spec.purpose is Purpose.SEARCH else 10.0)
    world.run()
    assert {t.spec.attempt for t in world.trials.values()} == {1}
