"""One view of the cluster for all studies: read when a trial is about to start, told of those that begin."""

from collections import Counter

import pytest

from sloguard.cluster import clock
from sloguard.cluster.api import RefusedError
from sloguard.cluster.gather import Gathered
from sloguard.cluster.labels import TRIAL
from sloguard.cluster.room_view import RoomView
from sloguard.engine.actions import Plan, RecordTrial
from sloguard.engine.candidates import trial_name
from sloguard.engine.snapshot import Load, LoadState, Observation, Snapshot, TargetState
from tests.unit.cluster.nodes import gpu_pod, node, own, production
from tests.unit.cluster.objects import STUDY, begun, study, trial


class FakeApi:
    """A cluster as it is at one moment; `refused` are kinds that may not be listed."""

    def __init__(self, *nodes, pods=(), quotas=(), refused=(), status=403):
        self.kept = {"nodes": list(nodes), "pods": list(pods), "resourcequotas": list(quotas)}
        self.asked = Counter()
        self.refused, self.status = refused, status

    async def pages(self, resource, *, fields=""):
        self.asked[resource.plural] += 1
        if resource.plural in self.refused:
            raise RefusedError(self.status, "no")
        assert resource.plural == "nodes" or "Succeeded" in fields
        for item in self.kept[resource.plural]:
            yield [item]

    async def items(self, resource, namespace):
        self.asked[resource.plural] += 1
        assert namespace == "prod"
        if resource.plural in self.refused:
            raise RefusedError(self.status, "no")
        return self.kept[resource.plural]


@pytest.fixture
def elapsed(monkeypatch):
    """Seconds that have passed, to be set."""
    passed = [0.0]
    monkeypatch.setattr(clock, "elapsed_seconds", lambda: passed[0])
    return passed


def gathered(target=None):
    return Gathered(Snapshot(study(), (), TargetState(())), STUDY, {}, target or production(), {})


def recording(number):
    return Plan(study().status, (RecordTrial(trial_name("s", number, 1), trial(number).spec),))


async def test_it_is_read_once_for_all_and_again_after_a_while(elapsed):
    api = FakeApi(node(gpus=3), pods=own())
    view = RoomView(api)
    assert (await view.room(gathered())).places == 2
    api.kept["pods"].append(gpu_pod("a"))
    assert (await view.room(gathered())).places == 2
    assert api.asked["pods"] == api.asked["nodes"] == 1
    elapsed[0] = 10
    assert (await view.room(gathered())).places == 1
    assert api.asked["pods"] == 2


async def test_a_trial_that_begins_has_its_place_until_its_pod_is_seen(elapsed):
    api = FakeApi(node(gpus=3), pods=own())
    view = RoomView(api)
    await view.room(gathered())
    view.begin(gathered(), recording(2))
    assert (await view.room(gathered())).places == 1
    elapsed[0] = 10
    assert (await view.room(gathered())).places == 1, "its pod is not there yet"
    mine = gpu_pod("a", of="s-2-1")
    mine["metadata"]["labels"] = {TRIAL: "s-2-1"}
    api.kept["pods"].append(mine)
    elapsed[0] = 20
    assert (await view.room(gathered())).places == 1, "it counts once"


async def test_a_trial_that_never_comes_to_have_a_pod_is_forgotten(elapsed):
    view = RoomView(FakeApi(node(gpus=3), pods=own()))
    view.begin(gathered(), recording(2))
    elapsed[0] = 70
    assert (await view.room(gathered())).places == 2


@pytest.mark.parametrize("kind", ["nodes", "pods"])
async def test_without_the_right_to_look_it_says_so(kind):
    found = await RoomView(FakeApi(node(), refused={kind})).room(gathered())
    assert (found.places, found.blind, found.reason) == (1, True, "NodesForbidden")
    assert "rbac.yaml" in found.message


async def test_any_other_refusal_is_an_error():
    with pytest.raises(RefusedError):
        await RoomView(FakeApi(node(), refused={"pods"}, status=500)).room(gathered())


async def test_a_quota_bounds_it_too_and_one_that_may_not_be_seen_does_not():
    gpus = {"requests.nvidia.com/gpu": "1"}
    quota = {"metadata": {"name": "team"}, "spec": {}, "status": {"hard": gpus, "used": gpus}}
    api = FakeApi(node(), pods=own(), quotas=[quota])
    found = await RoomView(api).room(gathered())
    assert (found.places, found.reason) == (0, "WaitingForQuota")
    api.refused = {"resourcequotas"}
    assert (await RoomView(api).room(gathered())).places == 3


def allows(pods, used):
    return {"metadata": {"name": "team"}, "spec": {}, "status": {"hard": {"pods": pods}, "used": {"pods": used}}}


LIVE = {
    "measurement": "Prometheus",
    "workload": {"arrival": {"pattern": "Live"}, "promptTokens": None, "outputTokens": None},
}


def with_trials(*trials, seen=None, **spec):
    return Gathered(Snapshot(study(**spec), trials, TargetState(()), seen or {}), STUDY, {}, production(), {})


async def test_a_quota_needs_room_for_the_load_too():
    api = FakeApi(node(), pods=own(), quotas=[allows("3", "1")])
    assert (await RoomView(api).room(gathered())).places
    assert (await RoomView(api).room(with_trials(workload={"generators": 2}))).reason == "WaitingForQuota"
    api.kept["resourcequotas"] = [allows("2", "1")]
    assert (await RoomView(api).room(gathered())).reason == "WaitingForQuota"
    assert (await RoomView(api).room(with_trials(**LIVE))).places, "live traffic needs no load"


async def test_where_traffic_is_live_only_a_soak_has_a_load():
    soaked = LIVE | {"promotion": {"soakSeconds": 10}}
    api = FakeApi(node(), pods=own(), quotas=[allows("2", "1")])
    assert (await RoomView(api).room(with_trials(**soaked))).reason == "WaitingForQuota"
    api.kept["resourcequotas"] = [allows("4", "2")]
    assert (await RoomView(api).room(with_trials(trial(2, status=begun()), **soaked))).places, "that one has none"
    soak = trial(3, status=begun(), purpose="Soak", soakSeconds=10)
    assert (await RoomView(api).room(with_trials(soak, **soaked))).reason == "WaitingForQuota"


async def test_a_load_that_a_running_server_waits_for_keeps_its_room_in_the_quota():
    starting = trial(2, status=begun())
    api = FakeApi(node(), pods=own(), quotas=[allows("4", "2")])
    assert (await RoomView(api).room(with_trials(starting))).reason == "WaitingForQuota"
    loaded = {"s-2-1": Observation(load=Load(LoadState.RUNNING))}
    assert (await RoomView(api).room(with_trials(starting, seen=loaded))).places
    view = RoomView(api)
    view.begin(with_trials(starting), recording(2))
    api.kept["resourcequotas"] = [allows("5", "1")]
    assert (await view.room(with_trials(starting))).places, "it counts once, with server and load"


async def test_a_queue_decides_for_itself_who_runs():
    api = FakeApi(node(gpus=1), pods=own())
    queued = production(labels={"kueue.x-k8s.io/queue-name": "team"})
    assert (await RoomView(api).room(gathered(queued))).places > 1
    assert not api.asked["pods"]


async def test_devices_of_claims_cannot_be_counted():
    claims = production(gpus=0, resourceClaims=[{"name": "gpu", "resourceClaimTemplateName": "gpu"}])
    found = await RoomView(FakeApi()).room(gathered(claims))
    assert (found.places, found.blind, found.reason) == (1, True, "ResourceClaims")


async def test_images_and_nodes_without_gpus_are_not_kept():
    many = node("b", gpus=0)
    many["status"]["allocatable"].pop("nvidia.com/gpu")
    with_images = node("a", gpus=2) | {}
    with_images["status"]["images"] = [{"names": ["x" * 1000]}]
    view = RoomView(FakeApi(with_images, many, pods=own()))
    assert (await view.room(gathered())).places == 1
    assert "images" not in str(view._census.nodes)
    assert len(view._census.nodes) == 1
