"""The pace of production's updates: set for a promotion, and given back so that nothing tells that it was changed.

Fields that are the API's defaults belong to nobody: the operator applies its own (field manager sloguard-pace) and lets
go of them, whereupon the API puts its defaults there again. Fields that somebody has written (kubectl create or apply,
Helm) are taken over, and written back in that name, so that managedFields say what they said. What somebody applies
server-side is not touched at all (`workloads/deployment.py`).
"""

from sloguard.api.v1alpha1 import PreviousPace, RolloutPace
from sloguard.cluster.api import PACE_MANAGER, Api
from sloguard.cluster.objects import Object
from sloguard.cluster.workloads.kinds import workload_of

DEFAULTS = RolloutPace(max_surge="25%", max_unavailable="25%")
"""The API server's, of a Deployment."""


async def set_pace(api: Api, production: Object, pace: RolloutPace) -> None:
    """At the resourceVersion that was looked at: whoever changed something meanwhile is heard first."""
    await _apply(api, production, {"spec": {key: said for key, said in _spec(pace).items() if said is not None}})


async def give_back(api: Api, production: Object, previous: PreviousPace) -> None:
    if not previous.manager and previous.pace == DEFAULTS:
        await _apply(api, production, {})
        return
    metadata, resource = production["metadata"], workload_of(production).resource
    body = {"metadata": {"resourceVersion": metadata["resourceVersion"]}, "spec": _spec(previous.pace)}
    manager = previous.manager or PACE_MANAGER
    await api.merge(resource, metadata["namespace"], metadata["name"], body, manager=manager)


async def _apply(api: Api, production: Object, fields: Object) -> None:
    """Of what was applied before, nothing else stays."""
    metadata, workload = production["metadata"], workload_of(production)
    own = {"name": metadata["name"], "resourceVersion": metadata["resourceVersion"]}
    body = {"apiVersion": workload.api_version, "kind": workload.kind.value, "metadata": own} | fields
    await api.apply(workload.resource, metadata["namespace"], metadata["name"], body, manager=PACE_MANAGER)


def _spec(pace: RolloutPace) -> Object:
    """No seconds are no field: none is what the API takes for 0."""
    rolling = {"maxSurge": _amount(pace.max_surge), "maxUnavailable": _amount(pace.max_unavailable)}
    return {"strategy": {"rollingUpdate": rolling}, "minReadySeconds": pace.min_ready_seconds or None}


def _amount(said: str) -> int | str:
    return int(said) if said.isdecimal() else said
