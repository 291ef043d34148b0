"""The pace of production's updates: whose it is, how it is set, and how it is given back."""

import pytest

from sloguard.api.v1alpha1 import PreviousPace, RolloutPace, Target, TargetKind
from sloguard.cluster.execute import Settings, execute
from sloguard.cluster.target import target_state
from sloguard.engine.actions import GivePaceBack, SetPace
from sloguard.engine.snapshot import DeclaredPace
from tests.unit.cluster.objects import deployment
from tests.unit.cluster.test_execute import FakeApi, gathered, planned
from tests.unit.cluster.test_workloads import OF_KIND

DEFAULTS = RolloutPace(max_surge="25%", max_unavailable="25%")
OURS = RolloutPace(max_surge="0", max_unavailable="1", min_ready_seconds=30)
ONE_MORE = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def owned(manager, operation="Update", *, rolling=("f:maxSurge", "f:maxUnavailable"), **more):
    strategy = {"f:rollingUpdate": {field: {} for field in rolling}}
    return {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:strategy": strategy}}} | more


def declared(*entries, **spec):
    stored = deployment(metadata={"managedFields": list(entries)}, **spec)
    return target_state(stored, Target(name="llama", container="vllm"), []).declared


def test_what_nobody_has_written_is_the_apis_default():
    assert declared() == DeclaredPace(DEFAULTS)


def test_what_somebody_has_written_is_theirs():
    found = declared(owned("helm"), strategy=ONE_MORE, minReadySeconds=10, progressDeadlineSeconds=120)
    theirs = RolloutPace(max_surge="1", max_unavailable="0", min_ready_seconds=10)
    assert found == DeclaredPace(theirs, progress_deadline_seconds=120, manager="helm")


@pytest.mark.parametrize(
    "entry",
    [
        owned("kustomize-controller", "Apply"),
        owned("argocd-controller", "Apply", rolling=("f:maxSurge",)),
        {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:minReadySeconds": {}}}},
    ],
)
def test_what_is_applied_stays(entry):
    withheld = declared(owned("helm"), entry).withheld
    assert withheld.startswith(f"{entry['manager']} applies the strategy of Deployment llama")
    assert "set maxSurge to 0" in withheld


@pytest.mark.parametrize(
    "entry",
    [
        owned("kubectl", "Apply", rolling=()),
        owned("sloguard-pace", "Apply"),
        owned("kube-controller-manager", subresource="status"),
    ],
)
def test_others_are_in_nobodys_way(entry):
    assert declared(entry) == DeclaredPace(DEFAULTS)


def test_other_kinds_have_none_that_the_operator_could_change():
    assert declared(strategy={"type": "Recreate"}) is None
    for kind in {TargetKind.STATEFUL_SET, TargetKind.LEADER_WORKER_SET}:
        assert target_state(OF_KIND[kind], Target(kind=kind, name="llama", container="vllm"), []).declared is None


async def done(action):
    api = FakeApi()
    await execute(api, Settings("image"), gathered(), planned(action))
    (asked,) = api.asked
    return asked


async def test_it_is_set_at_the_version_that_was_read():
    assert await done(SetPace(OURS)) == (
        "apply",
        "deployments",
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "llama", "resourceVersion": "42"},
            "spec": {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}, "minReadySeconds": 30},
        },
        "sloguard-pace",
    )


async def test_no_watch_is_no_field():
    _, _, body, _ = await done(SetPace(OURS.model_copy(update={"min_ready_seconds": 0})))
    assert set(body["spec"]) == {"strategy"}


async def test_defaults_come_back_when_they_are_let_go_of():
    verb, _, body, manager = await done(GivePaceBack(PreviousPace(pace=DEFAULTS)))
    assert (verb, manager) == ("apply", "sloguard-pace")
    assert set(body) == {"apiVersion", "kind", "metadata"}


@pytest.mark.parametrize(("manager", "by"), [("helm", "helm"), ("", "sloguard-pace")])
async def test_what_somebody_has_written_is_written_in_their_name(manager, by):
    theirs = RolloutPace(max_surge="50%", max_unavailable="0")
    verb, _, body, name = await done(GivePaceBack(PreviousPace(pace=theirs, manager=manager)))
    assert (verb, name) == ("merge", by)
    assert body == {
        "metadata": {"resourceVersion": "42"},
        "spec": {"strategy": {"rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}}, "minReadySeconds": None},
    }
