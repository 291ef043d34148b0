"""A whole study, from the first trial to production."""

from collections import Counter

import yaml

from tests.apiserver.operator.conftest import ROOT
from tests.apiserver.operator.objects import ARGUMENTS, BEST, production, study
from tests.apiserver.operator.world import World


def test_a_study_ends_in_production(world, operator):
    world.create("deployments", production())
    world.create("sloguardstudies", study())
    world.play(lambda: world.phase() == "AwaitingApproval")
    trials = world.trials()
    assert sorted(trials) == [f"s-{number}-1" for number in range(8)]
    outcomes = Counter(t["status"]["outcome"] for t in trials.values())
    assert outcomes == {"Feasible": 7, "Crashed": 1}
    (crashed,) = [t for t in trials.values() if t["status"]["outcome"] == "Crashed"]
    assert crashed["spec"]["parameters"] == {"max_num_seqs": "8"}
    assert crashed["status"]["crash"]["class"] == "HostOutOfMemory"
    recommended = world.status()["recommendation"]
    assert recommended["arguments"] == BEST
    assert recommended["goodputTokensPerSecond"] == 300
    assert world.condition("Ready")["reason"] == "AwaitingApproval"
    assert world.container()["args"] == ARGUMENTS
    world.play(lambda: not world.servers() and not world.items("jobs"))
    assert [s["metadata"]["name"] for s in world.items("services")] == []
    told = Counter(e["reason"] for e in world.items("events") if e["involvedObject"]["kind"] == "SLOGuardStudy")
    assert told["TrialRecorded"] == 8
    assert told["TrialCrashed"] == 1
    assert "finalizers" not in world.study()["metadata"]

    world.patch("sloguardstudies", "s", {"spec": {"promotion": {"approvedTrial": recommended["trial"]}}})
    world.play(lambda: world.phase() == "Completed", poke=True)
    assert world.status()["promotion"]["state"] == "Promoted"
    assert world.container()["args"] == BEST
    assert applied_fields(world) == {"f:args"}
    world.play(lambda: "finalizers" not in world.study()["metadata"])
    reconciles, requests = operator.reconciles(world.namespace), operator.requests(world.namespace)
    print(f"\n{len(requests)} requests in {len(reconciles)} reconciles, {len(requests) / 8:.0f} a trial")
    assert (
        unused_rights(requests)
        <= NEEDED_ON_CONFLICT
        | NEEDED_FOR_LIVE_TRAFFIC
        | NEEDED_FOR_LONG_STUDIES
        | NEEDED_FOR_OTHER_TARGETS
        | NEEDED_ON_NODES
    )


def applied_fields(world: World) -> set[str]:
    """What the operator owns of production, which is within one container."""
    entries = world.get("deployments", "llama")["metadata"]["managedFields"]
    (ours,) = [e["fieldsV1"] for e in entries if e["manager"] == "sloguard"]
    assert ours.keys() == {"f:spec"}
    containers = ours["f:spec"]["f:template"]["f:spec"]["f:containers"]
    assert list(containers) == ['k:{"name":"vllm"}']
    return {field for fields in containers.values() for field in fields} - {".", "f:name"}


Right = tuple[str, str, str]
"""API group, resource, verb."""


def granted() -> set[Right]:
    documents = yaml.safe_load_all((ROOT / "charts/manifests/rbac.yaml").read_text())
    (role,) = [d for d in documents if d["kind"] == "ClusterRole"]
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(lines: list[dict]) -> set[Right]:
    """By the operator's own requests; its watches are kopf's."""
    rights = set()
    for line in lines:
        method, path = line["message"].split()
        parts = path.split("/")[1:]
        group, place = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
        _, _, resource, *name = place
        verb = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}.get(method)
        rights.add((group, "/".join([resource, *name[1:]]), verb or ("get" if name else "list")))
    return rights


NEEDED_ON_CONFLICT = {
    ("sloguard.dev", "sloguardtrials", "get"),
    ("apps", "deployments", "get"),
    ("batch", "jobs", "get"),
    ("", "services", "get"),
}
"""To see whose an object is whose name is taken."""

NEEDED_FOR_LIVE_TRAFFIC = {("", "services", "patch")}
"""test_live_traffic.py uses it: one Service leads to one trial after the other."""

NEEDED_FOR_LONG_STUDIES = {("sloguard.dev", "sloguardtrials", "delete")}
"""test_history.py uses it."""

NEEDED_FOR_OTHER_TARGETS = {
    *(("apps", "statefulsets", verb) for verb in ("get", "patch")),
    *(("leaderworkerset.x-k8s.io", "leaderworkersets", verb) for verb in ("get", "patch")),
    ("", "pods", "delete"),
}
"""test_stateful_set.py and test_leader_worker_set.py use them."""

NEEDED_ON_NODES = {("", "nodes", "get"), ("", "nodes", "list")}
"""Here no scheduler puts a pod on one, and production asks for no GPU."""

WATCHED = [
    ("sloguard.dev", "sloguardstudies"),
    ("", "pods"),
]


def unused_rights(requests: list[dict]) -> set[Right]:
    watches = {(group, resource, verb) for group, resource in WATCHED for verb in ("list", "watch")}
    return granted() - used(requests) - watches
