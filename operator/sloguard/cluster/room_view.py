"""One view of the cluster's GPUs for all studies: read only when a trial is about to start, and not again too soon."""

import asyncio
from dataclasses import dataclass, field

from sloguard.cluster import clock
from sloguard.cluster.api import NODES, PODS, RESOURCE_QUOTAS, Api, RefusedError
from sloguard.cluster.free_gpus import Census, Waiting, needs_gpus, room
from sloguard.cluster.gather import Gathered
from sloguard.cluster.objects import Object, listing, section
from sloguard.cluster.pod_request import amounts, is_gpu
from sloguard.cluster.quota import Coming, LoadPods, quota_room
from sloguard.cluster.render import LOAD_RESOURCES, queue_labels
from sloguard.cluster.workloads.kinds import template_of, workload_of
from sloguard.cluster.workloads.workload import replicas_of
from sloguard.engine.actions import Plan, RecordTrial
from sloguard.engine.load_request import most_generators
from sloguard.engine.room import AMPLE, Room
from sloguard.engine.snapshot import LoadState
from sloguard.engine.watch import is_live

LEAST_AGE_SECONDS = 3.0
MOST_SHARE = 0.05
"""Of the time, reading may take: in a large cluster a view is older."""

BEGUN_SECONDS = 60.0
"""Within this time a trial that was recorded has a pod, which is seen by itself from then on."""

FORBIDDEN = 403


@dataclass(slots=True)
class RoomView:
    """Shared by all studies. What it holds is a cache: a restart of the operator reads everything again."""

    api: Api
    _census: Census | None = None
    _good_until: float = 0.0
    _begun: dict[tuple[str, str], tuple[Waiting, float]] = field(
        default_factory=dict[tuple[str, str], tuple[Waiting, float]]
    )
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def room(self, gathered: Gathered) -> Room:
        """For another trial of this study, now.

        Raises:
            RefusedError: the API server said no, and not for want of permission.

        """
        production = gathered.production
        assert production is not None, "the planner asks for nothing without a target"
        namespace = production["metadata"].get("namespace", "")
        template = template_of(production)
        census: Census | Room = AMPLE
        if needs_gpus(production) and not queue_labels(production):
            census = await self._seen()
        quotas = await self._quotas(namespace)
        # From here on nothing is waited for, so that no two studies are promised the same place.
        begun = self._unseen(census)
        wanted = workload_of(production).candidate_template(production).template
        allowed = quota_room(quotas, wanted, _load_of(gathered), _coming(gathered, begun))
        if not allowed.places:
            return allowed
        if isinstance(census, Census):
            return room(census, production, begun)
        if listing(template, "spec", "resourceClaims") and not queue_labels(production):
            message = "devices that resourceClaims ask for cannot be counted; trials start one at a time"
            return Room(1, "ResourceClaims", message, blind=True)
        return census

    def begin(self, gathered: Gathered, planned: Plan) -> None:
        """Keep room for what is recorded now, until its pod is there."""
        production = gathered.production
        for action in planned.actions:
            if isinstance(action, RecordTrial) and production is not None:
                namespace = production["metadata"].get("namespace", "")
                where = section(template_of(production), "spec")
                pod = Waiting(namespace, action.name, needs_gpus(production), where)
                self._begun[namespace, action.name] = (pod, clock.elapsed_seconds())

    def _unseen(self, census: Census | Room) -> list[Waiting]:
        seen = census.trials if isinstance(census, Census) else set[tuple[str, str]]()
        since = clock.elapsed_seconds() - BEGUN_SECONDS
        self._begun = {key: (pod, at) for key, (pod, at) in self._begun.items() if key not in seen and at > since}
        return [pod for pod, _ in self._begun.values()]

    async def _seen(self) -> Census | Room:
        async with self._reading:
            if self._census is None or clock.elapsed_seconds() >= self._good_until:
                begun = clock.elapsed_seconds()
                try:
                    self._census = await self._read()
                except RefusedError as error:
                    if error.status != FORBIDDEN:
                        raise
                    message = (
                        "free GPUs cannot be seen, since the operator may not list nodes and pods of all namespaces "
                        "(charts/manifests/rbac.yaml); trials start one at a time"
                    )
                    return Room(1, "NodesForbidden", message, blind=True)
                took = clock.elapsed_seconds() - begun
                self._good_until = clock.elapsed_seconds() + max(LEAST_AGE_SECONDS, took / MOST_SHARE)
            return self._census

    async def _read(self) -> Census:
        census = Census([])
        async for page in self.api.pages(NODES):
            census.nodes += [slim for node in page if (slim := _gpu_node(node)) is not None]
        async for page in self.api.pages(PODS, fields="status.phase!=Succeeded,status.phase!=Failed"):
            census.count(page)
        return census

    async def _quotas(self, namespace: str) -> list[Object]:
        """None where they may not be seen: a pod that one refuses then waits, and is told of as such."""
        try:
            return await self.api.items(RESOURCE_QUOTAS, namespace)
        except RefusedError as error:
            if error.status != FORBIDDEN:
                raise
            return []


def _load_of(gathered: Gathered) -> LoadPods:
    pods = most_generators(gathered.snapshot.study)
    return LoadPods({"containers": [{"resources": LOAD_RESOURCES}]}, pods)


def _coming(gathered: Gathered, begun: list[Waiting]) -> Coming:
    """In the study's namespace. Of other studies' trials whose server is there, a load that is to come is not seen."""
    production, snapshot = gathered.production, gathered.snapshot
    namespace = snapshot.study.metadata.namespace or ""
    new = {w.owner for w in begun if w.namespace == namespace}
    started = [t for t in snapshot.trials if not t.finished and t.name not in new]
    loaded = [t for t in started if not is_live(t.spec, snapshot.study.spec)]
    there = section(production, "status").get("replicas", 0)
    return Coming(
        begun=len(new),
        unloaded=sum(snapshot.observation(t).load.state is LoadState.ABSENT for t in loaded),
        missing=max(replicas_of(production) - there, 0) if production is not None else 0,
    )


def _gpu_node(node: Object) -> Object | None:
    """What placement looks at, of nodes with GPUs alone: the rest is long (images) and many."""
    offers = section(node, "status", "allocatable")
    if not any(map(is_gpu, amounts(offers))):
        return None
    metadata = {"name": node["metadata"]["name"], "labels": section(node, "metadata", "labels")}
    spec = {key: value for key, value in section(node, "spec").items() if key in {"taints", "unschedulable"}}
    ready = [c for c in listing(node, "status", "conditions") if c["type"] == "Ready"]
    return {"metadata": metadata, "spec": spec, "status": {"allocatable": offers, "conditions": ready}}
