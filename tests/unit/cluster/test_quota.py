"""A quota that would refuse a candidate or its load is seen before, and named with its figures."""

import pytest

from sloguard.cluster.quota import Coming, LoadPods, quota_room
from tests.unit.cluster.nodes import production

NO_LOAD = LoadPods({}, 0)


def load(pods=1):
    resources = {"requests": {"cpu": "300m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
    return LoadPods({"containers": [{"resources": resources}]}, pods)


def room(hard, used, template, load=NO_LOAD, **coming):
    return quota_room([quota(hard, used)], template, load, Coming(**coming))


def quota(hard, used, **spec):
    return {"metadata": {"name": "team"}, "spec": spec, "status": {"hard": hard, "used": used}}


def template(**spec):
    made = production(**spec)["spec"]["template"]
    resources = {"limits": {"nvidia.com/gpu": "1", "memory": "64Gi"}, "requests": {"cpu": "4"}}
    made["spec"]["containers"][0]["resources"] = resources
    return made


@pytest.mark.parametrize(
    ("name", "hard", "used", "fits"),
    [
        ("requests.nvidia.com/gpu", "4", "3", True),
        ("requests.nvidia.com/gpu", "4", "4", False),
        ("cpu", "8", "4500m", False),
        ("requests.cpu", "8", "4", True),
        ("requests.memory", "128Gi", "100Gi", False),
        ("limits.memory", "128Gi", "64Gi", True),
        ("limits.cpu", "1", "1", True),
        ("pods", "10", "10", False),
        ("count/deployments.apps", "3", "3", False),
        ("services", "5", "5", False),
        ("persistentvolumeclaims", "0", "0", True),
    ],
)
def test_everything_that_a_candidate_takes_is_looked_at(name, hard, used, fits):
    found = room({name: hard}, {name: used}, template())
    assert bool(found.places) is fits
    if not fits:
        assert found.reason == "WaitingForQuota"
        assert f"ResourceQuota team allows {hard} {name} in this namespace, of which {used} are used" in found.message


@pytest.mark.parametrize(
    ("name", "hard", "used", "fits"),
    [
        ("pods", "3", "1", True),
        ("pods", "3", "2", False),
        ("count/pods", "3", "2", False),
        ("requests.cpu", "9", "4700m", True),
        ("requests.cpu", "9", "4800m", False),
        ("requests.memory", "129Gi", "64Gi", True),
        ("limits.memory", "128Gi", "64Gi", False),
        ("count/jobs.batch", "1", "1", False),
        ("count/deployments.apps", "2", "1", True),
        ("requests.nvidia.com/gpu", "2", "1", True),
    ],
)
def test_its_load_has_to_fit_as_well_or_a_gpu_would_be_held_for_nothing(name, hard, used, fits):
    assert bool(room({name: hard}, {name: used}, template(), load()).places) is fits


@pytest.mark.parametrize(
    ("name", "hard", "used", "fits"),
    [
        ("persistentvolumeclaims", "4", "2", True),
        ("persistentvolumeclaims", "4", "3", False),
        ("count/persistentvolumeclaims", "4", "3", False),
        ("requests.storage", "320Gi", "100Gi", True),
        ("requests.storage", "320Gi", "101Gi", False),
        ("fast.storageclass.storage.k8s.io/requests.storage", "200Gi", "1Gi", False),
        ("fast.storageclass.storage.k8s.io/persistentvolumeclaims", "1", "1", False),
        ("slow.storageclass.storage.k8s.io/requests.storage", "0", "0", True),
    ],
)
def test_volumes_of_its_own_count(name, hard, used, fits):
    """Of a class and of none; production's missing replicas have theirs."""
    wanted = template()
    fast = {"resources": {"requests": {"storage": "200Gi"}}, "storageClassName": "fast"}
    wanted["spec"]["volumes"] = [
        {"name": "a", "ephemeral": {"volumeClaimTemplate": {"spec": fast}}},
        {"name": "b", "ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "20Gi"}}}}}},
        {"name": "c", "persistentVolumeClaim": {"claimName": "shared"}},
    ]
    assert bool(room({name: hard}, {name: used}, wanted, missing=1).places) is fits
    pods_only = quota_room([quota({name: hard}, {name: used}, scopes=["NotTerminating"])], wanted, NO_LOAD, Coming())
    assert pods_only.places


def test_all_generators_of_a_load_run_at_once():
    assert room({"pods": "6"}, {"pods": "1"}, template(), load(4)).places
    found = room({"pods": "5"}, {"pods": "1"}, template(), load(4))
    assert found.message.endswith("of which 1 are used; a trial needs 5, 4 of it for its load")
    found = room({"pods": "4"}, {"pods": "1"}, template(), load(4))
    assert found.message.endswith("; it never fits, so raise pods there")


def test_what_is_about_to_come_counts():
    hard, used = {"requests.nvidia.com/gpu": "4"}, {"requests.nvidia.com/gpu": "2"}
    assert room(hard, used, template(), begun=1).places
    found = room(hard, used, template(), begun=1, missing=1)
    assert "of which 2 are used, and 2 more are needed by what is about to come; a trial needs 1" in found.message
    assert room({"services": "4"}, {"services": "2"}, template(), begun=1, missing=1).places, "a replica is a pod alone"


def test_a_load_that_is_yet_to_come_keeps_its_place():
    assert room({"pods": "5"}, {"pods": "2"}, template(), load(), unloaded=1).places
    assert not room({"pods": "5"}, {"pods": "3"}, template(), load(), unloaded=1).places
    assert not room({"pods": "5"}, {"pods": "2"}, template(), load(), begun=1).places


def test_a_quota_of_a_scope_counts_the_pods_that_are_in_it():
    only_high = {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]}
    found = [quota({"pods": "1"}, {"pods": "0"}, scopeSelector=only_high)]
    assert quota_room(found, template(priorityClassName="high"), load(), Coming()).places
    assert quota_room(found, template(), load(), Coming()).places
    best_effort = [quota({"pods": "1"}, {"pods": "1"}, scopes=["BestEffort"])]
    assert quota_room(best_effort, template(), load(), Coming()).places


def test_a_quota_that_can_never_hold_a_candidate_says_so():
    found = room({"requests.memory": "32Gi"}, {"requests.memory": "0"}, template())
    assert found.message.endswith("a trial needs 64Gi; it never fits, so raise requests.memory there")


@pytest.mark.parametrize(
    ("scope", "applies"),
    [
        ({"scopes": ["NotTerminating"]}, True),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["BestEffort"]}, False),
        ({"scopes": ["NotBestEffort", "NotTerminating"]}, True),
        ({"scopes": ["CrossNamespacePodAffinity"]}, False),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["high"]}]
                }
            },
            True,
        ),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]}]
                }
            },
            False,
        ),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}}, True),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "Terminating", "operator": "Exists"}]}}, False),
    ],
)
def test_scopes(scope, applies):
    full = [quota({"pods": "1"}, {"pods": "1"}, **scope)]
    found = quota_room(full, template(priorityClassName="high"), NO_LOAD, Coming())
    assert bool(found.places) is not applies
