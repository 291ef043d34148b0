"""Each kind of target: where its template is, how its update goes, which pods are its own."""

import copy
import re

import pytest

from sloguard.api.v1alpha1 import Target, TargetKind
from sloguard.cluster import render
from sloguard.cluster.target import rollout, target_state
from sloguard.cluster.workloads.deployment import DEPLOYMENT
from sloguard.cluster.workloads.kinds import WORKLOADS, template_of, workload_of
from sloguard.cluster.workloads.leader_worker_set import ALONE, LEADER_WORKER_SET
from sloguard.cluster.workloads.stateful_set import STATEFUL_SET
from sloguard.engine.snapshot import Pace, Rollout, StuckPod, TargetProblem, TargetState
from tests.unit.cluster.objects import VLLM, deployment, pod, running, trial

ARGUMENTS = tuple(VLLM["args"])
OLD = ("org/model", "--max-num-seqs=1")
SETTLED = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}
NOW = "2026-03-02T12:00:00Z"


def stateful_set(*, status=None, metadata=None, **spec):
    """Of two replicas, rolled out."""
    own = {"uid": "uid-llama"} | (metadata or {})
    return deployment(status=SETTLED | (status or {}), metadata=own, **spec) | {"kind": "StatefulSet"}


def leader_worker_set(*, status=None, leader=None, replicas=2, rolling=None, **group):
    """Of two groups of one pod, rolled out."""
    templates = {"workerTemplate": deployment()["spec"]["template"]} | ({"leaderTemplate": leader} if leader else {})
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "llama", "namespace": "prod", "generation": 3, "resourceVersion": "42"},
        "spec": {
            "replicas": replicas,
            "leaderWorkerTemplate": {"size": 1} | templates | group,
            "rolloutStrategy": {"type": "RollingUpdate", "rollingUpdateConfiguration": rolling or {}},
        },
        "status": SETTLED | (status or {}),
    }


OF_KIND = {
    TargetKind.DEPLOYMENT: deployment(),
    TargetKind.STATEFUL_SET: stateful_set(),
    TargetKind.LEADER_WORKER_SET: leader_worker_set(),
}


def test_the_kinds_of_a_cluster_are_all_but_a_process():
    assert set(WORKLOADS) == set(TargetKind) - {TargetKind.PROCESS}


@pytest.mark.parametrize("kind", WORKLOADS)
def test_every_kind_is_read_and_changed_in_the_same_way(kind):
    stored = OF_KIND[kind]
    target = target_state(stored, Target(kind=kind, name="llama", container="vllm"), [])
    assert isinstance(target, TargetState)
    assert (target.arguments, target.replicas, target.image) == (ARGUMENTS, 2, VLLM["image"])
    body = workload_of(stored).with_container(stored, {"name": "vllm", "args": ["m"]})
    assert (body["apiVersion"], body["kind"]) == (stored["apiVersion"], kind.value)
    assert body["metadata"] == {"name": "llama", "resourceVersion": "42"}
    assert template_of(stored | body) == {"spec": {"containers": [{"name": "vllm", "args": ["m"]}]}}


@pytest.mark.parametrize("kind", WORKLOADS)
def test_a_candidate_is_a_deployment_whatever_production_is(kind):
    stored = OF_KIND[kind]
    before = copy.deepcopy(stored)
    made = render.deployment(trial(), stored, "vllm", ("m", "--port=8000"))
    assert stored == before, "the original was changed"
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert (made["kind"], container["image"], container["args"]) == ("Deployment", VLLM["image"], ["m", "--port=8000"])


@pytest.mark.parametrize("kind", WORKLOADS)
def test_a_canary_has_the_labels_of_the_template_and_no_others_of_its_controllers(kind):
    """With those of its controller it would be taken for one of its own, and counted, or worse."""
    claims = {"volumeClaimTemplates": [claim("models", "ReadWriteOnce")]}
    stored = stateful_set(**claims) if kind is TargetKind.STATEFUL_SET else OF_KIND[kind]
    made = render.canary(trial(), stored, "vllm", ("m", "--port=8000"))["spec"]["template"]
    theirs = {name for name in made["metadata"]["labels"] if "sloguard" not in name and "managed-by" not in name}
    assert theirs == {"app"}
    volumes = made["spec"].get("volumes", [])
    assert [v["name"] for v in volumes] == (["models"] if kind is TargetKind.STATEFUL_SET else [])


@pytest.mark.parametrize(
    ("kind", "own", "foreign"),
    [
        (TargetKind.DEPLOYMENT, "llama-7d9f8c6b5-x2x9z", "llama-0"),
        (TargetKind.STATEFUL_SET, "llama-10", "llama-7d9f8c6b5-x2x9z"),
        (TargetKind.LEADER_WORKER_SET, "llama-0", "llama-0-1"),
    ],
)
def test_pods_are_named_after_what_made_them(kind, own, foreign):
    pattern = re.compile(f"llama{WORKLOADS[kind].pod_suffix}")
    assert pattern.fullmatch(own)
    assert not pattern.fullmatch(foreign)


def rolling(surge=None, unavailable=None):
    given = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"type": "RollingUpdate", "rollingUpdate": {k: v for k, v in given.items() if v is not None}}


@pytest.mark.parametrize(
    ("replicas", "strategy", "expected"),
    [
        (1, None, Pace(1, 0)),
        (2, rolling(), Pace(1, 0)),
        (4, rolling(), Pace(1, 1)),
        (10, rolling("25%", "25%"), Pace(3, 2)),
        (2, rolling(0, 1), Pace(0, 1)),
        (2, rolling("0%", "30%"), Pace(0, 1)),
        (3, rolling(0, "40%"), Pace(0, 1)),
        (2, rolling(2, 0), Pace(2, 0)),
        (3, {"type": "Recreate"}, Pace(0, 3)),
    ],
)
def test_a_deployments_surge_is_rounded_up_and_unavailability_down(replicas, strategy, expected):
    given = {"strategy": strategy} if strategy is not None else {}
    assert DEPLOYMENT.pace(deployment(replicas=replicas, **given)) == expected


@pytest.mark.parametrize(
    ("replicas", "strategy", "expected"),
    [
        (1, {}, Pace(0, 1)),
        (4, {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}, Pace(0, 1)),
        (4, {"rollingUpdate": {"maxUnavailable": "50%"}}, Pace(0, 2)),
        (4, {"rollingUpdate": {"maxUnavailable": "10%"}}, Pace(0, 1)),
    ],
)
def test_a_stateful_set_ends_a_pod_before_it_makes_one(replicas, strategy, expected):
    assert STATEFUL_SET.pace(stateful_set(replicas=replicas, updateStrategy=strategy)) == expected


@pytest.mark.parametrize(
    ("replicas", "rolling", "expected"),
    [
        (1, {}, Pace(0, 1)),
        (2, {"maxSurge": 1, "maxUnavailable": 0}, Pace(1, 0)),
        (2, {"maxSurge": 5, "maxUnavailable": 0}, Pace(2, 0)),
        (3, {"maxSurge": "30%", "maxUnavailable": "30%"}, Pace(1, 0)),
        (2, {"maxSurge": 0, "maxUnavailable": "10%"}, Pace(0, 1)),
    ],
)
def test_a_leader_worker_sets_pace(replicas, rolling, expected):
    assert LEADER_WORKER_SET.pace(leader_worker_set(replicas=replicas, rolling=rolling)) == expected


WITHHELD = {
    "paused": (deployment(paused=True), "kubectl rollout resume deployment/llama"),
    "on delete": (stateful_set(updateStrategy={"type": "OnDelete"}), "updateStrategy OnDelete"),
    "partition": (stateful_set(updateStrategy={"rollingUpdate": {"partition": 1}}), "rollingUpdate.partition 1"),
    "groups": (leader_worker_set(rolling={"partition": 2}), "partition 2"),
}


@pytest.mark.parametrize("how", WITHHELD)
def test_an_update_that_its_owner_keeps_from_pods_cannot_end(how):
    stored, says = WITHHELD[how]
    assert says in workload_of(stored).withheld(stored)
    assert says in rollout(stored, "vllm", ARGUMENTS, []).failure


@pytest.mark.parametrize("kind", WORKLOADS)
def test_nothing_withholds_updates_usually(kind):
    assert not WORKLOADS[kind].withheld(OF_KIND[kind])


@pytest.mark.parametrize(
    "stored",
    [
        stateful_set(metadata={"generation": 4}),
        stateful_set(status={"updatedReplicas": 1}),
        stateful_set(status={"availableReplicas": 1}),
        stateful_set(status={"replicas": 1}),
    ],
)
def test_a_stateful_set_on_its_way(stored):
    assert not rollout(stored, "vllm", ARGUMENTS, []).complete


def test_a_stateful_set_that_is_there():
    assert rollout(stateful_set(), "vllm", ARGUMENTS, []) == Rollout(complete=True)


def serving(name, arguments=ARGUMENTS, *, ready=True, owner="uid-llama", deleted=None):
    status = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    return pod(running(), name=name, args=list(arguments), owner=owner, status=status, deleted=deleted)


@pytest.mark.parametrize(
    ("pods", "status", "complete"),
    [
        ([serving("a"), serving("b")], {}, True),
        ([serving("a"), serving("b", OLD)], {}, False),
        ([serving("a"), serving("b", ready=False)], {}, False),
        ([serving("a"), serving("b", deleted=NOW)], {}, False),
        ([serving("a"), serving("b")], {"updatedReplicas": 1}, False),
        ([serving("a"), serving("b")], {"replicas": 3}, False),
        ([], {}, False),
    ],
)
def test_groups_are_rolled_out_when_their_pods_show_it(pods, status, complete):
    """The status of before the update says the same as the one after it."""
    assert rollout(leader_worker_set(status=status), "vllm", ARGUMENTS, pods).complete is complete


def test_a_stateful_set_waits_for_its_own_pods_that_are_not_ready():
    pods = [
        serving("llama-0", OLD),
        serving("llama-1", ready=False),
        serving("llama-2", ready=False, deleted=NOW),
        serving("foreign", ready=False, owner="uid-other"),
    ]
    stuck = rollout(stateful_set(), "vllm", ARGUMENTS, pods).stuck
    assert stuck == (StuckPod("llama-1", "uid-llama-1", ARGUMENTS),)
    assert not rollout(stateful_set(podManagementPolicy="Parallel"), "vllm", ARGUMENTS, pods).stuck
    assert not rollout(stateful_set(metadata={"generation": 4}), "vllm", ARGUMENTS, pods).stuck


def claim(name, *modes, **metadata):
    spec = {"accessModes": list(modes), "resources": {"requests": {"storage": "200Gi"}}, "storageClassName": "fast"}
    return {"metadata": {"name": name} | metadata, "spec": spec, "status": {"phase": "Pending"}}


def test_claims_are_shared_where_their_owner_allows_it_and_made_anew_elsewhere():
    template = deployment()["spec"]["template"]
    template["spec"]["volumes"] = [{"name": "shm", "emptyDir": {}}, {"name": "cache", "emptyDir": {}}]
    claims = [
        claim("models", "ReadWriteMany"),
        claim("cache", "ReadWriteOncePod", labels={"a": "b"}, finalizers=["x"]),
        claim("graphs", "ReadWriteOnce"),
    ]
    stored = stateful_set(template=template, volumeClaimTemplates=claims, ordinals={"start": 3})
    found = STATEFUL_SET.candidate_template(stored)
    cache = {"spec": claims[1]["spec"], "metadata": {"labels": {"a": "b"}}}
    assert found.template["spec"]["volumes"] == [
        {"name": "shm", "emptyDir": {}},
        {"name": "models", "persistentVolumeClaim": {"claimName": "models-llama-3"}},
        {"name": "cache", "ephemeral": {"volumeClaimTemplate": cache}},
        {"name": "graphs", "ephemeral": {"volumeClaimTemplate": {"spec": claims[2]["spec"]}}},
    ]
    assert found.differs.startswith(
        "candidates share the claims of production's llama-3 for models and begin with volumes of their own for cache, "
        "graphs, as a new replica would"
    )
    assert not STATEFUL_SET.candidate_template(stateful_set()).differs


def test_the_leader_has_the_workers_template_unless_it_has_its_own():
    assert template_of(leader_worker_set()) == deployment()["spec"]["template"]
    leader = deployment(VLLM | {"image": "leader"})["spec"]["template"]
    stored = leader_worker_set(leader=leader)
    assert template_of(stored) == leader
    container = {"name": "vllm", "args": ["m"]}
    applied = LEADER_WORKER_SET.with_container(stored, container)["spec"]
    assert applied == {"leaderWorkerTemplate": {"leaderTemplate": {"spec": {"containers": [container]}}}}


def test_a_candidate_is_a_group_of_itself():
    leader = deployment(VLLM | {"env": [{"name": "LWS_GROUP_SIZE", "value": "9"}, {"name": "A", "value": "b"}]})
    made = render.deployment(trial(), leader_worker_set(leader=leader["spec"]["template"]), "vllm", ARGUMENTS)
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert {e["name"]: e["value"] for e in container["env"]} == {**ALONE, "A": "b"}


def test_groups_of_several_pods_cannot_be_tuned():
    wanted = Target(kind=TargetKind.LEADER_WORKER_SET, name="llama", container="vllm")
    problem = target_state(leader_worker_set(size=4), wanted, [])
    assert isinstance(problem, TargetProblem)
    assert problem.reason == "TargetHasSeveralPods"
    assert "groups of 4 pods" in problem.message
