"""What the cluster and the clock say, and what weighs more than what."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sloguard.api.v1alpha1 import CrashClass, CrashPhase, Fault, ServerFault, ServerFaultKind
from sloguard.domain.crash import classify
from sloguard.domain.evidence import Activity, ContainerEnd, EventEvidence, Evidence, LogGap, NodeCondition
from tests.unit.domain.crash_logs import READY, START, death_under_load, failed_start

NO_ROOM = failed_start("ValueError: No available memory for the cache blocks. Try increasing")
SERVED = "\n".join([*START, *READY])
AT = datetime(2025, 11, 22, tzinfo=UTC)
GONE = ServerFault(kind=ServerFaultKind.SERVER_GONE, at=AT, detail="connection refused")
STALLED = GONE.model_copy(
    update={"kind": ServerFaultKind.GENERATION_STALLED, "detail": "no token has been generated for 31 s"}
)


def event(reason: str, message: str = "") -> Evidence:
    return Evidence(events=(EventEvidence(reason, message),))


INFRASTRUCTURE = [
    (CrashClass.IMAGE_PULL, Evidence(waiting_reason="ImagePullBackOff", waiting_message='Back-off pulling image "x"')),
    (CrashClass.IMAGE_PULL, Evidence(waiting_reason="ErrImagePull")),
    (CrashClass.IMAGE_PULL, Evidence(waiting_reason="ErrImageNeverPull", waiting_message="image is not present")),
    (CrashClass.IMAGE_PULL, Evidence(waiting_reason="InvalidImageName")),
    (CrashClass.IMAGE_PULL, event("Failed", 'Failed to pull image "x": rpc error: code = NotFound')),
    (CrashClass.UNSCHEDULABLE, Evidence(unschedulable="0/2 nodes are available: 2 Insufficient nvidia.com/gpu.")),
    (CrashClass.UNSCHEDULABLE, event("FailedScheduling", "0/2 nodes are available: 1 node(s) had untolerated taint")),
    (CrashClass.UNSCHEDULABLE, Evidence(pod_phase="Failed", pod_reason="UnexpectedAdmissionError")),
    (
        CrashClass.QUOTA,
        event("FailedCreate", 'pods "t-1" is forbidden: exceeded quota: gpus, requested: nvidia.com/gpu=1'),
    ),
    (CrashClass.MOUNT, event("FailedMount", 'MountVolume.SetUp failed for volume "models"')),
    (CrashClass.MOUNT, event("FailedAttachVolume", "Multi-Attach error for volume")),
    (CrashClass.MOUNT, Evidence(waiting_reason="CreateContainerConfigError", waiting_message='secret "hf" not found')),
    (CrashClass.EVICTED, Evidence(pod_phase="Failed", pod_reason="Evicted", pod_message="low on resource: memory")),
    (CrashClass.EVICTED, Evidence(pod_reason="PreemptionByScheduler", ended=True, exit_code=137)),
    (CrashClass.NODE_LOST, Evidence(pod_reason="NodeLost")),
    (CrashClass.NODE_LOST, Evidence(pod_reason="DeletionByTaintManager", ended=True, exit_code=143)),
    (CrashClass.NODE_LOST, Evidence(container_reason="ContainerStatusUnknown", ended=True, exit_code=137)),
    (
        CrashClass.GPU_LOST,
        Evidence(
            ended=True,
            exit_code=128,
            container_reason="StartError",
            container_message="nvidia-container-cli: device error: unknown device",
        ),
    ),
    (CrashClass.SANDBOX, event("FailedCreatePodSandBox", "failed to set up sandbox container network")),
    (CrashClass.SANDBOX, event("NetworkNotReady", "network is not ready: container runtime network not ready")),
    (
        CrashClass.GPU_LOST,
        Evidence(
            pod_phase="Failed",
            pod_reason="UnexpectedAdmissionError",
            pod_message="Allocate failed due to no healthy devices present; cannot allocate unhealthy ones",
        ),
    ),
    (CrashClass.UNSCHEDULABLE, Evidence(pod_phase="Failed", pod_reason="OutOfnvidia.com/gpu")),
    (CrashClass.UNSCHEDULABLE, Evidence(pod_phase="Failed", pod_reason="OutOfcpu", pod_message="Pod was rejected: x")),
    (CrashClass.MOUNT, event("Failed", 'Error: configmap "vllm-env" not found')),
    (CrashClass.MOUNT, event("ProvisioningFailed", "storageclass not found")),
    (
        CrashClass.MODEL_DOWNLOAD,
        Evidence(
            waiting_reason="PodInitializing",
            others=(ContainerEnd("fetch-model", "Error", 1, "403 Forbidden", init=True),),
        ),
    ),
    (
        CrashClass.UNKNOWN,
        Evidence(waiting_reason="PodInitializing", others=(ContainerEnd("sysctl", "Error", 1, init=True),)),
    ),
    (
        CrashClass.NODE_LOST,
        Evidence(
            log=SERVED,
            became_ready=True,
            load_fault=GONE,
            node_conditions=(NodeCondition("Ready", "Unknown", "NodeStatusUnknown", "Kubelet stopped posting"),),
        ),
    ),
    (
        CrashClass.HOST_OUT_OF_MEMORY,
        Evidence(
            log=SERVED,
            became_ready=True,
            ended=True,
            exit_code=137,
            container_reason="Error",
            events=(EventEvidence("SystemOOM", "System OOM encountered, victim process: python3, pid: 4509"),),
        ),
    ),
    (
        CrashClass.HOST_OUT_OF_MEMORY,
        Evidence(log=SERVED, became_ready=True, load_fault=GONE, others=(ContainerEnd("proxy", "OOMKilled", 137),)),
    ),
    (
        CrashClass.GPU_LOST,
        Evidence(
            log=SERVED,
            became_ready=True,
            ended=True,
            exit_code=0,
            events=(EventEvidence("KernelOops", "NVRM: Xid (PCI:0000:3b:00): 79, GPU has fallen off the bus.", at=AT),),
        ),
    ),
    (CrashClass.LOAD_GENERATOR, Evidence(log=SERVED, became_ready=True, load_invalid="the generator ran 2 s late")),
]


@pytest.mark.parametrize(("crash_class", "evidence"), INFRASTRUCTURE)
def test_infrastructure_is_not_the_candidates_fault(crash_class, evidence):
    crash = classify(evidence)
    assert crash is not None
    assert (crash.class_, crash.fault, crash.line) == (crash_class, Fault.INFRASTRUCTURE, None)
    assert crash.cause


@pytest.mark.parametrize(
    "evidence",
    [
        Evidence(),
        Evidence(waiting_reason="ContainerCreating"),
        Evidence(unschedulable="Scheduling is blocked due to non-empty scheduling gates", gated=True),
        Evidence(log=SERVED, became_ready=True),
        Evidence(log=SERVED, became_ready=True, ended=True, exit_code=0, stop_requested=True),
        Evidence(log=SERVED, became_ready=True, ended=True, exit_code=137, stop_requested=True),
        Evidence(log=SERVED, became_ready=True, events=(EventEvidence("FailedMount", "a first try"),)),
        Evidence(log="\n".join(START), startup_seconds=899, startup_timeout_seconds=900),
        Evidence(log=SERVED, became_ready=True, startup_seconds=1000, startup_timeout_seconds=900),
        Evidence(log=NO_ROOM),  # it will end in a moment, and then it counts
        event("Scheduled", "Successfully assigned"),
        event("Unhealthy", "Startup probe failed: HTTP probe failed with statuscode: 503"),
    ],
)
def test_nothing_wrong_is_seen(evidence):
    assert classify(evidence) is None


def test_the_kubelets_word_for_memory_is_certain():
    evidence = Evidence(log=NO_ROOM, ended=True, exit_code=137, container_reason="OOMKilled")
    crash = classify(evidence)
    assert crash is not None
    assert (crash.class_, crash.fault) == (CrashClass.HOST_OUT_OF_MEMORY, Fault.CONFIGURATION)
    assert crash.confidence_percent == 99


def test_a_kill_without_a_word_is_probably_memory():
    killed = Evidence(log="\n".join(START), ended=True, exit_code=137, container_reason="Error")
    for evidence in (killed, replace(killed, exit_code=None, signal=9), replace(killed, exit_code=-9)):
        crash = classify(evidence)
        assert crash is not None
        assert crash.class_ is CrashClass.HOST_OUT_OF_MEMORY
        assert crash.confidence_percent < 90


def test_a_probe_that_killed_is_not_memory():
    killing = EventEvidence("Killing", "Container vllm failed {} probe, will be restarted", "Normal")
    killed = Evidence(log=SERVED, became_ready=True, ended=True, exit_code=137, container_reason="Error")
    liveness = replace(killing, message=killing.message.format("liveness"))
    crash = classify(replace(killed, events=(liveness,)))
    assert crash is not None
    assert (crash.class_, crash.fault) == (CrashClass.PROBE_KILLED, Fault.INFRASTRUCTURE)
    assert "liveness probe: relax it" in (crash.limit or "")
    startup = replace(killing, message=killing.message.format("startup"))
    crash = classify(replace(killed, log="\n".join(START), became_ready=False, events=(startup,)))
    assert crash is not None
    assert (crash.class_, crash.fault) == (CrashClass.STARTUP_TIMEOUT, Fault.CONFIGURATION)


@pytest.mark.parametrize(
    ("still_seconds", "crash_class", "fault"),
    [
        (None, CrashClass.PROBE_KILLED, Fault.INFRASTRUCTURE),
        (0.0, CrashClass.PROBE_KILLED, Fault.INFRASTRUCTURE),
        (45.0, CrashClass.HANG, Fault.CONFIGURATION),
    ],
)
def test_a_liveness_probe_is_right_where_the_engine_stood_still(still_seconds, crash_class, fault):
    killing = EventEvidence("Killing", "Container vllm failed liveness probe, will be restarted", "Normal", at=AT)
    activity = Activity(requests_running=64, requests_waiting=3, still_seconds=still_seconds)
    evidence = Evidence(log=SERVED, became_ready=True, ended=True, exit_code=137, events=(killing,), activity=activity)
    crash = classify(evidence)
    assert crash is not None
    assert (crash.class_, crash.fault) == (crash_class, fault)


def test_a_server_without_requests_does_not_stand_still():
    killing = EventEvidence("Killing", "Container vllm failed liveness probe, will be restarted", "Normal", at=AT)
    activity = Activity(requests_running=0, still_seconds=600.0)
    crash = classify(Evidence(log=SERVED, became_ready=True, ended=True, events=(killing,), activity=activity))
    assert crash is not None
    assert (crash.class_, crash.fault) == (CrashClass.PROBE_KILLED, Fault.INFRASTRUCTURE)


def test_a_cause_in_the_log_weighs_more_than_the_probe_that_ended_it():
    killing = EventEvidence("Killing", "Container vllm failed liveness probe, will be restarted", "Normal", at=AT)
    log = death_under_load("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB", "execute_model")
    crash = classify(Evidence(log=log, became_ready=True, ended=True, exit_code=137, events=(killing,)))
    assert crash is not None
    assert crash.class_ is CrashClass.CUDA_OUT_OF_MEMORY


@pytest.mark.parametrize(
    ("message", "needs"),
    [
        ("0/3 nodes are available: 3 Insufficient nvidia.com/gpu.", "GPU"),
        ("0/2 nodes are available: 2 node(s) had untolerated taint {dedicated: gpu}.", "a toleration"),
        ("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.", "affinity"),
        ('0/1 nodes are available: persistentvolumeclaim "models" not found.', "its volumes"),
    ],
)
def test_what_a_pod_lacks_to_be_scheduled(message, needs):
    crash = classify(Evidence(unschedulable=message))
    assert crash is not None
    assert needs in (crash.limit or "")


def test_the_latest_of_several_events_is_quoted():
    events = tuple(
        EventEvidence("FailedScheduling", f"0/{n} nodes are available", at=AT.replace(hour=n)) for n in (2, 3, 1)
    )
    crash = classify(Evidence(events=events))
    assert crash is not None
    assert "0/3" in crash.cause


def test_lines_of_a_bounded_log_are_numbered_as_in_its_file():
    evidence = Evidence(log=NO_ROOM, restart_count=1, exit_code=1)
    whole = classify(evidence)
    part = classify(replace(evidence, log_gaps=(LogGap(2, 1000), LogGap(4, 50), LogGap(9999, 7))))
    assert whole is not None
    assert part is not None
    assert part.line == (whole.line or 0) + 1050


def test_a_crash_loop_is_judged_by_the_log_of_the_container_before():
    looping = Evidence(log=NO_ROOM, restart_count=2, waiting_reason="CrashLoopBackOff", exit_code=1)
    crash = classify(looping)
    assert crash is not None
    assert crash.class_ is CrashClass.NO_KV_CACHE_ROOM


def test_completed_is_a_crash():
    evidence = Evidence(log=SERVED, became_ready=True, ended=True, exit_code=0, container_reason="Completed")
    crash = classify(evidence)
    assert crash is not None
    assert (crash.class_, crash.phase, crash.cause) == (
        CrashClass.DIED_UNDER_LOAD,
        CrashPhase.SERVING,
        "exit code 0 after it was ready",
    )


def test_a_start_that_takes_too_long():
    slow = Evidence(
        log="\n".join(START), startup_seconds=900, startup_timeout_seconds=900, stop_requested=True, ended=True
    )
    crash = classify(slow)
    assert crash is not None
    assert (crash.class_, crash.limit) == (CrashClass.STARTUP_TIMEOUT, "start-up over 900 s")
    assert crash.cause == "not ready after 900 s"


def test_a_cause_in_the_log_explains_a_start_that_took_too_long():
    looping = Evidence(log=NO_ROOM, restart_count=5, startup_seconds=900, startup_timeout_seconds=900)
    crash = classify(looping)
    assert crash is not None
    assert crash.class_ is CrashClass.NO_KV_CACHE_ROOM


def test_tokens_that_stand_still_are_a_hang():
    crash = classify(Evidence(log=SERVED, became_ready=True, load_fault=STALLED))
    assert crash is not None
    assert (crash.class_, crash.phase, crash.cause) == (CrashClass.HANG, CrashPhase.SERVING, STALLED.detail)


def test_a_server_that_ended_after_it_stood_still_did_not_hang():
    crash = classify(Evidence(log=SERVED, became_ready=True, ended=True, exit_code=0, load_fault=STALLED))
    assert crash is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD


def test_the_cause_in_the_log_explains_a_standstill():
    log = death_under_load("TimeoutError: RPC call to sample_tokens timed out.", "execute_model")
    crash = classify(Evidence(log=log, became_ready=True, load_fault=STALLED))
    assert crash is not None
    assert "RPC call to sample_tokens timed out" in crash.cause


def test_a_server_that_the_load_lost_is_dead_before_its_container_ends():
    crash = classify(Evidence(log=SERVED, became_ready=True, load_fault=GONE))
    assert crash is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD
    assert "connection refused" in crash.cause


def test_the_cause_of_a_death_that_the_load_saw_survives_our_stop():
    log = death_under_load("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB", "execute_model")
    crash = classify(
        Evidence(log=log, became_ready=True, load_fault=GONE, stop_requested=True, ended=True, exit_code=137)
    )
    assert crash is not None
    assert (crash.class_, crash.phase) == (CrashClass.CUDA_OUT_OF_MEMORY, CrashPhase.SERVING)


def test_an_end_without_a_log_quotes_the_container():
    crash = classify(Evidence(ended=True, exit_code=3, container_reason="Error", container_message="bad luck"))
    assert crash is not None
    assert (crash.class_, crash.cause, crash.line) == (CrashClass.UNKNOWN, "bad luck", None)
