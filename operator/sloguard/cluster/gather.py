"""Reads everything that the planner may know about one study. Writes nothing."""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from sloguard.api.changeable import unchangeable
from sloguard.api.documents import Problem
from sloguard.api.v1alpha1 import Purpose, Study, Target, Trial
from sloguard.api.wording import problems
from sloguard.cluster import clock
from sloguard.cluster.api import DEPLOYMENTS, EVENTS, JOBS, PODS, STUDIES, TRIALS, Api
from sloguard.cluster.cross_check import cross_checked
from sloguard.cluster.device_memory import memory_under_load
from sloguard.cluster.evidence import (
    container_of,
    evidence_of,
    load_of,
    node_conditions,
    pod_of,
    running_since,
    server_state,
)
from sloguard.cluster.git_job import seen_git_job
from sloguard.cluster.history import History, read_history
from sloguard.cluster.knowledge import Taken, knowledge_of
from sloguard.cluster.labels import GIT, LOAD, ROLE, SERVER, STUDY, TRIAL, git_job_name
from sloguard.cluster.last_activity import last_activity
from sloguard.cluster.live_traffic import live_load, missing_prometheus
from sloguard.cluster.log_ring import ServerLog
from sloguard.cluster.log_streams import Followed
from sloguard.cluster.objects import Object, being_deleted, listing, section
from sloguard.cluster.parsed import Parsed
from sloguard.cluster.platform import node_of, platform_of
from sloguard.cluster.production import failure_evidence, production_pods, read_production
from sloguard.cluster.production_load import with_production_load
from sloguard.cluster.production_traffic import canary_load, promotion_traffic
from sloguard.cluster.records import records_of
from sloguard.cluster.server_log import server_log
from sloguard.cluster.sources import NO_SOURCES, Sources
from sloguard.cluster.target import failed_pod, find_container, gpus, target_state
from sloguard.cluster.workloads.kinds import WORKLOADS
from sloguard.domain.evidence import NodeCondition
from sloguard.domain.margins import margins_from_log
from sloguard.domain.text import readable
from sloguard.engine.git_promotion import STATES as GIT_STATES
from sloguard.engine.progress import is_late
from sloguard.engine.promotion import is_under_way
from sloguard.engine.snapshot import (
    Load,
    LoadState,
    Observation,
    SeenGitJob,
    Server,
    ServerState,
    Snapshot,
    TargetProblem,
    TargetState,
)
from sloguard.engine.watch import is_live

logger = logging.getLogger("sloguard.gather")

STARTS_WITHIN = timedelta(seconds=5)
"""A pod that is not there or does not run by then may be held up by something that events tell of."""


class StudyUnreadableError(Exception):
    """The stored study is not one that this version understands; the message names field, value and remedy."""

    def __init__(self, message: str, stored: Object) -> None:
        super().__init__(message)
        self.stored = stored


@dataclass(frozen=True, slots=True)
class Gathered:
    """The snapshot, and the raw objects that writing back needs.

    `derived` says that the snapshot's status holds what is not stored yet. `unreadable` are trials that the operator
    began and this version cannot read; `kept` is what stands in the study's status and this version cannot read.
    """

    snapshot: Snapshot
    study: Object
    trials: dict[str, Object]
    production: Object | None
    passed_over: Mapping[str, str]
    derived: bool = False
    taken: Taken = field(default_factory=Taken)
    history: History = field(default_factory=History)
    unreadable: Mapping[str, "Children"] = field(default_factory=dict[str, "Children"])
    kept: Mapping[str, Any] = field(default_factory=dict[str, Any])


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


async def gather(
    api: Api,
    namespace: str,
    name: str,
    sources: Sources = NO_SOURCES,
    *,
    whole: bool = True,
    parsed: Parsed | None = None,
) -> Gathered | None:
    """None where the study is gone. `sources` are told which pods to follow; not `whole`, what the study's own records
    rule out is not looked for. `parsed` is what was read before.

    Raises:
        StudyUnreadableError: it is there but makes no sense to this version.
        RefusedError: the API server said no.

    """
    parsed = parsed or Parsed()
    stored = await api.get(STUDIES, namespace, name)
    if stored is None:
        sources.keep((namespace, name))
        return None
    prometheus = sources.prometheus
    loaded = await with_production_load(prometheus, namespace, read_study(stored, parsed))
    study = loaded.study
    production, refused = await read_production(api, namespace, study)
    pods = await production_pods(api, namespace, production) if is_under_way(study.status.promotion) else []
    problem = refused or loaded.problem or missing_prometheus(study, prometheus)
    target = problem or _target_state(production, study.spec.target, pods, parsed)
    if isinstance(target, TargetState) and target.rollout.failure:
        target = await _with_evidence(api, namespace, study, target, pods)
    mine = f"{STUDY}={name}"
    raw_trials = {t["metadata"]["name"]: t for t in await api.items(TRIALS, namespace, labels=mine)}
    history = await read_history(api, namespace, study, raw_trials)
    records = records_of(study, [*history.trials.values(), *raw_trials.values()], target, parsed)
    _warn(namespace, name, {k: why for k, why in records.passed_over.items() if k not in records.unreadable})
    broken = {raw_trials[name]["metadata"]["uid"]: name for name in records.unreadable if name in raw_trials}
    own = {t.metadata.uid: t.name for t in records.trials} | broken
    under_way = [t.status for t in records.trials if not t.finished and t.status.started_at]
    begun = whole or bool(under_way or broken)
    under_load = whole or any(status.load_started_at for status in under_way)
    children = await children_of(api, namespace, mine, own, begun=begun, loaded=under_load)
    seen: dict[str, Observation] = {}
    for trial in records.trials:
        if not trial.finished or trial.name in children:
            theirs = children[trial.name]
            pod = pod_of(theirs.server_pods)
            load = load_of(theirs.job, theirs.load_pods)
            if trial.spec.purpose is Purpose.CANARY:
                load = await canary_load(sources, namespace, study, trial, pod)
            elif is_live(trial.spec, study.spec):
                load = await live_load(api, sources, namespace, study, trial, pod)
            else:
                load = await cross_checked(prometheus, namespace, trial, pod, load, study.spec.slos)
            server = await _server(api, namespace, study, trial, theirs, load, sources)
            memory = await memory_under_load(prometheus, namespace, trial, pod, load)
            seen[trial.name] = Observation(replace(server, memory=memory), load, theirs.leftovers)
    live = (pod_of(children[t.name].server_pods) for t in records.trials if not t.finished)
    sources.keep((namespace, name), [pod["metadata"]["uid"] for pod in live if pod is not None])
    taken = await knowledge_of(api, namespace, study, records.trials, seen)
    if taken.status is not None:
        study = study.model_copy(update={"status": study.status.model_copy(update={"knowledge": taken.status})})
    traffic = await promotion_traffic(prometheus, namespace, study)
    git_job = await read_git_job(api, namespace, study)
    snapshot = Snapshot(study, records.trials, target, seen, taken.ledger, room=None, traffic=traffic, git_job=git_job)
    derived = loaded.derived or taken.status is not None
    unreadable = {name: children[name] for name in records.unreadable}
    return Gathered(snapshot, stored, raw_trials, production, records.passed_over, derived, taken, history, unreadable)


async def read_git_job(api: Api, namespace: str, study: Study) -> SeenGitJob:
    """That of a promotion through Git whose end was not seen yet."""
    promotion = study.status.promotion
    if promotion is None or promotion.git is None or promotion.state not in GIT_STATES:
        return SeenGitJob()
    job = promotion.git.job
    if job.ended_at is not None:
        return SeenGitJob()
    stored = await api.get(JOBS, namespace, git_job_name(study.name, job.number))
    pods = await api.items(PODS, namespace, labels=f"{STUDY}={study.name},{ROLE}={GIT}") if stored is not None else []
    return seen_git_job(study, stored, pods)


async def _with_evidence(
    api: Api, namespace: str, study: Study, target: TargetState, pods: list[Object]
) -> TargetState:
    """How a server of production's failed, where one did."""
    container = study.spec.target.container or ""
    pod = failed_pod(container, target.arguments, pods)
    if pod is None:
        return target
    evidence = await failure_evidence(api, namespace, container, pod)
    return replace(target, rollout=replace(target.rollout, evidence=evidence))


def _warn(namespace: str, study: str, passed_over: Mapping[str, str]) -> None:
    """One line, however many there are."""
    if passed_over:
        name, why = next(iter(sorted(passed_over.items())))
        more = f" (and {len(passed_over) - 1} more)" if len(passed_over) > 1 else ""
        about = {"study": f"{namespace}/{study}", "trial": name}
        logger.warning("not of the operator's making: %s%s", why, more, extra=about)


def _target_state(
    production: Object | None, target: Target, pods: list[Object], parsed: Parsed
) -> TargetState | TargetProblem:
    """Without pods, it follows from the object alone."""
    if production is None or pods:
        return target_state(production, target, pods)
    version = production["metadata"].get("resourceVersion")
    named = version and (version, target.kind, target.name, target.container)
    return parsed.targets.of(production, named, lambda: target_state(production, target, pods))


def read_study(stored: Object, parsed: Parsed | None = None) -> Study:
    """The study as a model; admission has checked it, unless it was stored before a rule was added."""
    parsed = parsed or Parsed()
    return parsed.studies.of(stored, stored["metadata"].get("resourceVersion"), lambda: _read_study(stored, parsed))


def _read_study(stored: Object, parsed: Parsed) -> Study:
    generation = stored["metadata"].get("generation")
    spec = parsed.specs.known(stored, generation)
    try:
        study = Study.model_validate(_known_fields(stored) | ({} if spec is None else {"spec": spec}))
    except ValidationError as error:
        raise StudyUnreadableError(_told([p for e in error.errors() for p in problems(e)]), stored) from error
    if study.spec.target.kind not in WORKLOADS:
        only = Problem(("spec", "target", "kind"), f"on a cluster it can be: {', '.join(WORKLOADS)}")
        raise StudyUnreadableError(_told([only]), stored)
    parsed.specs.keep(stored, generation, study.spec)
    return study


def _told(broken: list[Problem]) -> str:
    """All that is wrong, and what to do where it cannot be mended in place."""
    said = filter(None, [*map(str, broken), unchangeable(problem.path for problem in broken)])
    return readable("; ".join(said))


def _known_fields(stored: Object) -> Object:
    return {"apiVersion": stored["apiVersion"], "kind": stored["kind"]} | {
        key: stored[key] for key in ("metadata", "spec", "status") if stored.get(key)
    }


async def children_of(
    api: Api, namespace: str, mine: str, trials: Mapping[str, str], *, begun: bool = True, loaded: bool = True
) -> dict[str, Children]:
    """All children of all trials in three calls, by the trial's name; `trials` has the names by UID.

    Labels narrow the search; ownership decides. A server's pod belongs to a ReplicaSet, which is not read: its name
    and the pod's labels have to do. Where no trial is `begun`, or `loaded`, Deployments or Jobs are looked for only if
    pods tell of one: that a trial begins, and its load, is recorded before either is made.
    """
    found: dict[str, Children] = defaultdict(Children)
    pods = await api.items(PODS, namespace, labels=mine)
    begun = begun or any(not being_deleted(pod) for pod in pods)
    for deployment in await api.items(DEPLOYMENTS, namespace, labels=mine) if begun else ():
        if (trial := _owner_among(deployment, trials)) is not None:
            found[trial].deployment = deployment
    loaded = loaded or any(section(pod, "metadata", "labels").get(ROLE) == LOAD for pod in pods)
    for job in await api.items(JOBS, namespace, labels=mine) if loaded else ():
        if (trial := _owner_among(job, trials)) is not None:
            found[trial].job = job
    for pod in pods:
        own = section(pod, "metadata", "labels")
        trial = own.get(TRIAL, "")
        if trial in found and own.get(ROLE) == SERVER and _made_for(trial, pod):
            found[trial].server_pods.append(pod)
        elif trial in found and own.get(ROLE) == LOAD:
            found[trial].load_pods.append(pod)
    return found


def _owner_among(stored: Object, trials: Mapping[str, str]) -> str | None:
    owners = (trials.get(owner["uid"]) for owner in listing(stored, "metadata", "ownerReferences"))
    return next((name for name in owners if name is not None), None)


def _made_for(trial: str, pod: Object) -> bool:
    """Whether the pod is of a ReplicaSet of this trial's Deployment."""
    owners = listing(pod, "metadata", "ownerReferences")
    return any(o["kind"] == "ReplicaSet" and _is_set_of(trial, o["name"]) for o in owners)


def _is_set_of(trial: str, replica_set: str) -> bool:
    """ReplicaSets are named after their Deployment and a hash without dashes."""
    return replica_set.rpartition("-")[0] == trial


async def _server(
    api: Api,
    namespace: str,
    study: Study,
    trial: Trial,
    children: Children,
    load: Load,
    sources: Sources,
) -> Server:
    """Log, events, node and metrics are asked for only where they are judged: at an end, once when ready, and where it
    is late or the load found a fault, since an engine can die or stand still while its container runs on. Events also
    of a server that does not start.
    """
    if children.deployment is None:
        return Server()
    container = study.spec.target.container or ""
    pod = pod_of(children.server_pods)
    serving = container_of(pod, container) if pod is not None else None
    state, since = server_state(pod, serving), running_since(pod, serving)
    wanted = not trial.finished
    late = is_late(trial, study.spec, state, since, clock.now())
    failing = wanted and (state is ServerState.ENDED or late or _is_faulty(load))
    just_ready = wanted and state is ServerState.READY and trial.status.ready_at is None
    log, logs = ServerLog(), sources.logs
    if pod is not None and serving is not None:
        if logs is not None and wanted and not serving.restarts and state in {ServerState.STARTING, ServerState.READY}:
            logs.follow(Followed(namespace, pod["metadata"]["name"], pod["metadata"]["uid"], container))
        if failing or just_ready:
            log = await server_log(api, namespace, pod, serving, container, logs)
    waits = wanted and state is ServerState.WAITING and _has_waited(trial)
    events = await _events(api, namespace, trial, pod) if failing or waits else []
    just_seen = wanted and trial.status.platform is None and state in {ServerState.READY, ServerState.ENDED}
    node = await node_of(api, pod) if failing or just_seen else {}
    evidence = evidence_of(
        pod,
        serving,
        events,
        log.text,
        became_ready=trial.status.ready_at is not None,
        gaps=log.gaps,
        node=_node_seen(pod, node, log) if failing else (),
    )
    if failing and evidence.became_ready:
        evidence = replace(
            evidence, activity=await last_activity(sources.prometheus, namespace, trial, pod, evidence.ended_at)
        )
    return Server(
        state=state,
        evidence=evidence,
        running_since=since,
        margins=margins_from_log(log.text) if state is ServerState.READY else None,
        gpus=gpus(find_container(children.deployment, container)),
        platform=platform_of(node, log.text) if just_seen else None,
    )


def _has_waited(trial: Trial) -> bool:
    begun = trial.status.started_at
    return begun is not None and clock.now() - begun > STARTS_WITHIN


def _is_faulty(load: Load) -> bool:
    return load.state is LoadState.FAILED or (load.result is not None and load.result.fault is not None)


def _node_seen(pod: Object | None, node: Object, log: ServerLog) -> tuple[NodeCondition, ...]:
    """Its conditions, as far as they can be read, and whether its kubelet could be asked."""
    lost = NodeCondition("Ready", "Unknown", "KubeletNotReached", log.unreachable)
    unreached = log.unreachable and section(pod, "spec").get("nodeName")
    return (lost, *node_conditions(node)) if unreached else node_conditions(node)


async def _events(api: Api, namespace: str, trial: Trial, pod: Object | None) -> list[Object]:
    """Events about the pod, or, where there is none, about what should have made it (quota, admission)."""
    if pod is not None:
        return await api.items(EVENTS, namespace, fields=f"involvedObject.uid={pod['metadata']['uid']}")
    sets = await api.items(EVENTS, namespace, fields="involvedObject.kind=ReplicaSet")
    return [e for e in sets if _is_set_of(trial.name, e["involvedObject"].get("name", ""))]
