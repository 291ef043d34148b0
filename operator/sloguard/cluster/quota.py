"""Whether the namespace's ResourceQuotas would let another candidate in. Pure."""

from collections.abc import Iterable

from sloguard.cluster.objects import Object, listing, section, texts
from sloguard.cluster.pod_request import PODS_RESOURCE, Amounts, amounts, limits_of, requests_of
from sloguard.domain.quantity import shown
from sloguard.engine.room import AMPLE, Room

WAITING_FOR_QUOTA = "WaitingForQuota"
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_OBJECTS = ("count/deployments.apps", "count/replicasets.apps", "count/pods", "pods", "count/services", "services")


def quota_room(quotas: Iterable[Object], template: Object, begun: int, missing: int) -> Room:
    """For one more candidate of this pod template, when `begun` others and `missing` of production have yet to come."""
    needs = _needs(template)
    for quota in quotas:
        if not _selects(quota, template):
            continue
        hard, used = (amounts(section(quota, "status", key)) for key in ("hard", "used"))
        for name in sorted(hard.keys() & needs.keys()):
            # Production's missing replicas are pods alone: they need no Deployment and no Service.
            others = begun + (0 if name.startswith(("count/deploy", "count/rep", "count/serv", "serv")) else missing)
            if used.get(name, 0) + needs[name] * (1 + others) > hard[name]:
                return Room(
                    0, WAITING_FOR_QUOTA, _told(quota, name, hard[name], used.get(name, 0), needs[name], others)
                )
    return AMPLE


def _told(quota: Object, name: str, hard: int, used: int, need: int, others: int) -> str:
    kept = f", and {others} more are about to come" if others else ""
    never = f"; it never fits, so raise {name} there" if need > hard else ""
    return (
        f"ResourceQuota {quota['metadata']['name']} allows {shown(hard)} {name} in this namespace, of which "
        f"{shown(used)} are used{kept}; a trial needs {shown(need)}{never}"
    )


def _needs(template: Object) -> Amounts:
    spec = section(template, "spec")
    requests, limits = requests_of(spec), limits_of(spec)
    needs = dict.fromkeys(_OBJECTS, 1000)
    needs |= {f"requests.{name}": amount for name, amount in requests.items() if name != PODS_RESOURCE}
    needs |= {f"limits.{name}": amount for name, amount in limits.items()}
    return needs | {name: requests[name] for name in _COMPUTE if name in requests}


def _selects(quota: Object, template: Object) -> bool:
    """Whether the quota is about such pods; one with scopes is about no other objects."""
    spec = section(template, "spec")
    scopes = texts(quota, "spec", "scopes")
    chosen = listing(quota, "spec", "scopeSelector", "matchExpressions")
    return all(_in_scope(scope, spec) for scope in scopes) and all(_chosen(each, spec) for each in chosen)


def _in_scope(scope: str, spec: Object) -> bool:
    match scope:
        case "Terminating":
            return spec.get("activeDeadlineSeconds") is not None
        case "NotTerminating":
            return spec.get("activeDeadlineSeconds") is None
        case "BestEffort":
            return not _asks(spec)
        case "NotBestEffort":
            return _asks(spec)
        case "PriorityClass":
            return bool(spec.get("priorityClassName"))
        case _:
            return False


def _asks(spec: Object) -> bool:
    return bool({"cpu", "memory"} & {*requests_of(spec), *limits_of(spec)})


def _chosen(expression: Object, spec: Object) -> bool:
    if expression.get("scopeName") != "PriorityClass":
        return _in_scope(str(expression.get("scopeName")), spec)
    name, values = spec.get("priorityClassName"), texts(expression, "values")
    match expression.get("operator"):
        case "In":
            return name in values
        case "NotIn":
            return name not in values
        case "Exists":
            return bool(name)
        case _:
            return not name
