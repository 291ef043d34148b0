"""Trial 0 is production, trial 1 vLLM's defaults, and nothing is searched before both are in."""

from sloguard.api.v1alpha1 import Outcome, Purpose, StudyPhase, TrialPhase
from sloguard.engine.actions import RecordTrial, StartServer
from sloguard.engine.plan import plan
from sloguard.engine.snapshot import Server, ServerState, TargetState
from tests.unit.engine.builders import (
    OOM,
    PRODUCTION,
    T0,
    World,
    actions,
    baselines,
    condition,
    feasible,
    make_study,
    make_trial,
    recorded,
    seen,
    snapshot,
)


def test_the_first_trial_is_production_with_the_parameters_of_its_arguments():
    planned = plan(snapshot(make_study()), T0)
    first = recorded(planned)
    assert first.name == "s-0-1"
    assert first.spec.purpose is Purpose.PRODUCTION
    assert first.spec.parameters == {"max_num_seqs": "2"}
    assert planned.status.phase is StudyPhase.BASELINING
    assert planned.wake_after_seconds == 0
    assert len(planned.actions) == 1, "nothing is started before its trial is recorded"


def test_settings_of_production_that_are_not_tuned_are_no_parameters():
    target = TargetState(("model", "--max-num-seqs=2", "--enforce-eager"))
    assert recorded(plan(snapshot(make_study(), target=target), T0)).spec.parameters == {"max_num_seqs": "2"}


def test_production_is_started_word_for_word():
    planned = plan(snapshot(make_study(), make_trial(0)), T0)
    (start,) = actions(planned, StartServer)
    assert start.arguments == PRODUCTION
    assert not actions(planned, RecordTrial)


def test_the_second_trial_is_production_without_the_tuned_settings():
    planned = plan(snapshot(make_study(), feasible(0, 100)), T0)
    second = recorded(planned)
    assert (second.name, second.spec.purpose, second.spec.parameters) == ("s-1-1", Purpose.DEFAULT, {})
    planned = plan(snapshot(make_study(), feasible(0, 100), make_trial(1)), T0)
    (start,) = actions(planned, StartServer)
    assert start.arguments == ("model", "--port=8000")


def test_the_second_is_not_recorded_where_the_first_has_used_up_the_minutes():
    study = make_study(budget={"gpuMinutes": 1})
    planned = plan(snapshot(study, feasible(0, 100, gpu_seconds=60)), T0)
    assert not actions(planned, RecordTrial), "it would be ended as soon as it is begun"
    assert planned.status.phase is StudyPhase.FAILED
    assert condition(planned.status, "Ready").reason == "BaselineMissing"
    assert "vLLM's defaults could not be measured" in condition(planned.status, "Ready").message
    assert condition(planned.status, "SearchEnded").reason == "BaselineMissing"


def test_nothing_is_recorded_after_a_baseline_that_had_all_minutes():
    """From the beginning, with a server that is still at work when they are over."""
    world = World(make_study(budget={"gpuMinutes": 1}), lambda _: None)
    world.run()
    assert [t.name for t in world.latest()] == ["s-0-1"]
    assert world.phase is StudyPhase.FAILED


def test_no_search_while_a_baseline_is_under_way_even_with_room_for_it():
    study = make_study(trial={"parallelism": 4})
    loading = make_trial(1, phase=TrialPhase.LOADING, started_at=T0, ready_at=T0, load_started_at=T0)
    planned = plan(snapshot(study, feasible(0, 100), loading, seen={"s-1-1": seen(ServerState.READY)}), T0)
    assert not actions(planned, RecordTrial)
    assert planned.status.phase is StudyPhase.BASELINING


def test_no_search_while_a_baseline_waits_to_be_tried_again():
    failed = make_trial(1, Outcome.INFRASTRUCTURE, finished_at=T0)
    planned = plan(snapshot(make_study(), feasible(0, 100), failed), T0)
    assert not planned.actions


def test_the_search_begins_with_both_in():
    planned = plan(snapshot(make_study(), *baselines()), T0)
    assert recorded(planned).spec.purpose is Purpose.SEARCH
    assert planned.status.phase is StudyPhase.SEARCHING


def test_a_baseline_whose_record_was_deleted_is_made_again():
    assert recorded(plan(snapshot(make_study(), feasible(1, 50), feasible(2, 80)), T0)).name == "s-0-1"


def test_defaults_that_crash_are_a_normal_result():
    world = World(
        make_study(), lambda t: OOM if t.spec.purpose is Purpose.DEFAULT else float(t.spec.parameters["max_num_seqs"])
    )
    world.run()
    assert world.phase is StudyPhase.COMPLETED
    assert world.study.status.recommendation.trial == "s-3-1"
    assert "s-1-1 (Default) crashed" in world.study.status.recommendation.reason


def test_production_that_crashes_counts_as_serving_nothing_and_the_recommendation_says_so():
    world = World(
        make_study(), lambda t: OOM if t.spec.number == 0 else float(t.spec.parameters.get("max_num_seqs", 32))
    )
    world.run()
    recommendation = world.study.status.recommendation
    assert world.phase is StudyPhase.COMPLETED
    assert recommendation is not None
    assert "s-0-1 (Production) crashed when it was measured: CUDAOutOfMemory" in recommendation.reason


def test_a_study_in_which_everything_crashes_ends_and_keeps_production():
    world = World(make_study(), lambda _: OOM)
    world.run()
    condition = next(c for c in world.study.status.conditions if c.type == "Ready")
    assert (world.phase, condition.reason) == (StudyPhase.COMPLETED, "NoImprovement")
    assert world.study.status.baseline.objective_value == 0


def test_production_that_runs_the_defaults_is_not_beaten_by_their_noise():
    world = World(make_study(), lambda t: {0: 50.0, 1: 90.0}.get(t.spec.number, 10.0))
    world.target = TargetState(("model", "--port=8000"))
    world.run()
    assert world.study.status.recommendation is None


def test_gpus_are_counted_as_the_candidate_holds_them():
    starting = make_trial(0, phase=TrialPhase.STARTING, started_at=T0)
    ended = seen(ServerState.ENDED, since=T0, log="boom", ended=True, exit_code=1)
    server = Server(ended.server.state, ended.server.evidence, T0, gpus=4)
    observed = {"s-0-1": type(ended)(server, ended.load, leftovers=True)}
    planned = plan(snapshot(make_study(), starting, seen=observed), T0.replace(second=10))
    assert planned.actions[0].status.gpu_seconds == 40
