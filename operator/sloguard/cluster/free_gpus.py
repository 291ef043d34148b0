"""How many more candidates the cluster has GPUs for, when all that waits for them has had its share. Pure.

A node's room is what it has to offer less what its pods request. From that comes off what pods that wait will need,
production's own first, those of its replicas that are not even made yet, and candidates that were just begun. A pod
that fits nowhere now keeps the node that is nearest to having room for it. What is left may be taken.

Not looked at: affinity between pods, topology spread, volumes' zones, and what an autoscaler might add.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sloguard.cluster.labels import TRIAL
from sloguard.cluster.objects import Object, being_deleted, condition, listing, section
from sloguard.cluster.pod_request import Amounts, admits, amounts, is_gpu, requests_of
from sloguard.cluster.workloads.kinds import template_of, workload_of
from sloguard.cluster.workloads.workload import replicas_of
from sloguard.domain.quantity import shown
from sloguard.engine.room import AMPLE, Room

WAITING_FOR_GPUS = "WaitingForGPUs"
_OVER = {"Succeeded", "Failed"}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pod, there or to be made, that no node has taken yet. `spec` says where it may run."""

    namespace: str
    owner: str
    requests: Amounts
    spec: Object


@dataclass(slots=True)
class Census:
    """Nodes and what their pods request; `trials` are those that have a pod, by namespace and name."""

    nodes: list[Object]
    used: dict[str, Amounts] = field(default_factory=dict[str, Amounts])
    waiting: list[Waiting] = field(default_factory=list[Waiting])
    scheduled: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    trials: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    def count(self, pods: Iterable[Object]) -> None:
        """Of each pod only sums are kept, since a cluster may have tens of thousands."""
        for pod in pods:
            if section(pod, "status").get("phase") not in _OVER:
                self._count(pod)

    def _count(self, pod: Object) -> None:
        metadata, spec = pod["metadata"], section(pod, "spec")
        namespace, owner, node = metadata.get("namespace", ""), _owner(pod), spec.get("nodeName")
        trial = section(pod, "metadata", "labels").get(TRIAL)
        if trial:
            self.trials.add((namespace, trial))
        if node:
            used = self.used.setdefault(node, {})
            for name, amount in requests_of(spec).items():
                used[name] = used.get(name, 0) + amount
            self.scheduled[(namespace, owner)] += not being_deleted(pod)
        elif not being_deleted(pod) and not listing(spec, "schedulingGates"):
            requests = requests_of(spec)
            if any(map(is_gpu, requests)):
                where = {key: spec[key] for key in ("nodeSelector", "tolerations", "affinity") if spec.get(key)}
                self.waiting.append(Waiting(namespace, owner, requests, where))


def _owner(pod: Object) -> str:
    """What it is of: the Deployment, by the name of its ReplicaSet; else its own controller's name, which a StatefulSet
    has from what made it.
    """
    owners = (o for o in listing(pod, "metadata", "ownerReferences") if o.get("controller"))
    owner = next(owners, Object())
    name = str(owner.get("name", ""))
    return name.rpartition("-")[0] if owner.get("kind") == "ReplicaSet" else name


def needs_gpus(production: Object) -> Amounts:
    """What a candidate requests, where GPUs are among it."""
    requests = requests_of(section(template_of(production), "spec"))
    return requests if any(map(is_gpu, requests)) else {}


def room(census: Census, production: Object, begun: Sequence[Waiting] = ()) -> Room:
    """For candidates of this production; `begun` are those that have no pod yet, with or without GPUs."""
    spec, wanted = section(template_of(production), "spec"), needs_gpus(production)
    if not wanted:
        return AMPLE
    nodes = [_Node(node, census) for node in census.nodes if _usable(node)]
    hosts = [node for node in nodes if admits(node.stored, spec)]
    names = sorted(filter(is_gpu, wanted))
    offered = sum(amounts(section(node, "status", "allocatable")).get(names[0], 0) for node in census.nodes)
    own = _own_waiting(census, production, wanted)
    begun = [w for w in begun if w.requests]
    others = [w for w in census.waiting if (w.namespace, w.owner) != _key(production)]
    if not offered:
        return _none_seen(names, own, _key(production), census)
    free = {name: sum(node.free.get(name, 0) for node in hosts) for name in names}
    for pod in [*own, *sorted([*others, *begun], key=_size, reverse=True)]:
        _reserve(pod, nodes, hosts, wanted)
    places = sum(node.holds(wanted) for node in hosts)
    if places:
        return Room(places)
    needs = ", ".join(f"{shown(wanted[name])} {name}" for name in names)
    sums = ", ".join(f"{shown(max(free[name], 0))} {name}" for name in names)
    message = f"a trial needs {needs} on one node; {sums} free where production's template may run"
    kept = [(len(own), "of production"), (len(others), "of others"), (len(begun), "trials that begin")]
    told = [f"{count} {whose}" for count, whose in kept if count]
    message += f", kept for pods that wait ({', '.join(told)})" if told and any(free.values()) else ""
    return Room(0, WAITING_FOR_GPUS, message + _lacking(hosts, wanted, names))


@dataclass(slots=True)
class _Node:
    """With what is free on it, which others than the scheduler may have overdrawn."""

    stored: Object
    free: Amounts

    def __init__(self, stored: Object, census: Census) -> None:
        used = census.used.get(stored["metadata"]["name"], {})
        self.stored = stored
        self.free = {n: a - used.get(n, 0) for n, a in amounts(section(stored, "status", "allocatable")).items()}

    def holds(self, wanted: Amounts) -> int:
        """How many such pods."""
        return max(min(self.free.get(name, 0) // amount for name, amount in wanted.items() if amount), 0)

    def could_hold(self, wanted: Amounts) -> bool:
        """If it were empty."""
        offered = amounts(section(self.stored, "status", "allocatable"))
        return all(offered.get(name, 0) >= amount for name, amount in wanted.items())

    def take(self, wanted: Amounts) -> None:
        for name, amount in wanted.items():
            self.free[name] = self.free.get(name, 0) - amount


def _usable(node: Object) -> bool:
    return not section(node, "spec").get("unschedulable") and condition(node, "Ready").get("status") == "True"


def _key(production: Object) -> tuple[str, str]:
    return production["metadata"].get("namespace", ""), production["metadata"]["name"]


def _size(pod: Waiting) -> int:
    return sum(amount for name, amount in pod.requests.items() if is_gpu(name))


def _own_waiting(census: Census, production: Object, wanted: Amounts) -> list[Waiting]:
    """Production's pods that wait, and those it has yet to make: missing replicas, and a rollout's surge while one is
    under way. Without one none is kept for it, or a cluster with one spare GPU could try nothing.
    """
    workload = workload_of(production)
    surge = workload.pace(production).surge if workload.is_updating(production) else 0
    wished = replicas_of(production) + surge
    waiting = [w for w in census.waiting if (w.namespace, w.owner) == _key(production)]
    missing = wished - census.scheduled[_key(production)] - len(waiting)
    one = Waiting(*_key(production), wanted, section(workload.template(production), "spec"))
    return waiting + [one] * max(missing, 0)


def _reserve(pod: Waiting, nodes: Sequence[_Node], hosts: Sequence[_Node], wanted: Amounts) -> None:
    """Where the candidates would otherwise go, since the scheduler may put it there."""
    able = [node for node in nodes if node.could_hold(pod.requests) and admits(node.stored, pod.spec)]
    if not able:
        return
    fits = [node for node in able if node.holds(pod.requests)]
    if fits:
        in_the_way = [node for node in fits if node in hosts and node.holds(wanted)]
        max(in_the_way or fits, key=lambda node: _gpus(node.free)).take(pod.requests)
        return
    nearest = max(able, key=lambda node: _gpus(node.free))
    nearest.take({name: max(nearest.free.get(name, 0), 0) for name in pod.requests if is_gpu(name)})


def _gpus(free: Amounts) -> int:
    return sum(amount for name, amount in free.items() if is_gpu(name))


def _lacking(hosts: Sequence[_Node], wanted: Amounts, names: Sequence[str]) -> str:
    """What is short where GPUs are free."""
    able = [node for node in hosts if all(node.free.get(name, 0) >= wanted[name] for name in names)]
    short = sorted({n for node in able for n, a in wanted.items() if node.free.get(n, 0) < a})
    return f"; where GPUs are free, too little is left of {', '.join(short)}" if short else ""


def _none_seen(names: Sequence[str], own: Sequence[Waiting], key: tuple[str, str], census: Census) -> Room:
    """No node has such a GPU at all: an autoscaler may bring one, which production's pods come before."""
    if any((w.namespace, w.owner) == key for w in census.waiting):
        message = f"no node offers {names[0]} yet, and {len(own)} pods of production wait for one"
        return Room(0, WAITING_FOR_GPUS, message)
    message = f"no node offers {names[0]}; trials start one at a time, in case an autoscaler adds one"
    return Room(1, "NoGPUSeen", message, blind=True)
