"""Reading what a study names as production: its kind may be missing, and so may the right to see it."""

import pytest

from sloguard.cluster.api import RefusedError
from sloguard.cluster.production import production_pods, read_production
from tests.unit.cluster.objects import deployment, study
from tests.unit.cluster.test_workloads import leader_worker_set, stateful_set

FORBIDDEN = RefusedError(403, 'statefulsets.apps "llama" is forbidden', "Forbidden")


class FakeApi:
    """Has one object, or refuses it; knows Kubernetes' own kinds."""

    def __init__(self, stored=None, *, installed=False):
        self.stored = stored
        self.installed = installed
        self.asked = []

    async def get(self, resource, _namespace, _name):
        self.asked.append(resource.path("prod", "llama"))
        if isinstance(self.stored, Exception):
            raise self.stored
        return self.stored

    async def serves(self, _resource):
        self.asked.append("kinds")
        return self.installed

    async def items(self, _resource, _namespace, *, labels):
        self.asked.append(labels)
        return [{}]


def of_kind(kind):
    return study(target={"kind": kind})


@pytest.mark.parametrize(
    ("kind", "stored", "path"),
    [
        ("Deployment", deployment(), "/apis/apps/v1/namespaces/prod/deployments/llama"),
        ("StatefulSet", stateful_set(), "/apis/apps/v1/namespaces/prod/statefulsets/llama"),
        (
            "LeaderWorkerSet",
            leader_worker_set(),
            "/apis/leaderworkerset.x-k8s.io/v1/namespaces/prod/leaderworkersets/llama",
        ),
    ],
)
async def test_it_costs_one_request(kind, stored, path):
    api = FakeApi(stored)
    assert await read_production(api, "prod", of_kind(kind)) == (stored, None)
    assert api.asked == [path]


async def test_of_kubernetes_own_kinds_none_can_be_missing():
    api = FakeApi()
    assert await read_production(api, "prod", of_kind("StatefulSet")) == (None, None)
    assert "kinds" not in api.asked


@pytest.mark.parametrize(("installed", "reason"), [(False, "TargetKindNotInstalled"), (True, None)])
async def test_others_may_be(installed, reason):
    stored, problem = await read_production(FakeApi(installed=installed), "prod", of_kind("LeaderWorkerSet"))
    assert stored is None
    assert (problem and problem.reason) == reason


async def test_what_may_not_be_seen_is_told_unless_the_study_has_begun():
    """Of one that has, trials are not ended because a role is missing for a moment."""
    wanted = of_kind("StatefulSet")
    stored, problem = await read_production(FakeApi(FORBIDDEN), "prod", wanted)
    assert (stored, problem.reason) == (None, "TargetForbidden")
    assert "get and patch of them" in problem.message
    begun = wanted.model_copy(update={"status": wanted.status.model_validate({"target": {"image": "a"}})})
    with pytest.raises(RefusedError):
        await read_production(FakeApi(FORBIDDEN), "prod", begun)
    with pytest.raises(RefusedError):
        await read_production(FakeApi(RefusedError(500, "later")), "prod", wanted)


@pytest.mark.parametrize(
    ("stored", "selector"),
    [
        (stateful_set(), "app=llama"),
        (
            leader_worker_set(),
            "leaderworkerset.sigs.k8s.io/name=llama,leaderworkerset.sigs.k8s.io/worker-index=0",
        ),
    ],
)
async def test_its_pods_are_found_by_labels(stored, selector):
    api = FakeApi()
    await production_pods(api, "prod", stored)
    assert api.asked == [selector]
