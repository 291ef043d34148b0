"""One trial's way to its outcome: what teaches, what is tried again, and what is waited for."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sloguard.api.v1alpha1 import (
    CrashClass,
    Fault,
    Margins,
    Objective,
    Outcome,
    ServerFaultKind,
    ServerView,
    TrialPhase,
    Violations,
)
from sloguard.domain.device_memory import DeviceMemory
from sloguard.domain.evidence import Activity, Evidence
from sloguard.domain.score import result_of
from sloguard.engine.actions import StartLoad, StartServer, StopTrial
from sloguard.engine.progress import FAULT_GRACE, advance, cancel, load_limit_seconds
from sloguard.engine.snapshot import Load, LoadState, Observation, Server, ServerState
from tests.unit.engine.builders import T0, make_study, make_trial, rate, result, seen

SPEC = make_study().spec
READY, ENDED = ServerState.READY, ServerState.ENDED


def at(seconds):
    return T0 + timedelta(seconds=seconds)


def starting(since=0):
    return make_trial(2, phase=TrialPhase.STARTING, started_at=at(since))


def loading():
    return make_trial(2, phase=TrialPhase.LOADING, started_at=T0, ready_at=at(20), load_started_at=at(20))


def step(trial, observation, seconds):
    return advance(trial, observation, SPEC, ("a",), at(seconds))


def kinds(a_step):
    return [type(action) for action in a_step.actions]


def test_a_recorded_trial_is_started_with_the_arguments_that_it_keeps():
    moved = advance(make_trial(2), Observation(), SPEC, ("model", "--x"), at(5))
    assert moved.status.phase is TrialPhase.STARTING
    assert moved.status.arguments == ["model", "--x"]
    assert moved.actions == (StartServer(make_trial(2), ("model", "--x")),)


def test_a_server_that_was_never_made_is_asked_for_again_with_new_patience():
    moved = step(starting(), Observation(), 5000)
    assert kinds(moved) == [StartServer]
    assert moved.status.started_at == at(5000)
    assert moved.actions[0].arguments == ("model", "--max-num-seqs=12", "--port=8000")


def test_a_ready_server_is_loaded():
    moved = step(starting(), seen(READY), 20)
    assert kinds(moved) == [StartLoad]
    assert (moved.status.ready_at, moved.status.load_started_at) == (at(20), at(20))


def test_what_the_gpus_had_left_joins_the_margins_at_the_end_whatever_the_end():
    margins = Margins(available_kv_cache_bytes=6_000, model_weights_bytes=14_000)
    trial = make_trial(
        2, phase=TrialPhase.LOADING, started_at=T0, ready_at=at(20), load_started_at=at(20), margins=margins
    )
    server = Server(READY, running_since=T0, memory=DeviceMemory(free_bytes=500, used_bytes=20_500))
    under_load = replace(seen(READY, load=LoadState.RUNNING), server=server)
    assert step(trial, under_load, 25).status.margins == margins, "it may still be less"
    measured = step(trial, replace(under_load, load=Load(LoadState.DONE, result(rate()))), 40).status
    died = step(trial, replace(under_load, server=replace(server, state=ENDED, evidence=OUT_OF_MEMORY)), 30).status
    assert (measured.outcome, died.outcome) == (Outcome.FEASIBLE, Outcome.CRASHED)
    for status in (measured, died):
        assert status.margins.least_free_device_memory_bytes == 500
        assert status.margins.device_memory_bytes == 21_000
        assert status.margins.available_kv_cache_bytes == 6_000


OUT_OF_MEMORY = Evidence(
    log="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB.", ended=True, exit_code=0
)


def test_a_start_within_its_time_is_waited_for():
    assert step(starting(), seen(ServerState.STARTING), 100 - 1) == advance(
        starting(), seen(ServerState.STARTING), SPEC, (), at(50)
    )


def test_a_start_over_its_time_is_the_configurations_fault():
    moved = step(starting(), seen(ServerState.STARTING), 100)
    assert moved.status.outcome is Outcome.CRASHED
    assert moved.status.crash.class_ is CrashClass.STARTUP_TIMEOUT
    assert "100 s" in moved.status.message
    assert kinds(moved) == [StopTrial]
    assert moved.status.gpu_seconds == 100


def test_the_time_to_start_runs_from_the_container_not_from_the_wait_for_a_node():
    moved = step(starting(), seen(ServerState.STARTING, since=at(55)), 150)
    assert moved.status.outcome is None


def test_a_crash_at_the_start_teaches():
    moved = step(starting(), seen(ENDED, log="ValueError: No available memory for the cache blocks", ended=True), 9)
    assert moved.status.outcome is Outcome.CRASHED
    assert moved.status.crash.class_ is CrashClass.NO_KV_CACHE_ROOM


def test_an_image_that_cannot_be_pulled_is_waited_for_and_then_infrastructures_fault():
    pull = seen(ServerState.WAITING, since=None, waiting_reason="ImagePullBackOff")
    assert step(starting(), pull, 60).status.outcome is None
    moved = step(starting(), pull, 61)
    assert moved.status.outcome is Outcome.INFRASTRUCTURE
    assert moved.status.crash.class_ is CrashClass.IMAGE_PULL
    assert moved.status.gpu_seconds == 0


def test_a_pod_that_never_runs_without_a_reason_is_infrastructures_fault():
    moved = step(starting(), seen(ServerState.WAITING, since=None), 61)
    assert (moved.status.outcome, moved.status.crash.class_) == (Outcome.INFRASTRUCTURE, CrashClass.UNSCHEDULABLE)


def test_a_container_that_was_rejected_outright_is_not_waited_for():
    evicted = seen(ENDED, since=None, pod_phase="Failed", pod_reason="Evicted", pod_message="disk pressure")
    assert step(starting(), evicted, 5).status.outcome is Outcome.INFRASTRUCTURE


def test_a_load_that_was_never_made_is_made_with_time_of_its_own():
    moved = step(loading(), seen(READY), 5000)
    assert kinds(moved) == [StartLoad]
    assert moved.status.load_started_at == at(5000)


def test_a_load_to_its_end_is_a_measurement():
    moved = step(loading(), seen(READY, load=LoadState.DONE, loaded=result(123.4)), 40)
    assert moved.status.outcome is Outcome.FEASIBLE
    assert moved.status.goodput_tokens_per_second == 123
    assert (moved.status.gpu_seconds, kinds(moved)) == (40, [StopTrial])


def test_a_hopeless_rate_says_so_and_counts_what_it_saved():
    lost = rate(9, met=False).model_copy(update={"good_tokens_at_most": 200, "violations": Violations(spared=1)})
    ended_early = result(lost).model_copy(update={"saved_seconds": 70})
    trial = loading()
    trial = trial.model_copy(update={"status": trial.status.model_copy(update={"gpus": 2})})
    moved = step(trial, seen(READY, load=LoadState.DONE, loaded=ended_early), 40)
    assert "ended early at 100 %" in moved.status.message
    assert moved.status.saved_gpu_seconds == 140
    heard = result_of(trial.model_copy(update={"status": moved.status}), make_study().spec.slos, Objective.GOODPUT, 100)
    assert heard.censored
    assert heard.outcome is Outcome.INFEASIBLE


@pytest.mark.parametrize(
    ("rates", "said"),
    [([rate(9, met=False)], "TTFT p99"), ([rate(9, percent=50)], "not reached"), ([], "not reached")],
)
def test_a_broken_slo_or_an_early_end_of_the_sweep_is_infeasible(rates, said):
    moved = step(loading(), seen(READY, load=LoadState.DONE, loaded=result(*rates)), 40)
    assert moved.status.outcome is Outcome.INFEASIBLE
    assert said in moved.status.message


def test_a_closed_loop_is_told_as_one():
    users = rate(100).model_copy(update={"users": 32})
    moved = step(loading(), seen(READY, load=LoadState.DONE, loaded=result(users)), 40)
    assert moved.status.message == "all SLOs met at 100 % (closed loop of 32 users)"
    assert moved.status.measurements[0].users == 32
    assert moved.status.capacity is None


def test_a_death_is_told_with_what_the_server_had_to_do():
    activity = Activity(requests_running=250, requests_waiting=80, kv_cache_usage_percent=99.7)
    evidence = Evidence(became_ready=True, ended=True, exit_code=0, activity=activity)
    moved = step(loading(), Observation(Server(ENDED, evidence, running_since=T0)), 60)
    assert moved.status.message == (
        "DiedUnderLoad: exit code 0 after it was ready (250 requests running, 80 waiting, KV cache 100 % full)"
    )


def test_death_under_load_is_a_crash_even_with_exit_0():
    died = seen(ENDED, load=LoadState.RUNNING, ended=True, exit_code=0, container_reason="Completed")
    moved = step(loading(), died, 30)
    assert (moved.status.outcome, moved.status.crash.class_) == (Outcome.CRASHED, CrashClass.DIED_UNDER_LOAD)


def test_a_fault_that_the_load_saw_waits_a_little_for_the_nodes_account():
    fault = result(rate(50, percent=50), fault_at=at(30))
    alone = seen(READY, load=LoadState.DONE, loaded=fault)
    assert step(loading(), alone, 30 + FAULT_GRACE.seconds - 1).status.outcome is None
    moved = step(loading(), alone, 30 + FAULT_GRACE.seconds)
    assert moved.status.outcome is Outcome.CRASHED
    assert "connection refused" in moved.status.message
    assert len(moved.status.measurements) == 1
    told = seen(ENDED, load=LoadState.DONE, loaded=fault, ended=True, exit_code=137, container_reason="OOMKilled")
    assert step(loading(), told, 31).status.crash.class_ is CrashClass.HOST_OUT_OF_MEMORY


def test_a_hang_that_the_load_saw_ends_the_trial_at_once():
    """Its tokens stopped half a minute ago: the node has had its time to say more."""
    stalled = {"kind": ServerFaultKind.GENERATION_STALLED, "detail": "no token has been generated for 30 s"}
    fault = result(rate(50, percent=50), fault_at=at(30))
    fault = fault.model_copy(update={"fault": fault.fault.model_copy(update=stalled)})
    moved = step(loading(), seen(READY, load=LoadState.DONE, loaded=fault), 60)
    assert (moved.status.outcome, moved.status.crash.class_) == (Outcome.CRASHED, CrashClass.HANG)
    assert moved.status.crash.fault is Fault.CONFIGURATION


def test_an_eviction_under_load_is_not_the_configurations_fault():
    evicted = seen(ENDED, load=LoadState.RUNNING, ended=True, exit_code=137, pod_reason="Evicted", pod_phase="Failed")
    assert step(loading(), evicted, 30).status.outcome is Outcome.INFRASTRUCTURE


def test_a_pod_on_its_way_out_is_waited_for_until_it_tells_why():
    leaving = Observation(Server(ENDED, Evidence(), T0), Load(LoadState.RUNNING))
    assert step(loading(), leaving, 30).status.outcome is None
    assert step(loading(), leaving, 30).actions == ()


@pytest.mark.parametrize(
    "server", [Server(), Server(ServerState.WAITING), Server(ServerState.STARTING, running_since=at(60))]
)
@pytest.mark.parametrize("load", [Load(LoadState.RUNNING), Load(LoadState.DONE, result(fault_at=at(25)))])
def test_a_server_taken_away_under_load_was_not_measured(server, load):
    moved = step(loading(), Observation(server, load), 90)
    assert moved.status.outcome is Outcome.CANCELLED
    assert kinds(moved) == [StopTrial]


def test_a_result_that_is_there_counts_even_if_the_server_is_gone_since():
    moved = step(loading(), Observation(Server(), Load(LoadState.DONE, result(100))), 90)
    assert moved.status.outcome is Outcome.FEASIBLE
    assert moved.status.gpu_seconds == 20, "only the start is known for certain"


@pytest.mark.parametrize(
    "load",
    [
        Load(LoadState.FAILED, detail="exit code 137"),
        Load(LoadState.DONE),
        Load(LoadState.DONE, result(100, invalid="late")),
    ],
)
def test_a_load_generator_that_fails_says_nothing_about_the_configuration(load):
    moved = step(loading(), Observation(Server(READY, running_since=T0), load), 40)
    assert moved.status.outcome is Outcome.INFRASTRUCTURE
    assert moved.status.crash.class_ is CrashClass.LOAD_GENERATOR


def test_a_load_that_never_ends_is_the_generators_fault():
    running = seen(READY, load=LoadState.RUNNING)
    limit = 20 + load_limit_seconds(make_trial(2).spec, SPEC)
    assert step(loading(), running, limit).status.outcome is None
    assert step(loading(), running, limit + 1).status.crash.class_ is CrashClass.LOAD_GENERATOR


def test_a_finished_trial_only_loses_its_leftovers():
    done = make_trial(2, Outcome.FEASIBLE, [100])
    assert step(done, Observation(), 99).actions == ()
    swept = step(done, seen(READY), 31)
    assert (swept.status, kinds(swept)) == (done.status, [StopTrial])


def test_a_server_that_an_operator_left_behind_when_it_died_is_removed_and_what_it_held_counts_once():
    """Recorded as finished at 30 s, and found at 99 s; its removal may be cut short as well."""
    done = make_trial(2, Outcome.FEASIBLE, [100])
    there = seen(READY)
    two_gpus = replace(there, server=replace(there.server, gpus=2))
    swept = step(done, two_gpus, 99)
    assert kinds(swept) == [StopTrial]
    assert (swept.status.gpu_seconds, swept.status.left_behind_gpu_seconds) == (30, 138)
    again = step(done.model_copy(update={"status": swept.status}), two_gpus, 109)
    assert again.status.left_behind_gpu_seconds == 158
    waiting = Observation(Server(ServerState.WAITING), leftovers=True)
    assert step(done, waiting, 99).status == done.status, "it held none"


def test_a_cancelled_trial_pays_for_what_it_held():
    moved = cancel(loading(), seen(READY), "suspended", at(50))
    assert (moved.status.outcome, moved.status.gpu_seconds) == (Outcome.CANCELLED, 50)


WORKLOAD = {"arrival": {"pattern": "Live"}, "promptTokens": None, "outputTokens": None}
LIVE = make_study(measurement="Prometheus", workload=WORKLOAD).spec


def watched(good, most, *, met):
    seen_by_server = ServerView(requests=100, good_low=good, good_high=most)
    return rate(met=met).model_copy(update={"lower_bounds": True, "good": good, "server_view": seen_by_server})


@pytest.mark.parametrize(
    ("met", "outcome", "says"), [(True, Outcome.FEASIBLE, "all SLOs met"), (False, Outcome.INFEASIBLE, "broken")]
)
def test_live_traffic_says_what_it_leaves_open(met, outcome, says):
    told = seen(READY, load=LoadState.DONE, loaded=result(watched(80, 95, met=met)))
    status = advance(loading(), told, LIVE, ("a",), at(60)).status
    assert status.outcome is outcome
    assert status.message.startswith(says)
    assert status.message.endswith("of live traffic (80 to 95 of 200 requests good)")
    assert status.capacity is None, "nobody knows what rate was offered"
    assert status.conditions == [], "there is no client that could disagree"


@pytest.mark.parametrize(
    "what",
    [
        seen(READY, load=LoadState.DONE, loaded=result(invalid="3 requests ended. Service s-live expects the traffic")),
        seen(READY, load=LoadState.FAILED, detail="Prometheus gave no answer"),
    ],
)
def test_live_traffic_that_was_not_measured_is_not_the_candidates_fault(what):
    status = advance(loading(), what, LIVE, ("a",), at(60)).status
    assert (status.outcome, status.crash.class_) == (Outcome.INFRASTRUCTURE, CrashClass.LIVE_TRAFFIC)
    assert status.message.startswith("LiveTraffic: ")


def test_live_traffic_that_was_led_away_is_led_back_and_watched_anew():
    moved = advance(loading(), seen(READY), LIVE, ("a",), at(40))
    assert kinds(moved) == [StartLoad]
    assert moved.status.load_started_at == at(40)
