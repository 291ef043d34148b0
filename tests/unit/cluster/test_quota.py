"""A quota that would refuse a candidate is seen before, and named with its figures."""

import pytest

from sloguard.cluster.quota import quota_room
from tests.unit.cluster.nodes import production


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
    found = quota_room([quota({name: hard}, {name: used})], template(), 0, 0)
    assert bool(found.places) is fits
    if not fits:
        assert found.reason == "WaitingForQuota"
        assert f"ResourceQuota team allows {hard} {name} in this namespace, of which {used} are used" in found.message


def test_what_is_about_to_come_counts():
    gpus = quota({"requests.nvidia.com/gpu": "4"}, {"requests.nvidia.com/gpu": "2"})
    assert quota_room([gpus], template(), 1, 0).places
    assert not quota_room([gpus], template(), 1, 1).places
    services = quota({"services": "4"}, {"services": "2"})
    assert quota_room([services], template(), 1, 1).places, "a replica of production is a pod alone"


def test_a_quota_that_can_never_hold_a_candidate_says_so():
    found = quota_room([quota({"requests.memory": "32Gi"}, {"requests.memory": "0"})], template(), 0, 0)
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
    found = quota_room([quota({"pods": "1"}, {"pods": "1"}, **scope)], template(priorityClassName="high"), 0, 0)
    assert bool(found.places) is not applies
