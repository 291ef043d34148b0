"""Does what a plan says. Every step is idempotent, so that a plan that was cut short is simply done again."""

import hashlib
import logging
from dataclasses import dataclass, field
from datetime import timedelta

from sloguard.api.v1alpha1 import API_VERSION, Purpose, Trial
from sloguard.cluster import clock, render
from sloguard.cluster.api import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    FIELD_MANAGER,
    JOBS,
    PODS,
    SERVICES,
    STUDIES,
    TRIALS,
    Api,
    RefusedError,
    Resource,
)
from sloguard.cluster.gather import Gathered
from sloguard.cluster.git_job import git_job, request_map
from sloguard.cluster.git_request import request_of
from sloguard.cluster.knowledge import keep, leave_behind
from sloguard.cluster.labels import MANAGED_BY, PROMOTION_FINALIZER, STUDY, load_name
from sloguard.cluster.objects import Object, being_deleted, listing, owned_by, section
from sloguard.cluster.pace import give_back, set_pace
from sloguard.cluster.records import ForeignArgumentsError, check_arguments, owner_of
from sloguard.cluster.target import find_container, with_arguments
from sloguard.cluster.workloads.kinds import workload_of
from sloguard.domain.arguments import ArgumentsError
from sloguard.domain.text import readable
from sloguard.engine.actions import (
    Action,
    ApplyArguments,
    EndPod,
    Event,
    EventType,
    GivePaceBack,
    Plan,
    ProductionAction,
    RecordTrial,
    SetPace,
    StartGitJob,
    StartLoad,
    StartServer,
    StopTrial,
    UpdateTrial,
)
from sloguard.engine.snapshot import TargetState
from sloguard.engine.watch import is_live
from sloguard.measure.prometheus import PrometheusSettings

logger = logging.getLogger("sloguard.execute")

COMPONENT = "sloguard"

START_LEAD = timedelta(seconds=30)
"""From a Job's creation until several generators begin: their pods are scheduled and their image pulled by then."""


class NameTakenError(Exception):
    """An object of somebody else has the name that a trial's child needs."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The image that load Jobs run, which is this program's own; and where Prometheus is, if there is one."""

    image: str
    pull_policy: str = "IfNotPresent"
    prometheus: PrometheusSettings | None = None


@dataclass(slots=True)
class Written:
    """The study and its trials as they are stored then, as far as that is known.

    `recorded` says that some of the trials are new, and that the study's status has yet to be written, `begun` which
    servers are there now, `stopped` of which trials nothing is left but what is leaving.
    """

    study: Object
    trials: dict[str, Object]
    recorded: bool = False
    begun: set[str] = field(default_factory=set[str])
    stopped: set[str] = field(default_factory=set[str])

    @property
    def version(self) -> str:
        """The study's."""
        return str(self.study["metadata"]["resourceVersion"])


async def execute(api: Api, settings: Settings, gathered: Gathered, plan: Plan) -> Written:
    """All of the plan, in its order.

    Events come first: an operator that dies tells them once more and not never. Where a trial is recorded, the look
    goes on with it (`recorded.py`), and the study's status is written at its end; before it only what the trial follows
    from.

    Raises:
        RefusedError: the API server said no; a conflict means that something changed meanwhile: gather and plan again.
        NameTakenError: a child's name belongs to somebody else.
        ForeignArgumentsError: more than tuned settings would differ from production.

    """
    study = gathered.study
    if plan.owes_production:
        study = await _with_finalizer(api, study, wanted=True)
    taken = await keep(api, study["metadata"]["namespace"], gathered.taken)
    status = plan.status if taken is gathered.taken else plan.status.model_copy(update={"knowledge": taken.status})
    for event in (*gathered.history.events, *taken.events, *plan.events):
        await _tell(api, study, event)
    if plan.status_first:
        study = await api.replace_status(STUDIES, study | {"status": {**gathered.kept, **status.dump()}})
    written = Written(study, dict(gathered.trials))
    for action in plan.actions:
        await _do(api, settings, gathered, action, written)
        logger.info(_what_was_done(action), extra=_about(gathered, action))
    told = study | {"status": {**gathered.kept, **status.dump()}}
    if written.recorded:
        written.study = told
        return written
    if gathered.derived or status != gathered.snapshot.study.status:
        study = await api.replace_status(STUDIES, told)
    if not plan.owes_production:
        study = await _with_finalizer(api, study, wanted=False)
    written.study = study
    return written


async def _do(api: Api, settings: Settings, gathered: Gathered, action: Action, written: Written) -> None:
    study = gathered.snapshot.study
    namespace = study.metadata.namespace or ""
    container = study.spec.target.container or ""
    match action:
        case RecordTrial(name):
            made = await _record(api, gathered, action)
            if made is not None:
                written.trials[name], written.recorded = made, True
        case UpdateTrial(trial, status):
            if status.outcome is not None and not trial.finished:
                await _leave_behind(api, gathered, trial.model_copy(update={"status": status}))
            # A trial that is finished may be kept as text, and then no more is told of it.
            if not trial.finished or trial.name in gathered.trials:
                stored = written.trials[trial.name] | {"status": status.dump()}
                written.trials[trial.name] = await api.replace_status(TRIALS, stored)
        case StartServer(trial, arguments):
            await _start_server(api, gathered, trial, arguments)
            written.begun.add(trial.name)
        case StartLoad(trial) if is_live(trial.spec, study.spec):
            arguments = tuple(trial.status.arguments)
            await _lead(api, render.live_service(study, trial, _production(gathered), container, arguments))
        case StartLoad(trial):
            image, policy = settings.image, settings.pull_policy
            starts_at = clock.now() + START_LEAD
            job = render.load_job(trial, study, _production(gathered), image, policy, starts_at=starts_at)
            await _create(api, JOBS, namespace, job)
        case StopTrial(trial):
            await take_away(api, namespace, trial.name)
            written.stopped.add(trial.name)
        case ApplyArguments() | SetPace() | GivePaceBack() | EndPod():
            await _change_production(api, gathered, action)
        case StartGitJob(number, back):
            await _start_git_job(api, settings, gathered, number, back=back)


async def _change_production(api: Api, gathered: Gathered, action: ProductionAction) -> None:
    study = gathered.snapshot.study
    match action:
        case ApplyArguments(arguments):
            _check(gathered, arguments)
            await _apply_arguments(api, gathered, study.spec.target.container or "", arguments)
        case SetPace(pace):
            await set_pace(api, _production(gathered), pace)
        case GivePaceBack(previous):
            await give_back(api, _production(gathered), previous)
        case EndPod(name, uid):
            await api.delete(PODS, study.metadata.namespace or "", name, uid=uid)


async def _start_git_job(api: Api, settings: Settings, gathered: Gathered, number: int, *, back: bool) -> None:
    study = gathered.snapshot.study
    namespace = study.metadata.namespace or ""
    request = request_of(study, gathered.snapshot.trials, back=back)
    await _create(api, CONFIG_MAPS, namespace, request_map(study, request))
    await _create(api, JOBS, namespace, git_job(study, request, number, settings.image, settings.pull_policy))


async def _start_server(api: Api, gathered: Gathered, trial: Trial, arguments: tuple[str, ...]) -> None:
    """A canary is found by production's Services, and needs none of its own."""
    study, production = gathered.snapshot.study, _production(gathered)
    namespace, container = study.metadata.namespace or "", study.spec.target.container or ""
    _check(gathered, arguments)
    if trial.spec.purpose is Purpose.CANARY:
        await _create(api, DEPLOYMENTS, namespace, render.canary(trial, production, container, arguments))
        return
    await _create(api, SERVICES, namespace, render.service(trial, production, container, arguments))
    if is_live(trial.spec, study.spec):
        await _create(api, SERVICES, namespace, render.live_service(study, trial, production, container, arguments))
    await _create(api, DEPLOYMENTS, namespace, render.deployment(trial, production, container, arguments))


async def take_away(api: Api, namespace: str, trial: str) -> None:
    """All that a trial caused. The Deployment goes last, because what is left is looked for by Job and Deployment."""
    await api.delete(JOBS, namespace, load_name(trial))
    await api.delete(SERVICES, namespace, trial)
    await api.delete(DEPLOYMENTS, namespace, trial)


async def _leave_behind(api: Api, gathered: Gathered, trial: Trial) -> None:
    told = await leave_behind(api, gathered.snapshot.study, trial)
    if told is not None:
        await _tell(api, gathered.study, told)


def _what_was_done(action: Action) -> str:
    """Of arguments, only the tuned ones are told: others may hold a key."""
    match action:
        case RecordTrial(_, spec):
            told = " ".join(f"{name.value}={value}" for name, value in spec.parameters.items())
            return f"{spec.purpose.value} trial recorded: {told or 'defaults'}"
        case UpdateTrial(trial, status) if trial.finished:
            return f"its server was left behind for {status.left_behind_gpu_seconds} GPU-seconds"
        case UpdateTrial(_, status) if status.outcome is not None:
            return f"{status.outcome.value}: {status.message}"
        case UpdateTrial(_, status):
            return f"trial is {status.phase.value}"
        case StartServer():
            return "server asked for"
        case StartLoad():
            return "load asked for"
        case StopTrial():
            return "server and load taken away"
        case ApplyArguments():
            return "arguments applied to production"
        case SetPace(pace):
            return f"production exchanges its pods one after the other, each watched for {pace.min_ready_seconds} s"
        case GivePaceBack():
            return "production exchanges its pods as before"
        case EndPod(name):
            return f"pod {name} of production removed: it never became ready with the arguments that are taken back"
        case StartGitJob(number):
            return f"Job {number} asked for, to bring arguments to the repository of production"


def _about(gathered: Gathered, action: Action) -> dict[str, str]:
    study = gathered.snapshot.study
    about = {"study": f"{study.metadata.namespace}/{study.name}", "action": type(action).__name__}
    match action:
        case RecordTrial(name, _):
            return about | {"trial": name}
        case ApplyArguments() | SetPace() | GivePaceBack() | EndPod() | StartGitJob():
            return about
        case UpdateTrial(trial) | StartServer(trial) | StartLoad(trial) | StopTrial(trial):
            return about | {"trial": trial.name}


def _production(gathered: Gathered) -> Object:
    assert gathered.production is not None, "the planner starts nothing without a target"
    return gathered.production


def _check(gathered: Gathered, arguments: tuple[str, ...]) -> None:
    """The last look before a server is started or production is changed."""
    target = gathered.snapshot.target
    assert isinstance(target, TargetState), "the planner starts nothing without a target"
    check_arguments(target.arguments, arguments)
    container = find_container(_production(gathered), gathered.snapshot.study.spec.target.container or "")
    try:
        with_arguments(container or {}, arguments)
    except ArgumentsError as error:
        raise ForeignArgumentsError(readable(str(error))) from error


async def _create(api: Api, resource: Resource, namespace: str, body: Object) -> Object | None:
    """None where it was there already, and is ours."""
    made = await api.create(resource, namespace, body)
    if made is not None:
        return made
    name = body["metadata"]["name"]
    there = await api.get(resource, namespace, name)
    if there is not None and not owned_by(there, body["metadata"]["ownerReferences"][0]["uid"]):
        raise NameTakenError(
            f"{body['kind']} {name} exists and is not this study's; rename or remove it, or give the study another name"
        )
    return None


async def _lead(api: Api, service: Object) -> None:
    """Live traffic goes to the trial that this Service selects."""
    metadata = service["metadata"]
    if await _create(api, SERVICES, metadata["namespace"], service):
        return
    there = await api.get(SERVICES, metadata["namespace"], metadata["name"])
    # Of the very object whose owner was looked at: one that took its place meanwhile is refused as a conflict.
    own = metadata | {"uid": section(there, "metadata").get("uid", "")}
    await api.apply(SERVICES, metadata["namespace"], metadata["name"], service | {"metadata": own})


async def _record(api: Api, gathered: Gathered, action: RecordTrial) -> Object | None:
    """None where it was there already."""
    body = _trial_object(gathered, action)
    namespace = body["metadata"]["namespace"]
    made = await _create(api, TRIALS, namespace, body)
    if made is not None:
        return made
    why = gathered.passed_over.get(action.name)
    there = await api.get(TRIALS, namespace, action.name)
    if why is None and section(there, "metadata", "labels").get(STUDY) != action.spec.study:
        why = f"its label {STUDY} is not {action.spec.study}"
    if there is not None and why is not None:
        raise NameTakenError(f"SLOGuardTrial {action.name} exists, but cannot be used: {why}; remove it to go on")
    return None


def _trial_object(gathered: Gathered, action: RecordTrial) -> Object:
    study = gathered.snapshot.study
    metadata = {
        "name": action.name,
        "namespace": study.metadata.namespace,
        "labels": {STUDY: study.name, MANAGED_BY: COMPONENT},
        "ownerReferences": [owner_of(study)],
    }
    return {"apiVersion": API_VERSION, "kind": "SLOGuardTrial", "metadata": metadata, "spec": action.spec.dump()}


async def _apply_arguments(api: Api, gathered: Gathered, name: str, arguments: tuple[str, ...]) -> None:
    """Only the fields that hold arguments, at the resourceVersion that was looked at."""
    production = _production(gathered)
    container = find_container(production, name)
    assert container is not None, "the planner applies nothing without a container"
    changed = with_arguments(container, arguments)
    owned: Object = {"name": name}
    for key in ("command", "args"):
        # Applying without a field that was applied before would remove it.
        if changed.get(key) != container.get(key) or key in _applied_fields(production, name):
            owned[key] = changed.get(key, [])
    metadata, workload = production["metadata"], workload_of(production)
    body = workload.with_container(production, owned)
    await api.apply(workload.resource, metadata["namespace"], metadata["name"], body)


def _applied_fields(production: Object, container: str) -> set[str]:
    """What of the container this operator has put there."""
    template = (f"f:{key}" for key in workload_of(production).template_path(production))
    path = (*template, "f:spec", "f:containers", f'k:{{"name":"{container}"}}')
    return {
        key.removeprefix("f:")
        for entry in listing(production, "metadata", "managedFields")
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply"
        for key in section(entry, "fieldsV1", *path)
    }


async def _with_finalizer(api: Api, study: Object, *, wanted: bool) -> Object:
    """The study with the finalizer, which is there only while production is between two states, or without."""
    metadata = study["metadata"]
    present: list[str] = metadata.get("finalizers") or []
    if (PROMOTION_FINALIZER in present) == wanted or (wanted and being_deleted(study)):
        return study
    finalizers = [f for f in present if f != PROMOTION_FINALIZER] + ([PROMOTION_FINALIZER] if wanted else [])
    # With the version that was read: somebody else's finalizer, added meanwhile, must not go with ours.
    patch = {"finalizers": finalizers, "resourceVersion": metadata["resourceVersion"]}
    return await api.merge(STUDIES, metadata["namespace"], metadata["name"], {"metadata": patch})


async def _tell(api: Api, study: Object, event: Event) -> None:
    """Once: the event's name follows from the study and its key."""
    metadata = study["metadata"]
    mark = hashlib.sha256(f"{metadata['uid']}/{event.key}".encode()).hexdigest()[:16]
    now = clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    involved = {
        "apiVersion": study["apiVersion"],
        "kind": study["kind"],
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
    }
    body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{mark}", "namespace": metadata["namespace"]},
        "involvedObject": involved,
        "type": event.type.value,
        "reason": event.reason,
        "message": readable(event.message),
        "source": {"component": COMPONENT},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        if await api.create(EVENTS, metadata["namespace"], body):
            about = {"study": f"{metadata['namespace']}/{metadata['name']}", "reason": event.reason}
            level = logging.WARNING if event.type is EventType.WARNING else logging.INFO
            logger.log(level, event.message, extra=about)
    except RefusedError as error:
        # An event is for people; a namespace on its way out takes none, and nothing depends on it.
        if error.passing:
            raise
        logger.warning("event %s is not told: %s", event.reason, error.message)
