"""Reads everything that the planner may know about one study. Writes nothing."""

from collections import defaultdict
from dataclasses import dataclass, field

from pydantic import ValidationError

from sloguard.api.v1alpha1 import Study, StudyStatus, Trial
from sloguard.cluster.api import DEPLOYMENTS, EVENTS, JOBS, PODS, STUDIES, TRIALS, Api
from sloguard.cluster.evidence import (
    Container,
    container_of,
    evidence_of,
    load_of,
    pod_of,
    running_since,
    server_state,
)
from sloguard.cluster.labels import LOAD, ROLE, SERVER, STUDY, TRIAL
from sloguard.cluster.objects import Object, being_deleted, owned_by, section
from sloguard.cluster.target import find_container, gpus, target_state
from sloguard.domain.margins import margins_from_log
from sloguard.engine.promotion import UNDER_WAY
from sloguard.engine.snapshot import Observation, Server, ServerState, Snapshot

MOST_LOG_BYTES = 8 * 1024 * 1024


class StudyUnreadableError(Exception):
    """The stored study is not one that this version understands; the message names field, value and remedy."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The snapshot, and the raw objects that writing back needs."""

    snapshot: Snapshot
    study: Object
    trials: dict[str, Object]
    production: Object | None


@dataclass(slots=True)
class Children:
    """What exists of a trial."""

    deployment: Object | None = None
    job: Object | None = None
    server_pods: list[Object] = field(default_factory=list[Object])
    load_pods: list[Object] = field(default_factory=list[Object])

    @property
    def leftovers(self) -> bool:
        return any(o is not None and not being_deleted(o) for o in (self.deployment, self.job))


async def gather(api: Api, namespace: str, name: str) -> Gathered | None:
    """None where the study is gone.

    Raises:
        StudyUnreadableError: it is there but makes no sense to this version.
        RefusedError: the API server said no.

    """
    stored = await api.get(STUDIES, namespace, name)
    if stored is None:
        return None
    study = read_study(stored)
    mine = f"{STUDY}={name}"
    raw_trials = [t for t in await api.items(TRIALS, namespace, labels=mine) if owned_by(t, study.metadata.uid)]
    trials = sorted((Trial.model_validate(_known_fields(t)) for t in raw_trials), key=_order)
    children = await _children(api, namespace, mine, {t.metadata.uid for t in trials})
    container = study.spec.target.container or ""
    seen = {
        t.name: await _observe(api, namespace, t, children[t.name], container)
        for t in trials
        if not t.finished or t.name in children
    }
    production = await api.get(DEPLOYMENTS, namespace, study.spec.target.name or "")
    pods = await _production_pods(api, namespace, production) if _promoting(study) else []
    target = target_state(production, study.spec.target.name or "", container, pods)
    snapshot = Snapshot(study, tuple(trials), target, seen)
    return Gathered(snapshot, stored, {t["metadata"]["name"]: t for t in raw_trials}, production)


def read_study(stored: Object) -> Study:
    """The study as a model; admission has checked it, unless it was stored before a rule was added."""
    try:
        return Study.model_validate(_known_fields(stored))
    except ValidationError as error:
        broken = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise StudyUnreadableError(broken) from error


def _known_fields(stored: Object) -> Object:
    return {"apiVersion": stored["apiVersion"], "kind": stored["kind"]} | {
        key: stored[key] for key in ("metadata", "spec", "status") if stored.get(key)
    }


def _order(trial: Trial) -> tuple[int, int]:
    return trial.spec.number, trial.spec.attempt


def _promoting(study: Study) -> bool:
    status: StudyStatus = study.status
    return status.promotion is not None and status.promotion.state in UNDER_WAY


async def _children(api: Api, namespace: str, mine: str, trial_uids: set[str]) -> dict[str, Children]:
    """All children of all trials in three calls, by the trial's name."""
    found: dict[str, Children] = defaultdict(Children)
    for deployment in await api.items(DEPLOYMENTS, namespace, labels=mine):
        if any(owned_by(deployment, uid) for uid in trial_uids):
            found[deployment["metadata"]["labels"][TRIAL]].deployment = deployment
    for job in await api.items(JOBS, namespace, labels=mine):
        if any(owned_by(job, uid) for uid in trial_uids):
            found[job["metadata"]["labels"][TRIAL]].job = job
    for pod in await api.items(PODS, namespace, labels=mine):
        own = section(pod, "metadata", "labels")
        trial = own.get(TRIAL, "")
        if trial in found and own.get(ROLE) == SERVER:
            found[trial].server_pods.append(pod)
        elif trial in found and own.get(ROLE) == LOAD:
            found[trial].load_pods.append(pod)
    return found


async def _observe(api: Api, namespace: str, trial: Trial, children: Children, container: str) -> Observation:
    if children.deployment is None:
        return Observation(load=load_of(children.job, children.load_pods), leftovers=children.leftovers)
    pod = pod_of(children.server_pods)
    serving = container_of(pod, container) if pod is not None else None
    state = server_state(pod, serving)
    wanted = not trial.finished
    log = await _log(api, namespace, pod, serving, container, state, trial) if wanted else ""
    waiting = state in {ServerState.WAITING, ServerState.ENDED} and wanted
    events = await _events(api, namespace, trial, pod) if waiting else []
    server = Server(
        state=state,
        evidence=evidence_of(trial, pod, serving, events, log),
        running_since=running_since(pod, serving),
        margins=margins_from_log(log) if state is ServerState.READY else None,
        gpus=gpus(find_container(children.deployment, container)),
    )
    return Observation(server, load_of(children.job, children.load_pods), children.leftovers)


async def _log(
    api: Api,
    namespace: str,
    pod: Object | None,
    serving: Container | None,
    container: str,
    state: ServerState,
    trial: Trial,
) -> str:
    """The log of the start that is judged, read only when it is needed: at a crash, and once when ready."""
    just_ready = state is ServerState.READY and trial.status.ready_at is None
    if pod is None or serving is None or not (state is ServerState.ENDED or just_ready):
        return ""
    restarted = "terminated" not in serving.state and serving.last_terminated is not None
    return await api.log(namespace, pod["metadata"]["name"], container, previous=restarted, most_bytes=MOST_LOG_BYTES)


async def _events(api: Api, namespace: str, trial: Trial, pod: Object | None) -> list[Object]:
    """Events about the pod, or, where there is none, about what should have made it (quota, admission)."""
    if pod is not None:
        return await api.items(EVENTS, namespace, fields=f"involvedObject.uid={pod['metadata']['uid']}")
    sets = await api.items(EVENTS, namespace, fields="involvedObject.kind=ReplicaSet")
    return [e for e in sets if e["involvedObject"]["name"].startswith(f"{trial.name}-")]


async def _production_pods(api: Api, namespace: str, production: Object | None) -> list[Object]:
    """Its pods by its own selector (matchLabels, as nearly every Deployment has it)."""
    if production is None:
        return []
    wanted = section(production, "spec", "selector", "matchLabels")
    selector = ",".join(f"{key}={value}" for key, value in sorted(wanted.items()))
    return await api.items(PODS, namespace, labels=selector) if selector else []
