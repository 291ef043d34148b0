"""Pods, events and Jobs as Kubernetes writes them, put into the words of the domain."""

from datetime import UTC, datetime

import pytest

from sloguard.api.v1alpha1 import CrashClass, Fault
from sloguard.cluster.evidence import container_of, evidence_of, load_of, pod_of, running_since, server_state
from sloguard.domain.crash import classify
from sloguard.engine.snapshot import LoadState, ServerState
from sloguard.measure.encode import LIMIT_BYTES, encode
from tests.unit.cluster.objects import LATER, T0, pod, running, terminated, waiting
from tests.unit.measure.test_encode import a_result

BACK_OFF = waiting("CrashLoopBackOff", "back-off 10s restarting failed container=vllm pod=p_prod(x)")
OOM = terminated(137, "OOMKilled")
UNSCHEDULED = {
    "conditions": [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/2 nodes are available: 2 Insufficient nvidia.com/gpu.",
        }
    ]
}
EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
PREEMPTED = {
    "conditions": [
        {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "preempted"}
    ]
}

STATES = {
    "unscheduled": (pod(status=UNSCHEDULED), ServerState.WAITING),
    "being created": (pod(waiting("ContainerCreating")), ServerState.WAITING),
    "init containers": (pod(waiting("PodInitializing")), ServerState.WAITING),
    "image not pulled": (pod(waiting("ImagePullBackOff", "Back-off pulling image")), ServerState.WAITING),
    "running": (pod(running()), ServerState.STARTING),
    "ready": (pod(running(), ready=True), ServerState.READY),
    "OOM-killed": (pod(OOM), ServerState.ENDED),
    "ended by itself": (pod(terminated(0, "Completed")), ServerState.ENDED),
    "ended with an error": (pod(terminated(1, "Error")), ServerState.ENDED),
    "restarted once": (pod(running(LATER), last=OOM, restarts=1), ServerState.ENDED),
    "ready again after a restart": (pod(running(LATER), last=OOM, restarts=1, ready=True), ServerState.ENDED),
    "crash loop": (pod(BACK_OFF, last=OOM, restarts=3), ServerState.ENDED),
    "evicted": (pod(status=EVICTED), ServerState.ENDED),
    "being deleted": (pod(running(), ready=True, deleted=LATER), ServerState.ENDED),
    "sidecar only": (pod(running(), container="sidecar", ready=True), ServerState.WAITING),
}


@pytest.mark.parametrize("which", STATES)
def test_the_state_of_a_server(which):
    stored, state = STATES[which]
    assert server_state(stored, container_of(stored, "vllm")) is state


def test_without_a_pod_the_server_is_waited_for():
    assert server_state(None, None) is ServerState.WAITING
    assert running_since(None, None) is None


SINCE = {
    "waiting": (pod(waiting("ContainerCreating")), None),
    "unscheduled": (pod(status=UNSCHEDULED), None),
    "running": (pod(running(T0)), T0),
    "ended": (pod(terminated(1, "Error", since=T0)), T0),
    "restarted": (pod(running(LATER), last=terminated(1, "Error", since=T0), restarts=1), T0),
    "crash loop": (pod(BACK_OFF, last=terminated(1, "Error", since=T0), restarts=1), T0),
    # what the kubelet writes of a container that never ran, and of one that it knows nothing about any more
    "start failed": (pod(terminated(128, "StartError", since="1970-01-01T00:00:00Z")), None),
    "unknown": (pod(terminated(137, "ContainerStatusUnknown", since=None, until=None)), None),
    "evicted, its containers forgotten": (pod(status=EVICTED | {"startTime": T0}), T0),
    "started at the second try": (
        pod(running(LATER), last=terminated(128, "StartError", since="1970-01-01T00:00:00Z"), restarts=1),
        LATER,
    ),
}


@pytest.mark.parametrize("which", SINCE)
def test_the_gpu_is_held_from_the_first_start(which):
    stored, since = SINCE[which]
    expected = None if since is None else datetime.fromisoformat(since)
    assert running_since(stored, container_of(stored, "vllm")) == expected


def test_the_first_pod_is_the_trials():
    """A second one means that something befell the first."""
    first, second = pod(status=EVICTED, name="a"), pod(running(LATER), name="b", created=LATER)
    assert pod_of([second, first]) is first
    assert pod_of([]) is None


def crash(stored, *events, log="", ready=False):
    serving = stored and container_of(stored, "vllm")
    evidence = evidence_of(stored, serving, list(events), log, became_ready=ready)
    return classify(evidence)


def event(reason, message, kind="Warning"):
    return {"reason": reason, "message": message, "type": kind, "count": 3}


JUDGED = {
    "unscheduled": (pod(status=UNSCHEDULED), CrashClass.UNSCHEDULABLE, Fault.INFRASTRUCTURE),
    "image": (
        pod(waiting("ErrImagePull", "rpc error: code = NotFound desc = failed to pull")),
        CrashClass.IMAGE_PULL,
        Fault.INFRASTRUCTURE,
    ),
    "OOM-killed": (pod(OOM), CrashClass.HOST_OUT_OF_MEMORY, Fault.CONFIGURATION),
    "crash loop": (pod(BACK_OFF, last=OOM, restarts=3), CrashClass.HOST_OUT_OF_MEMORY, Fault.CONFIGURATION),
    "evicted": (pod(status=EVICTED), CrashClass.EVICTED, Fault.INFRASTRUCTURE),
    "preempted": (pod(terminated(137, "Error"), status=PREEMPTED), CrashClass.EVICTED, Fault.INFRASTRUCTURE),
    "node gone": (pod(terminated(137, "ContainerStatusUnknown")), CrashClass.NODE_LOST, Fault.INFRASTRUCTURE),
}


@pytest.mark.parametrize("which", JUDGED)
def test_what_the_kubelet_writes_is_judged(which):
    stored, crash_class, fault = JUDGED[which]
    verdict = crash(stored)
    assert (verdict.class_, verdict.fault) == (crash_class, fault)


def test_exit_0_under_load_is_a_crash():
    verdict = crash(pod(terminated(0, "Completed")), ready=True)
    assert (verdict.class_, verdict.fault) == (CrashClass.DIED_UNDER_LOAD, Fault.CONFIGURATION)


def test_without_a_pod_events_of_its_maker_tell():
    quota = event("FailedCreate", 'Error creating: pods "x" is forbidden: exceeded quota: gpus')
    assert crash(None, quota).class_ is CrashClass.QUOTA


@pytest.mark.parametrize("which", ["unscheduled", "being created", "running", "ready"])
def test_a_server_on_its_way_has_not_crashed(which):
    stored = STATES[which][0]
    if which != "unscheduled":
        assert crash(stored) is None


HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x00\u202etxt\x9b31m\r\n" + "x" * 9000


@pytest.mark.parametrize(
    "stored",
    [
        pod(terminated(1, "Error", message=HOSTILE)),
        pod(waiting("ImagePullBackOff", HOSTILE)),
        pod(status={"phase": "Failed", "reason": "Evicted", "message": HOSTILE}),
        pod(status={"conditions": [UNSCHEDULED["conditions"][0] | {"message": HOSTILE}]}),
    ],
    ids=["terminated", "waiting", "pod", "unscheduled"],
)
def test_texts_of_others_are_made_harmless(stored):
    evidence = evidence_of(stored, container_of(stored, "vllm"), [event("Failed", HOSTILE)], "", became_ready=False)
    texts = [
        evidence.container_message,
        evidence.waiting_message,
        evidence.pod_message,
        evidence.unschedulable,
        evidence.events[0].message,
    ]
    assert "red" in "".join(texts)
    for text in texts:
        assert text.isprintable()
        assert len(text) <= 1024


def job(completions=None, **conditions):
    told = [
        {"type": kind, "status": "True", "reason": reason, "message": "said"} for kind, reason in conditions.items()
    ]
    spec = {"completions": completions} if completions else {}
    return {"metadata": {"name": "j", "uid": "job"}, "spec": spec, "status": {"conditions": told}}


def load_pod(state=None, **more):
    return pod(state, container="load", owner="job", **more)


GOOD = '{"startedAt":"2026-03-02T12:00:00Z","finishedAt":"2026-03-02T12:00:10Z"}'
PACKED = encode(a_result(range(8), digits=6, detail="gone", invalid=""))

LOADS = {
    "no job": (None, [], LoadState.ABSENT, ""),
    "no pod yet": (job(), [], LoadState.RUNNING, ""),
    "pending": (job(), [load_pod()], LoadState.RUNNING, ""),
    "running": (job(), [load_pod(running())], LoadState.RUNNING, ""),
    "done": (job(Complete="CompletionsReached"), [load_pod(terminated(0, "Completed", message=GOOD))], "Done", ""),
    "done before the job knows": (job(), [load_pod(terminated(0, "Completed", message=GOOD))], "Done", ""),
    "packed": (job(), [load_pod(terminated(0, "Completed", message=PACKED))], "Done", ""),
    "garbage": (job(), [load_pod(terminated(1, "Error", message="Traceback ..."))], "Failed", "exit code 1: Traceback"),
    "cut off": (job(), [load_pod(terminated(0, "Completed", message=PACKED[:-9]))], "Failed", "exit code 0: "),
    "without a message": (job(), [load_pod(terminated(137, "OOMKilled"))], "Failed", "137: OOMKilled, it left no"),
    "too late": (job(Failed="DeadlineExceeded"), [], "Failed", "DeadlineExceeded: said"),
    "evicted": (
        job(Failed="BackoffLimitExceeded"),
        [load_pod(status=EVICTED)],
        "Failed",
        "Evicted: The node was low on resource",
    ),
    "evicted just now": (job(), [load_pod(status=EVICTED)], LoadState.RUNNING, ""),
    "somebody else's pod": (
        job(),
        [pod(terminated(0, "Completed", message=GOOD), container="load", owner="other")],
        LoadState.RUNNING,
        "",
    ),
}


@pytest.mark.parametrize("which", LOADS)
def test_the_state_of_a_load(which):
    stored, pods, state, detail = LOADS[which]
    load = load_of(stored, pods)
    assert load.state.value == state
    assert detail in load.detail
    assert (load.result is not None) == (state == "Done")


def part(number, **more):
    message = GOOD[:-1] + f',"generator":{number}' + "".join(f',"{key}":"{text}"' for key, text in more.items()) + "}"
    return load_pod(terminated(0, "Completed", message=message), name=f"p{number}")


@pytest.mark.parametrize(
    ("pods", "state", "detail"),
    [
        ([part(1), part(0)], "Done", ""),
        ([part(1)], "Running", ""),
        ([part(1), load_pod(running())], "Running", ""),
        ([part(1), part(1)], "Failed", "no result of generator 0 of 2"),
        ([load_pod(running()), load_pod(terminated(137, "OOMKilled"))], "Failed", "exit code 137: OOMKilled"),
        ([load_pod(running()), part(1, invalid="it was late")], "Done", ""),
    ],
)
def test_the_parts_of_several_generators(pods, state, detail):
    load = load_of(job(completions=2), pods)
    assert (load.state.value, load.detail) == (state, load.detail if detail and detail in load.detail else detail)


def test_one_late_generator_makes_the_load_invalid_at_once():
    load = load_of(job(completions=2), [load_pod(running()), part(1, invalid="it was late")])
    assert load.result.invalid == "it was late"


def test_a_results_own_texts_are_made_harmless():
    """The load's pod is ours, but what it heard is the server's."""
    fault = '{"kind":"ServerGone","at":"2026-03-02T12:00:05Z","detail":"\\u001b[31mgone\\u202e"}'
    loaded = GOOD[:-1] + f',"fault":{fault},"invalid":"\\u0007late"' + "}"
    result = load_of(job(), [load_pod(terminated(0, "Completed", message=loaded))]).result
    assert result.fault.detail == "gone"
    assert result.invalid == "late"


def test_garbage_is_made_harmless_and_short():
    load = load_of(job(), [load_pod(terminated(1, "Error", message=HOSTILE))])
    assert load.detail.isprintable()
    assert len(load.detail) < 600


def test_a_packed_result_comes_back_whole():
    assert len(PACKED) <= LIMIT_BYTES
    load = load_of(job(), [load_pod(terminated(0, "Completed", message=PACKED))])
    assert len(load.result.rates) == 8
    assert load.result.started_at.tzinfo is not None
    assert load.result.started_at.astimezone(UTC).year >= 2026
