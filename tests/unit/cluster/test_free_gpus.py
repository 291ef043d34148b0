"""How many candidates there is room for, beside production and whoever waits."""

import pytest

from sloguard.cluster.free_gpus import Census, Waiting, room
from sloguard.cluster.pod_request import requests_of
from tests.unit.cluster.nodes import gpu_pod, node, own, production


def census(*nodes, pods=()):
    made = Census(list(nodes))
    made.count(pods)
    return made


def places(*nodes, pods=(), target=None, begun=()):
    return room(census(*nodes, pods=pods), target or production(), begun).places


def test_what_is_not_requested_is_free():
    assert places(node(gpus=4), pods=own()) == 3
    assert places(node(gpus=4), node("b", 2), pods=[*own(), gpu_pod("b")]) == 4
    assert places(node(gpus=1), pods=own()) == 0


def test_a_candidate_of_several_gpus_needs_them_on_one_node():
    target = production(gpus=2)
    pods = own(gpus=2)
    assert places(node(gpus=3), node("b", 1), pods=pods, target=target) == 0
    assert places(node(gpus=5), node("b", 3), pods=pods, target=target) == 2


def test_a_candidate_without_gpus_that_just_began_takes_none():
    assert places(node(gpus=4), pods=own(), begun=[Waiting("prod", "s-1-1", {}, {})]) == 3


def test_pods_that_are_over_hold_nothing_and_those_that_leave_still_do():
    over = gpu_pod("a", 3, phase="Succeeded")
    leaving = gpu_pod("a", 1, deleted=True)
    assert places(node(gpus=4), pods=[*own(), over]) == 3
    assert places(node(gpus=4), pods=[*own(), leaving]) == 2


def test_what_production_lacks_is_kept_for_it_whether_its_pods_are_there_or_not():
    target = production(replicas=3)
    assert places(node(gpus=4), pods=own(count=1), target=target) == 1
    assert places(node(gpus=4), pods=[*own(count=1), *own(on=None, count=2)], target=target) == 1
    leaving = own(deleted=True)
    assert places(node(gpus=4), pods=[*own(count=2), *leaving], target=target) == 0


@pytest.mark.parametrize(
    ("status", "strategy", "free"),
    [
        ({}, {}, 2),
        ({"updatedReplicas": 1}, {}, 1),
        ({"observedGeneration": 2}, {"rollingUpdate": {"maxSurge": 2}}, 0),
        ({"updatedReplicas": 1}, {"rollingUpdate": {"maxSurge": "100%"}}, 0),
        ({"updatedReplicas": 1}, {"type": "Recreate"}, 2),
    ],
)
def test_a_rollout_that_is_under_way_keeps_its_surge(status, strategy, free):
    target = production(replicas=2, status=status)
    target["spec"]["strategy"] = strategy
    assert places(node(gpus=4), pods=own(count=2), target=target) == free


def test_who_waits_comes_first():
    assert places(node(gpus=4), pods=[*own(), gpu_pod(None, 2)]) == 1
    assert places(node(gpus=4), pods=[*own(), gpu_pod(None, 3)]) == 0
    assert places(node(gpus=4), pods=[*own(), gpu_pod(None, 2, schedulingGates=[{"name": "g"}])]) == 3, "in a queue"
    elsewhere = gpu_pod(None, 2, nodeSelector={"pool": "other"})
    assert places(node(gpus=4), node("b", 4, labels={"pool": "other"}), pods=[*own(), elsewhere]) == 5


def test_who_fits_nowhere_yet_keeps_the_node_that_is_nearest_and_who_never_will_keeps_nothing():
    nodes = [node("a", 4), node("b", 4)]
    pods = [*own(), gpu_pod("b", 1)]
    assert places(*nodes, pods=[*pods, gpu_pod(None, 4)]) == 3
    assert places(*nodes, pods=[*pods, gpu_pod(None, 16)]) == 6


def test_trials_that_begin_have_no_pod_yet():
    target = production()
    spec = target["spec"]["template"]["spec"]
    begun = [Waiting("prod", "s-0-1", requests_of(spec), spec)]
    assert places(node(gpus=3), pods=own(), begun=begun) == 1


NO_NODE = [
    {"unschedulable": True},
    {"ready": False},
    {"taints": [{"key": "dedicated", "value": "x", "effect": "NoSchedule"}]},
    {"labels": {"gpu": "l4"}},
]


@pytest.mark.parametrize("what", NO_NODE)
def test_only_nodes_that_take_production_count(what):
    target = production(nodeSelector={"gpu": "h100"})
    nodes = [node("a", 1, labels={"gpu": "h100"}), node("b", 4, **({"labels": {"gpu": "h100"}} | what))]
    assert places(*nodes, pods=own(), target=target) == 0


def test_tolerations_let_it_onto_tainted_nodes():
    taints = [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]
    tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    assert places(node(gpus=3, taints=taints), pods=own(), target=production(tolerations=tolerations)) == 2


def test_other_resources_bound_it_too_and_are_named():
    target = production()
    target["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "40"}
    found = room(census(node(gpus=4), pods=[gpu_pod("a", of="llama", containers=_asking("40"))]), target)
    assert found.places == 0
    assert found.reason == "WaitingForGPUs"
    assert found.message.endswith("where GPUs are free, too little is left of cpu")


def _asking(cpu):
    return [{"name": "vllm", "resources": {"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": cpu}}}]


def test_it_says_how_many_are_needed_and_free_and_for_whom_they_are_kept():
    target = production(gpus=2, replicas=2)
    found = room(census(node(gpus=6), pods=[*own(gpus=2), gpu_pod(None, 1)]), target)
    assert found.message == (
        "a trial needs 2 nvidia.com/gpu on one node; 4 nvidia.com/gpu free where production's template may run, kept "
        "for pods that wait (1 of production, 1 of others)"
    )


@pytest.mark.parametrize(
    "resource", ["nvidia.com/mig-1g.5gb", "amd.com/gpu", "gpu.intel.com/i915", "nvidia.com/gpu.shared"]
)
def test_other_kinds_of_gpus_count_by_their_own_name(resource):
    target = production(resource=resource)
    pods = own(resource=resource)
    assert places(node(gpus=3, resource=resource), pods=pods, target=target) == 2
    assert places(node(gpus=1, resource=resource), node("b", 8), pods=pods, target=target) == 0


def test_where_no_node_has_one_an_autoscaler_may_bring_it_but_production_comes_first():
    found = room(census(node(gpus=0)), production(status={"replicas": 0}))
    assert (found.places, found.blind, found.reason) == (1, True, "NoGPUSeen")
    found = room(census(pods=own(on=None)), production())
    assert (found.places, found.reason) == (0, "WaitingForGPUs")


def test_without_gpus_there_is_nothing_to_count():
    assert places(target=production(gpus=0)) > 1000
