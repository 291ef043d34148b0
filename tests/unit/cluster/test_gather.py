"""What is read of a study's children, and what of others is not taken for them."""

import json
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sloguard.api.v1alpha1 import CrashClass, Fault
from sloguard.cluster import clock
from sloguard.cluster.api import RefusedError, UnreachableNodeError
from sloguard.cluster.gather import STARTS_WITHIN, StudyUnreadableError, gather, read_study
from sloguard.domain.crash import classify
from sloguard.engine.snapshot import LoadState, ServerState
from tests.unit.cluster.objects import (
    LATER,
    STUDY,
    T0,
    VLLM,
    begun,
    deployment,
    finished,
    pod,
    running,
    terminated,
    trial_object,
    waiting,
)


def child(name="s-0-1", *, owner=None, **labels):
    own = {"sloguard.dev/study": "s", "sloguard.dev/trial": name} | labels
    reference = {"kind": "SLOGuardTrial", "name": name, "uid": owner or f"uid-{name}"}
    return {"name": name, "uid": f"child-{name}", "labels": own, "ownerReferences": [reference]}


def server(name="s-0-1", **metadata):
    return deployment(metadata=child(name) | metadata)


def server_pod(state, name="s-0-1", owner=None, **more):
    stored = pod(state, name=f"{name}-pod", **more)
    stored["metadata"]["labels"] = {"sloguard.dev/trial": name, "sloguard.dev/role": "server"}
    kind, maker = owner or ("ReplicaSet", f"{name}-7d9f8c6b5")
    stored["metadata"]["ownerReferences"] = [{"kind": kind, "name": maker, "uid": "set"}]
    return stored


class FakeApi:
    """A namespace as it is at one moment. Selectors are not evaluated: everything there is comes back."""

    def __init__(self, *, log="", **items):
        self.lists = defaultdict(list, items)
        self.logs = []
        self._log = log
        self.production = deployment()
        self.study = STUDY
        self.node = None

    async def get(self, resource, _namespace, name):
        if resource.plural == "nodes":
            if self.node is None:
                raise RefusedError(403, "nodes is forbidden")
            return self.node
        return self.study if resource.plural == "sloguardstudies" else self.production if name == "llama" else None

    async def items(self, resource, _namespace, **_selectors):
        return self.lists[resource.plural]

    async def log(self, _namespace, pod_name, _container, *, previous, most_bytes):
        assert most_bytes <= 8 * 2**20
        self.logs.append((pod_name, previous))
        if isinstance(self._log, Exception):
            raise self._log
        return self._log


TRIAL = trial_object(0, status=begun())


async def seen(api, name="s-0-1"):
    gathered = await gather(api, "prod", "s")
    return gathered.snapshot.observations.get(name)


async def test_a_study_that_is_gone():
    api = FakeApi()
    api.study = None
    assert await gather(api, "prod", "s") is None


async def test_a_trial_without_children_is_seen_as_absent():
    found = await seen(FakeApi(sloguardtrials=[TRIAL]))
    assert found.server.state is ServerState.ABSENT
    assert not found.leftovers


async def test_a_server_and_its_pod():
    api = FakeApi(sloguardtrials=[TRIAL], deployments=[server()], pods=[server_pod(running(), ready=True)])
    found = await seen(api)
    assert found.server.state is ServerState.READY
    assert found.leftovers
    assert found.server.gpus == 1
    assert api.logs == [("s-0-1-pod", False)]


async def test_a_log_is_read_once_when_ready_and_of_the_start_that_ended():
    ready = trial_object(0, status=begun(readyAt=LATER))
    api = FakeApi(sloguardtrials=[ready], deployments=[server()], pods=[server_pod(running(), ready=True)])
    await seen(api)
    assert api.logs == []
    back_off = server_pod(waiting("CrashLoopBackOff"), last=terminated(1, "Error"), restarts=2)
    api = FakeApi(sloguardtrials=[TRIAL], deployments=[server()], pods=[back_off], log="\x1b[31mValueError: x\x07\n")
    found = await seen(api)
    assert api.logs == [("s-0-1-pod", True)]
    assert found.server.evidence.log == "ValueError: x\n"
    api = FakeApi(sloguardtrials=[TRIAL], deployments=[server()], pods=[server_pod(terminated(1, "Error"))])
    await seen(api)
    assert api.logs == [("s-0-1-pod", False)]


CUDA = (
    "ERROR: EngineCore encountered a fatal error.\nRuntimeError: CUDA error: an illegal memory access was encountered\n"
)
LOADING = begun(phase="Loading", readyAt=LATER, loadStartedAt=LATER)


def loaded(fault):
    told = {"kind": fault, "at": LATER, "detail": "it said so"}
    message = json.dumps({"startedAt": T0, "finishedAt": LATER, "fault": told})
    stored = pod(
        terminated(0, "Completed", message=message), container="load", name="s-0-1-load-x", owner="child-s-0-1"
    )
    stored["metadata"]["labels"] = {"sloguard.dev/trial": "s-0-1", "sloguard.dev/role": "load"}
    return {"jobs": [{"metadata": child(), "status": {}}], "load": stored}


async def under_load(fault, **api):
    load = loaded(fault)
    serving = server_pod(running(), ready=True)
    serving["spec"]["nodeName"] = "gpu-1"
    trial = trial_object(0, status=LOADING)
    there = FakeApi(
        sloguardtrials=[trial], deployments=[server()], jobs=load["jobs"], pods=[serving, load["load"]], **api
    )
    return there, await seen(there)


async def test_an_engine_that_died_in_a_container_that_lives_is_judged_by_its_log():
    """vLLM's API server can outlive its engine; without the log nothing would say that the GPU failed."""
    _, found = await under_load("EngineDead", log=CUDA)
    assert found.server.state is ServerState.READY
    verdict = classify(replace(found.server.evidence, load_fault=found.load.result.fault))
    assert verdict.class_ is CrashClass.GPU_FAULT


async def test_a_start_that_takes_too_long_is_judged_by_its_log():
    api = FakeApi(sloguardtrials=[TRIAL], deployments=[server()], pods=[server_pod(running())], log="said so far\n")
    found = await seen(api)
    assert found.server.state is ServerState.STARTING
    assert found.server.evidence.log == "said so far\n", "it has been going on since March"
    assert api.logs == [("s-0-1-pod", False)]


async def test_a_start_in_its_time_costs_no_log():
    young = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
    api = FakeApi(sloguardtrials=[TRIAL], deployments=[server()], pods=[server_pod(running(young))], log="so far\n")
    await seen(api)
    assert api.logs == []


async def test_a_node_that_does_not_answer_is_lost_and_the_candidate_not_to_blame():
    _, found = await under_load("ServerGone", log=UnreachableNodeError("dial tcp: i/o timeout"))
    verdict = classify(replace(found.server.evidence, load_fault=found.load.result.fault))
    assert (verdict.class_, verdict.fault) == (CrashClass.NODE_LOST, Fault.INFRASTRUCTURE)
    assert "i/o timeout" in verdict.cause


async def test_the_nodes_own_conditions_tell_where_they_may_be_read():
    api, found = await under_load("ServerGone")
    assert found.server.evidence.node_conditions == ()
    api.node = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}}
    (told,) = (await seen(api)).server.evidence.node_conditions
    assert (told.type, told.status, told.reason) == ("Ready", "Unknown", "NodeStatusUnknown")


async def test_a_kubelet_that_restarts_just_now_is_waited_for():
    now = datetime.now(UTC).isoformat()
    ended = server_pod(terminated(1, "Error", until=now))
    api = FakeApi(
        sloguardtrials=[TRIAL], deployments=[server()], pods=[ended], log=UnreachableNodeError("connection refused")
    )
    with pytest.raises(UnreachableNodeError):
        await seen(api)
    ended["status"]["containerStatuses"][0]["state"] = terminated(1, "Error", until=T0)
    assert (await seen(api)).server.evidence.exit_code == 1, "not for ever"


async def test_containers_beside_the_servers_are_told_where_they_failed():
    stored = server_pod(waiting("PodInitializing"))
    failed = terminated(1, "Error", message="404 Client Error\x1b[0m")
    fetch = {"name": "fetch-model", "state": failed, "restartCount": 2}
    stored["status"]["initContainerStatuses"] = [fetch, {"name": "fine", "state": terminated(0, "Completed")}]
    found = await seen(FakeApi(sloguardtrials=[TRIAL], deployments=[server()], pods=[stored]))
    (other,) = found.server.evidence.others
    assert (other.name, other.exit_code, other.message, other.init) == ("fetch-model", 1, "404 Client Error", True)


@pytest.mark.parametrize(
    "stray",
    [
        {"deployments": [server(ownerReferences=[])]},
        {"deployments": [deployment(metadata=child(owner="other"))]},
        {"jobs": [{"metadata": child(owner="other"), "status": {}}]},
    ],
    ids=["owned by nobody", "owned by another trial", "another's job"],
)
async def test_labels_alone_make_nothing_a_child(stray):
    found = await seen(FakeApi(sloguardtrials=[TRIAL], **stray))
    assert found.server.state is ServerState.ABSENT
    assert found.load.state is LoadState.ABSENT


async def test_a_child_whose_labels_were_taken_off_is_still_one():
    bare = server(labels={"sloguard.dev/study": "s"})
    assert (await seen(FakeApi(sloguardtrials=[TRIAL], deployments=[bare]))).leftovers


@pytest.mark.parametrize(
    "owner", [("ReplicaSet", "s-0-10-7d9f8c6b5"), ("ReplicaSet", "s-0-1-1-7d9f8c6b5"), ("Job", "s-0-1"), ("Node", "n")]
)
async def test_a_pod_of_another_maker_is_not_the_server(owner):
    api = FakeApi(sloguardtrials=[TRIAL], deployments=[server()], pods=[server_pod(running(), owner=owner)])
    assert (await seen(api)).server.state is ServerState.WAITING


async def test_events_are_of_the_trials_own_replica_set():
    """Study s-0 has a trial s-0-1-1, whose events are not those of trial s-0-1 of study s."""
    events = [
        {"reason": "FailedCreate", "message": of, "type": "Warning", "involvedObject": {"name": of}}
        for of in ("s-0-1-7d9f8c6b5", "s-0-1-1-7d9f8c6b5", "s-0-10-7d9f8c6b5", "llama-5c4d")
    ]
    found = await seen(FakeApi(sloguardtrials=[TRIAL], deployments=[server()], events=events))
    assert [e.message for e in found.server.evidence.events] == ["s-0-1-7d9f8c6b5"]


async def test_events_of_a_server_that_was_just_asked_for_are_not_read(monkeypatch):
    begun_at = datetime.fromisoformat(TRIAL["status"]["startedAt"])
    monkeypatch.setattr(clock, "now", lambda: begun_at + STARTS_WITHIN)
    event = {
        "reason": "FailedCreate",
        "message": "no",
        "type": "Warning",
        "involvedObject": {"name": "s-0-1-7d9f8c6b5"},
    }
    api = FakeApi(sloguardtrials=[TRIAL], deployments=[server()], events=[event])
    assert not (await seen(api)).server.evidence.events
    monkeypatch.setattr(clock, "now", lambda: begun_at + STARTS_WITHIN * 2)
    assert (await seen(api)).server.evidence.events


async def test_a_finished_trial_is_looked_at_only_while_something_of_it_is_left():
    done = trial_object(0, status=finished())
    assert await seen(FakeApi(sloguardtrials=[done])) is None
    api = FakeApi(sloguardtrials=[done], deployments=[server()], pods=[server_pod(terminated(1, "Error"))])
    assert (await seen(api)).leftovers
    assert api.logs == []
    leaving = FakeApi(sloguardtrials=[done], deployments=[server(deletionTimestamp=T0)])
    assert not (await seen(leaving)).leftovers


async def test_a_trial_that_cannot_be_read_does_not_stop_the_study():
    strange = trial_object(1, image="x")
    gathered = await gather(FakeApi(sloguardtrials=[TRIAL, strange]), "prod", "s")
    assert [t.name for t in gathered.snapshot.trials] == ["s-0-1"]
    assert "image" in gathered.passed_over["s-1-1"]


async def test_productions_pods_are_read_only_while_it_is_changed():
    crashed = pod(terminated(1, "Error"), args=VLLM["args"])
    api = FakeApi(pods=[crashed])
    assert (await gather(api, "prod", "s")).snapshot.target.rollout.failure == ""
    moment = {"startedAt": T0, "changedAt": T0}
    api.study = STUDY | {"status": {"promotion": {"state": "Promoting", "trial": "s-2-1"} | moment}}
    assert "did not stay up" in (await gather(api, "prod", "s")).snapshot.target.rollout.failure


def test_a_study_that_makes_no_sense_says_where():
    spec = STUDY["spec"] | {"windows": [{"schedule": "x", "durationMinutes": 5}], "novelty": 1}
    with pytest.raises(StudyUnreadableError, match=r"novelty") as caught:
        read_study(STUDY | {"spec": spec})
    assert str(caught.value).isprintable()


def test_a_local_target_is_none_of_a_clusters():
    spec = STUDY["spec"] | {"target": {"kind": "Process", "command": ["vllm", "serve", "m"]}}
    with pytest.raises(StudyUnreadableError, match="on a cluster it can be: Deployment"):
        read_study(STUDY | {"spec": spec})


class Listing(FakeApi):
    """Notes what is listed."""

    def __init__(self, **items):
        super().__init__(**items)
        self.listed = []

    async def items(self, resource, _namespace, **_selectors):
        self.listed.append(resource.plural)
        return self.lists[resource.plural]


JOB_POD = pod(running(), name="load") | {}
JOB_POD["metadata"] |= {"labels": {"sloguard.dev/trial": "s-0-1", "sloguard.dev/role": "load"}}


@pytest.mark.parametrize(
    ("status", "pods", "whole", "looked_for"),
    [
        ({}, [], False, set()),
        ({}, [], True, {"deployments", "jobs"}),
        (begun(), [], False, {"deployments"}),
        (begun(), [], True, {"deployments", "jobs"}),
        (begun(loadStartedAt=LATER), [], False, {"deployments", "jobs"}),
        (finished(loadStartedAt=LATER), [], False, set()),
        (finished(loadStartedAt=LATER), [JOB_POD], False, {"deployments", "jobs"}),
        (begun(gpus="two"), [], False, {"deployments"}),
    ],
)
async def test_children_are_looked_for_where_there_may_be_any(status, pods, whole, looked_for):
    api = Listing(sloguardtrials=[trial_object(0, status=status)], pods=pods)
    await gather(api, "prod", "s", whole=whole)
    assert {"deployments", "jobs"} & set(api.listed) == looked_for
