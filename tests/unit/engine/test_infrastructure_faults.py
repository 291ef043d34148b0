"""Each fault of infrastructure has its own patience, pauses, bound, and a reason that says what to do."""

from datetime import timedelta
from pathlib import Path

import pytest

from sloguard.api.v1alpha1 import Crash, CrashClass, Fault, Outcome, TrialPhase, TrialSettings
from sloguard.domain.crash import classify
from sloguard.domain.crash_pattern import INFRASTRUCTURE_CLASSES
from sloguard.domain.evidence import EventEvidence, Evidence
from sloguard.engine.actions import RecordTrial
from sloguard.engine.infrastructure_faults import ANY, TABLE, back_off, exhausted, fault_of, patience
from sloguard.engine.plan import plan
from sloguard.engine.progress import advance
from sloguard.engine.snapshot import Observation, ServerState
from tests.unit.engine.builders import (
    T0,
    actions,
    baselines,
    condition,
    is_stalled,
    make_study,
    make_trial,
    seen,
    snapshot,
)

USUAL = TrialSettings()
FREE = make_study(trial={"infrastructureRetries": None, "infrastructurePatienceSeconds": None})
ROWS = {row.reason: row for row in TABLE}
README = Path(__file__).parents[3] / "operator" / "README.md"


def nodes(why):
    return Evidence(unschedulable=f"0/3 nodes are available: {why}.")


def event(reason, message):
    return Evidence(events=(EventEvidence(reason, message),))


def ended(log):
    return Evidence(ended=True, exit_code=1, log=log)


EVIDENCE = [
    ("ImageNeverPulled", Evidence(waiting_reason="ErrImageNeverPull", waiting_message="image is not present")),
    ("ImageNameInvalid", Evidence(waiting_reason="InvalidImageName", waiting_message="couldn't parse image name")),
    ("ImagePullFailed", Evidence(waiting_reason="ImagePullBackOff", waiting_message="Back-off pulling image")),
    ("ImagePullFailed", event("Failed", 'Failed to pull image "x": 401 Unauthorized')),
    ("Queued", Evidence(unschedulable="Scheduling is blocked due to non-empty scheduling gates")),
    ("GPUUnavailable", nodes("3 Insufficient nvidia.com/gpu")),
    ("GPUUnavailable", nodes("1 node(s) had untolerated taint {a: b}, 2 Insufficient nvidia.com/gpu")),
    ("GPUUnavailable", nodes("3 Insufficient nvidia.com/mig-1g.10gb")),
    ("ResourcesUnavailable", nodes("3 Insufficient memory")),
    ("NodeTainted", nodes("3 node(s) had untolerated taint {node.kubernetes.io/not-ready: }")),
    ("NodeTainted", nodes("3 node(s) were unschedulable")),
    ("NodeAffinityUnmet", nodes("2 node(s) didn't match Pod's node affinity/selector, 1 node(s) had taint {a: b}")),
    ("VolumeUnavailable", nodes("3 node(s) had volume node affinity conflict")),
    ("VolumeUnavailable", nodes("pod has unbound immediate PersistentVolumeClaims")),
    ("Unschedulable", nodes("3 node(s) didn't have free ports for the requested pod ports")),
    (
        "QuotaExceeded",
        event("FailedCreate", 'pods "x" is forbidden: exceeded quota: gpus, requested: nvidia.com/gpu=1'),
    ),
    ("VolumeMountFailed", event("FailedMount", "MountVolume.SetUp failed for volume cache: timed out")),
    (
        "ConfigurationMissing",
        Evidence(waiting_reason="CreateContainerConfigError", waiting_message='secret "s" not found'),
    ),
    ("PodSandboxFailed", event("FailedCreatePodSandBox", "plugin type=calico failed (add)")),
    ("ContainerNotStarted", Evidence(waiting_reason="CreateContainerError", waiting_message="context deadline")),
    (
        "Evicted",
        Evidence(pod_phase="Failed", pod_reason="Evicted", pod_message="The node was low on resource: memory."),
    ),
    ("Preempted", Evidence(pod_phase="Failed", pod_reason="PreemptionByScheduler", pod_message="by a pod")),
    (
        "NodeDiskPressure",
        Evidence(
            pod_phase="Failed", pod_reason="Evicted", pod_message="The node was low on resource: ephemeral-storage."
        ),
    ),
    (
        "NodeDiskPressure",
        Evidence(pod_phase="Failed", pod_reason="Evicted", pod_message="had condition: [DiskPressure]"),
    ),
    ("NodeLost", Evidence(pod_phase="Failed", pod_reason="NodeLost", pod_message="Node which was running pod")),
    ("NodeLost", Evidence(pod_reason="DeletionByTaintManager", pod_message="Taint manager: deleting due to NoExecute")),
    ("GPULost", ended("RuntimeError: CUDA error: GPU is lost\n")),
    ("PortInUse", ended("OSError: [Errno 98] Address already in use\n")),
    ("LoadGeneratorFailed", Evidence(load_invalid="late by 70 ms")),
]


@pytest.mark.parametrize(("reason", "evidence"), EVIDENCE, ids=[f"{r} {n}" for n, (r, _) in enumerate(EVIDENCE)])
def test_what_was_seen_tells_the_row(reason, evidence):
    crash = classify(evidence)
    assert crash.fault is Fault.INFRASTRUCTURE
    assert fault_of(crash).reason == reason


def test_every_class_that_is_infrastructures_has_rows():
    for crash_class in INFRASTRUCTURE_CLASSES:
        crash = Crash(class_=crash_class, fault=Fault.INFRASTRUCTURE, cause="whatever it said")
        assert fault_of(crash) is not ANY, crash_class
    assert fault_of(Crash(class_=CrashClass.UNKNOWN, fault=Fault.INFRASTRUCTURE, cause="what?")) is ANY
    assert fault_of(None) is ANY


@pytest.mark.parametrize("row", TABLE, ids=ROWS)
def test_a_row_makes_sense(row):
    assert row.reason.isalnum()
    assert 0 < row.first_back_off <= row.most_back_off
    assert 0 <= row.retries <= 10
    assert row.remedy
    assert not row.remedy.endswith(".")
    assert len(ROWS) == len(TABLE)


def a_line(row):
    waits = f"{row.patience} s" if row.patience else "-"
    pauses = f"{row.first_back_off} to {row.most_back_off} s"
    return f"| {row.reason} | {waits} | {pauses} | {row.retries} | {row.remedy} |"


def test_the_table_of_the_documentation_is_this_one():
    told = README.read_text(encoding="utf-8")
    assert [line for line in map(a_line, (*TABLE, ANY)) if line not in told] == []


def at(seconds):
    return T0 + timedelta(seconds=seconds)


WAITING_TRIAL = make_trial(2, phase=TrialPhase.STARTING, started_at=T0)
NO_GPU = seen(ServerState.WAITING, since=None, unschedulable="0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
GATED = seen(ServerState.WAITING, since=None, gated=True)


def wait(trial, observation: Observation, seconds, spec=FREE.spec):
    return trial.model_copy(update={"status": advance(trial, observation, spec, (), at(seconds)).status})


def test_waiting_is_not_failing_and_stands_in_the_record():
    waiting = wait(WAITING_TRIAL, NO_GPU, 10)
    told = condition(waiting.status, "Waiting")
    assert (told.status.value, told.reason, told.last_transition_time) == ("True", "GPUUnavailable", T0)
    assert "Insufficient nvidia.com/gpu" in told.message
    later = wait(waiting, NO_GPU, 600)
    assert later == waiting, "nothing new is written"
    failed = wait(waiting, NO_GPU, 601)
    assert failed.status.outcome is Outcome.INFRASTRUCTURE
    assert condition(failed.status, "Waiting").status.value == "False"


def test_a_pod_that_a_queue_held_back_has_all_patience_for_what_comes_then():
    gated = wait(WAITING_TRIAL, GATED, 10)
    assert condition(gated.status, "Waiting").reason == "Queued"
    gated = wait(gated, GATED, 20_000)
    admitted = wait(gated, NO_GPU, 20_010)
    assert condition(admitted.status, "Waiting").last_transition_time == at(20_010)
    assert wait(admitted, NO_GPU, 20_610).status.outcome is None
    assert wait(admitted, NO_GPU, 20_611).status.outcome is Outcome.INFRASTRUCTURE


def test_a_queue_may_take_longer_than_the_study_waits_for_anything_else():
    short = make_study(trial={"infrastructurePatienceSeconds": 30}).spec
    assert wait(WAITING_TRIAL, GATED, 5000, short).status.outcome is None
    assert wait(WAITING_TRIAL, NO_GPU, 31, short).status.outcome is Outcome.INFRASTRUCTURE


def test_the_wait_is_over_when_the_server_runs():
    waiting = wait(WAITING_TRIAL, NO_GPU, 10)
    runs = wait(waiting, seen(ServerState.STARTING, since=at(50)), 51)
    assert condition(runs.status, "Waiting").status.value == "False"
    assert wait(runs, seen(ServerState.STARTING, since=at(50)), 60) == runs


def test_an_image_that_is_still_on_its_way_is_waited_for_without_a_write():
    """ContainerCreating says nothing; 20 GiB take minutes."""
    nothing = seen(ServerState.WAITING, since=None)
    assert wait(WAITING_TRIAL, nothing, 900) == WAITING_TRIAL
    assert wait(WAITING_TRIAL, nothing, 901).status.outcome is Outcome.INFRASTRUCTURE


def crash(cause="", crash_class=CrashClass.PORT_IN_USE):
    return Crash(class_=crash_class, fault=Fault.INFRASTRUCTURE, cause=cause)


EVICTED = crash("Evicted: by hand", CrashClass.EVICTED)


def failed(attempt, verdict, number=2):
    return make_trial(number, Outcome.INFRASTRUCTURE, attempt=attempt, finished_at=T0, crash=verdict)


@pytest.mark.parametrize(("attempt", "pause"), [(1, 5), (2, 10), (5, 80), (6, 120), (99, 120)])
def test_pauses_are_the_rows(attempt, pause):
    assert back_off(failed(attempt, crash())) == timedelta(seconds=pause)


def test_each_kind_has_its_own_bound_and_says_what_to_do():
    shm = [failed(n, crash("", CrashClass.SHARED_MEMORY_TOO_SMALL)) for n in (1, 2)]
    assert exhausted(shm[:1], shm[0], USUAL) is None
    told = exhausted(shm, shm[1], USUAL)
    assert told.reason == "SharedMemoryTooSmall"
    assert "failed 2 times" in told.message
    assert "/dev/shm" in told.message
    assert "raise spec.trial.infrastructureRetries (now 1 for this) to at least 2" in told.message
    assert exhausted(shm, shm[1], TrialSettings(infrastructure_retries=2)) is None


def test_kinds_are_counted_apart_unless_the_study_gives_a_bound_of_its_own():
    mixed = [failed(n, EVICTED if n % 2 else crash()) for n in range(1, 10)]
    assert exhausted(mixed, mixed[-1], USUAL) is None
    assert exhausted(mixed, mixed[-1], TrialSettings(infrastructure_retries=8)).reason == "Evicted"


def test_other_trials_failures_are_not_counted():
    others = [failed(n, crash("", CrashClass.SHARED_MEMORY_TOO_SMALL), number=3) for n in (1, 2, 3)]
    own = failed(1, crash("", CrashClass.SHARED_MEMORY_TOO_SMALL))
    assert exhausted([*others, own], own, USUAL) is None


def test_a_study_stalls_by_the_rows_bound_and_goes_on_when_the_bound_is_raised():
    trials = (*baselines(), failed(1, crash("ErrImageNeverPull: x", CrashClass.IMAGE_PULL)))
    trials = (*trials, *(failed(n, trials[-1].status.crash) for n in (2, 3)))
    status = plan(snapshot(FREE, *trials), at(5000)).status
    assert is_stalled(status)
    assert condition(status, "Stalled").reason == "ImageNeverPulled"
    raised = make_study(trial={"infrastructureRetries": 3, "infrastructurePatienceSeconds": None})
    assert actions(plan(snapshot(raised, *trials), at(5000)), RecordTrial)


def test_patience_of_the_study_holds_for_all_but_a_queue():
    given = TrialSettings(infrastructure_patience_seconds=7)
    assert {patience(row, given).total_seconds() for row in TABLE if not row.queued} == {7}
    assert patience(ROWS["Queued"], given) == patience(ROWS["Queued"], USUAL) > timedelta(hours=1)
