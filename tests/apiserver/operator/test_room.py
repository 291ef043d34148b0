"""Trials start where GPUs are free: nodes, pods and quotas as a real API server keeps them."""

import pytest

from tests.apiserver.operator.objects import production, study

GPU = "nvidia.com/gpu"


@pytest.fixture
def node(world):
    """With room for pods and no GPU yet; nobody schedules here, so nothing comes onto it by itself."""
    name = f"node-of-{world.namespace}"
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}
    world.rest.request("POST", "/api/v1/nodes", body)
    yield name
    world.rest.request("DELETE", f"/api/v1/nodes/{name}", {})


def offer(world, node, gpus):
    offers = {GPU: str(gpus), "cpu": "8", "memory": "64Gi", "pods": "20"}
    ready = [{"type": "Ready", "status": "True", "reason": "Test", "message": "it is"}]
    body = {"status": {"capacity": offers, "allocatable": offers, "conditions": ready}}
    world.rest.request("PATCH", f"/api/v1/nodes/{node}/status", body)
    # The node lifecycle controller takes the taints of a new node away once it is Ready.
    world.rest.request("PATCH", f"/api/v1/nodes/{node}", {"spec": {"taints": []}})


def bind(world, node):
    """Production's pods, as the scheduler would."""
    for pod in [p for p in world.items("pods") if not p["spec"].get("nodeName")]:
        name = pod["metadata"]["name"]
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        world.rest.request("POST", world.path("pods", name, "binding"), body)


def waits(world, reason, *words):
    told = world.condition("Reconciling")
    return told.get("reason") == reason and all(word in told["message"] for word in words)


def test_a_study_waits_for_a_gpu_that_production_leaves_and_for_its_quota(world, node):
    world.create("deployments", production(resources={"limits": {GPU: "1"}}))
    offer(world, node, 1)
    world.play(lambda: len(world.items("pods")) == 1)
    bind(world, node)
    world.create("sloguardstudies", study())
    world.play(lambda: waits(world, "WaitingForGPUs", f"a trial needs 1 {GPU}", f"0 {GPU} free"), poke=True)
    assert world.trials() == {}

    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}}
    hard = {"hard": {f"requests.{GPU}": "1"}}
    world.rest.request("POST", f"/api/v1/namespaces/{world.namespace}/resourcequotas", quota | {"spec": hard})
    offer(world, node, 2)
    world.play(lambda: waits(world, "WaitingForQuota", "ResourceQuota team allows 1", "1 are used"), poke=True)
    assert world.trials() == {}

    raised = {"spec": {"hard": {f"requests.{GPU}": "2"}}}
    world.rest.request("PATCH", f"/api/v1/namespaces/{world.namespace}/resourcequotas/team", raised)
    world.play(lambda: "s-0-1" in world.trials(), poke=True)
