"""Whether the namespace's ResourceQuotas would let another candidate in, and its load after it. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from sloguard.cluster.objects import Object, listing, section, texts
from sloguard.cluster.pod_request import PODS_RESOURCE, Amounts, amounts, limits_of, requests_of
from sloguard.domain.quantity import shown
from sloguard.engine.room import AMPLE, Room

WAITING_FOR_QUOTA = "WaitingForQuota"
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_PODS = ("count/pods", PODS_RESOURCE)
_SERVERS = ("count/deployments.apps", "count/replicasets.apps", "count/services", "services")
_LOADS = ("count/jobs.batch",)
_CLAIMS = "persistentvolumeclaims"
_STORAGE = "requests.storage"
_OF_CLASS = "storageclass.storage.k8s.io"


@dataclass(frozen=True, slots=True)
class LoadPods:
    """What a Job brings that loads a candidate: so many pods of this spec; none where nothing does but live traffic."""

    spec: Object
    pods: int


@dataclass(frozen=True, slots=True)
class Coming:
    """What takes room soon: trials that begin, servers whose load is yet to come, and production's missing replicas."""

    begun: int = 0
    unloaded: int = 0
    missing: int = 0


def quota_room(quotas: Iterable[Object], template: Object, load: LoadPods, coming: Coming) -> Room:
    """For one more candidate of this pod template and its load, which must find room later while the GPUs are held."""
    for quota in quotas:
        server = _of_server(quota, section(template, "spec"))
        loads = _of_load(quota, load)
        hard, used = (amounts(section(quota, "status", key)) for key in ("hard", "used"))
        for name in sorted(hard.keys() & (server.keys() | loads.keys())):
            own, loaded = server.get(name, 0), loads.get(name, 0)
            # Production's missing replicas are pods alone: they need no Deployment, Service or new volume.
            servers = coming.begun + (0 if name in _SERVERS or _is_of_claims(name) else coming.missing)
            soon = own * servers + loaded * (coming.begun + coming.unloaded)
            if used.get(name, 0) + soon + own + loaded > hard[name]:
                told = _told(quota, name, hard[name], used.get(name, 0), soon)
                return Room(0, WAITING_FOR_QUOTA, told + _need(name, hard[name], own + loaded, loaded))
    return AMPLE


def _told(quota: Object, name: str, hard: int, used: int, soon: int) -> str:
    kept = f", and {shown(soon)} more are needed by what is about to come" if soon else ""
    return (
        f"ResourceQuota {quota['metadata']['name']} allows {shown(hard)} {name} in this namespace, of which "
        f"{shown(used)} are used{kept}"
    )


def _need(name: str, hard: int, need: int, loaded: int) -> str:
    of_load = f", {shown(loaded)} of it for its load" if loaded else ""
    never = f"; it never fits, so raise {name} there" if need > hard else ""
    return f"; a trial needs {shown(need)}{of_load}{never}"


def _of_server(quota: Object, spec: Object) -> Amounts:
    scoped = texts(quota, "spec", "scopes") or section(quota, "spec", "scopeSelector")
    claims = Amounts() if scoped else _of_claims(spec)
    return _needs(spec, 1) | dict.fromkeys(_SERVERS, 1000) | claims if _selects(quota, spec) else {}


def _is_of_claims(name: str) -> bool:
    return name.endswith((_CLAIMS, _STORAGE))


def _of_claims(spec: Object) -> Amounts:
    """Of volumes that are made with the pod; which class a claim without one gets is not known here."""
    needs = Amounts()
    for volume in listing(spec, "volumes"):
        wanted = section(volume, "ephemeral", "volumeClaimTemplate", "spec")
        if not wanted:
            continue
        own = {_CLAIMS: 1000, f"count/{_CLAIMS}": 1000}
        own[_STORAGE] = amounts(section(wanted, "resources", "requests")).get("storage", 0)
        kind = wanted.get("storageClassName")
        if kind:
            own |= {f"{kind}.{_OF_CLASS}/{name}": own[name] for name in (_CLAIMS, _STORAGE)}
        needs = {name: needs.get(name, 0) + own.get(name, 0) for name in {**needs, **own}}
    return needs


def _of_load(quota: Object, load: LoadPods) -> Amounts:
    """All of its pods run at once."""
    if not load.pods or not _selects(quota, load.spec):
        return {}
    return _needs(load.spec, load.pods) | dict.fromkeys(_LOADS, 1000)


def _needs(spec: Object, pods: int) -> Amounts:
    """Of so many such pods."""
    requests, limits = requests_of(spec), limits_of(spec)
    needs = dict.fromkeys(_PODS, 1000)
    needs |= {f"requests.{name}": amount for name, amount in requests.items() if name != PODS_RESOURCE}
    needs |= {f"limits.{name}": amount for name, amount in limits.items()}
    needs |= {name: requests[name] for name in _COMPUTE if name in requests}
    return {name: amount * pods for name, amount in needs.items()}


def _selects(quota: Object, spec: Object) -> bool:
    """Whether the quota is about such pods; one with scopes is about no other objects."""
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
