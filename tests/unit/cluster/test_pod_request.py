"""What a pod requests, and where it may run."""

import pytest

from sloguard.cluster.pod_request import admits, requests_of
from tests.unit.cluster.nodes import GPU, node


def container(cpu="0", gpus=0, **more):
    return {"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {GPU: str(gpus)}}} | more


def test_containers_run_together_and_init_containers_one_after_the_other():
    spec = {
        "initContainers": [container("3"), container("1", restartPolicy="Always"), container("4")],
        "containers": [container("1", 2), container("2")],
        "overhead": {"cpu": "250m"},
    }
    assert requests_of(spec)["cpu"] == 5250, "the last init container beside the sidecar, and the overhead"
    assert requests_of(spec)[GPU] == 2000
    assert requests_of(spec)["pods"] == 1000


def expression(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def required(*terms):
    return {
        "affinity": {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
        }
    }


@pytest.mark.parametrize(
    ("spec", "fits"),
    [
        ({}, True),
        ({"nodeName": "a"}, True),
        ({"nodeName": "b"}, False),
        ({"nodeSelector": {"zone": "1"}}, True),
        ({"nodeSelector": {"zone": "2"}}, False),
        (required(expression("zone", "In", "1", "2")), True),
        (required(expression("zone", "NotIn", "1")), False),
        (required(expression("absent", "NotIn", "1")), True),
        (required(expression("zone", "Exists")), True),
        (required(expression("zone", "DoesNotExist")), False),
        (required(expression("memory", "Gt", "40000")), True),
        (required(expression("memory", "Lt", "40000")), False),
        (required(expression("absent", "Gt", "1")), False),
        (required(expression("zone", "Odd", "1")), False),
        (required({}), False),
        (required(), False),
        (required(expression("zone", "In", "2"), expression("zone", "In", "1")), True),
        (required({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}), True),
        ({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}}, True),
    ],
)
def test_selectors_and_affinity(spec, fits):
    assert admits(node("a", labels={"zone": "1", "memory": "81559"}), spec) is fits


@pytest.mark.parametrize(
    ("toleration", "fits"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "gpu", "value": "yes", "effect": "NoSchedule"}, True),
    ],
)
def test_taints(toleration, fits):
    taints = [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}, {"key": "x", "effect": "PreferNoSchedule"}]
    assert admits(node(taints=taints), {"tolerations": [toleration]}) is fits
