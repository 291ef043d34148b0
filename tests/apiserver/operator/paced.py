"""Production of two replicas without a spare GPU, and a study that has measured all it may.

A quota that leaves no room for another Deployment stands for the GPUs: pods are counted by nobody here.
"""

from typing import Any

from tests.apiserver.operator.objects import ARGUMENTS, BEST, production, study
from tests.apiserver.operator.world import World
from tests.finished_trials import finished_trials

Object = dict[str, Any]

ONE_MORE_FIRST: Object = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
APPROVED = "s-2-1"
PROMOTION: Object = {"mode": "Manual", "confirmations": 0, "approvedTrial": APPROVED}


def two_replicas(**spec: Any) -> Object:
    """Server-side applied, or created, by whoever has it."""
    one = production() | {"apiVersion": "apps/v1"}
    return one | {"spec": one["spec"] | {"replicas": 2} | spec}


def leave_no_room(world: World) -> None:
    """For another server. The controller has to have counted before that is so."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team"}}
    path = f"/api/v1/namespaces/{world.namespace}/resourcequotas"
    world.rest.request("POST", path, quota | {"spec": {"hard": {"count/deployments.apps": "1"}}})
    world.play(lambda: world.rest.request("GET", f"{path}/team").get("status", {}).get("used"))


def measured_study(**promotion: Any) -> Object:
    return study(promotion=PROMOTION | promotion, budget={"trials": 3})


def record_trials(world: World, stored: Object) -> None:
    """As the operator would have left them."""
    for trial in finished_trials(stored, ARGUMENTS, BEST, {"max_num_seqs": "10"}):
        world.rest.request("POST", world.path("sloguardtrials"), {k: v for k, v in trial.items() if k != "status"})
        world.patch("sloguardtrials", trial["metadata"]["name"], {"status": trial["status"]}, "status")


def begin(world: World, **promotion: Any) -> None:
    """No operator acts before all of it is there."""
    asked = measured_study(**promotion)
    stored = world.create("sloguardstudies", asked | {"spec": asked["spec"] | {"suspend": True}})
    record_trials(world, stored)
    world.patch("sloguardstudies", "s", {"spec": {"suspend": False}})


def pace(world: World) -> Object:
    """What the Deployment says of its updates, and in whose name."""
    stored = world.get("deployments", "llama")
    spec, entries = stored["spec"], stored["metadata"]["managedFields"]
    owners = {
        entry["manager"]: sorted(entry["fieldsV1"]["f:spec"]["f:strategy"].get("f:rollingUpdate", {}))
        for entry in entries
        if "f:strategy" in entry["fieldsV1"].get("f:spec", {})
    }
    return {"strategy": spec["strategy"], "watch": spec.get("minReadySeconds", 0), "owners": owners}
