"""Does what a plan says. Every step is idempotent, so that a plan that was cut short is simply done again."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from sloguard.api.v1alpha1 import API_VERSION, TrialStatus
from sloguard.cluster import render
from sloguard.cluster.api import (
    DEPLOYMENTS,
    EVENTS,
    JOBS,
    SERVICES,
    STUDIES,
    TRIALS,
    Api,
    RefusedError,
    Resource,
)
from sloguard.cluster.gather import Gathered
from sloguard.cluster.labels import MANAGED_BY, PROMOTION_FINALIZER, STUDY, load_name
from sloguard.cluster.objects import Object, being_deleted, owned_by
from sloguard.cluster.target import find_container, with_arguments
from sloguard.engine.actions import (
    ApplyArguments,
    Event,
    Plan,
    RecordTrial,
    StartLoad,
    StartServer,
    StopTrial,
    UpdateTrial,
)

COMPONENT = "sloguard"


class NameTakenError(Exception):
    """An object of somebody else has the name that a trial's child needs."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The image that load Jobs run, which is this program's own."""

    image: str
    pull_policy: str = "IfNotPresent"


async def execute(api: Api, settings: Settings, gathered: Gathered, plan: Plan) -> None:
    """All of the plan, in its order.

    Raises:
        RefusedError: the API server said no; a conflict means that something changed meanwhile: gather and plan again.
        NameTakenError: a child's name belongs to somebody else.

    """
    study = gathered.study
    if plan.owes_production:
        study = await _with_finalizer(api, study, wanted=True)
    for action in plan.actions:
        await _do(api, settings, gathered, action)
    if plan.status != gathered.snapshot.study.status:
        study = await api.replace_status(STUDIES, study | {"status": plan.status.dump()})
    for event in plan.events:
        await _tell(api, study, event)
    if not plan.owes_production:
        await _with_finalizer(api, study, wanted=False)


async def _do(api: Api, settings: Settings, gathered: Gathered, action: object) -> None:
    study = gathered.snapshot.study
    namespace = study.metadata.namespace or ""
    container = study.spec.target.container or ""
    match action:
        case RecordTrial():
            await _create(api, TRIALS, namespace, _trial_object(gathered, action))
        case UpdateTrial(trial, status):
            await _write_trial_status(api, gathered.trials[trial.name], status)
        case StartServer(trial, arguments):
            production = _production(gathered)
            await _create(api, SERVICES, namespace, render.service(trial, production, container, arguments))
            await _create(api, DEPLOYMENTS, namespace, render.deployment(trial, production, container, arguments))
        case StartLoad(trial):
            job = render.load_job(trial, study, _production(gathered), settings.image, settings.pull_policy)
            await _create(api, JOBS, namespace, job)
        case StopTrial(trial):
            await api.delete(JOBS, namespace, load_name(trial.name))
            await api.delete(DEPLOYMENTS, namespace, trial.name)
            await api.delete(SERVICES, namespace, trial.name)
        case ApplyArguments(arguments):
            await _apply_arguments(api, gathered, container, arguments)
        case _:
            raise AssertionError(f"no such action: {action}")


def _production(gathered: Gathered) -> Object:
    assert gathered.production is not None, "the planner starts nothing without a target"
    return gathered.production


async def _create(api: Api, resource: Resource, namespace: str, body: Object) -> None:
    if await api.create(resource, namespace, body):
        return
    name = body["metadata"]["name"]
    there = await api.get(resource, namespace, name)
    if there is not None and not owned_by(there, body["metadata"]["ownerReferences"][0]["uid"]):
        raise NameTakenError(
            f"{body['kind']} {name} exists and is not this study's; rename or remove it, or give the study another name"
        )


def _trial_object(gathered: Gathered, action: RecordTrial) -> Object:
    study = gathered.snapshot.study
    owner = {
        "apiVersion": API_VERSION,
        "kind": study.kind,
        "name": study.name,
        "uid": study.metadata.uid,
        "controller": True,
    }
    metadata = {
        "name": action.name,
        "namespace": study.metadata.namespace,
        "labels": {STUDY: study.name, MANAGED_BY: COMPONENT},
        "ownerReferences": [owner],
    }
    return {"apiVersion": API_VERSION, "kind": "SLOGuardTrial", "metadata": metadata, "spec": action.spec.dump()}


async def _write_trial_status(api: Api, stored: Object, status: TrialStatus) -> None:
    await api.replace_status(TRIALS, stored | {"status": status.dump()})


async def _apply_arguments(api: Api, gathered: Gathered, name: str, arguments: tuple[str, ...]) -> None:
    """Only the fields that hold arguments, at the resourceVersion that was looked at."""
    production = _production(gathered)
    container = find_container(production, name)
    assert container is not None, "the planner applies nothing without a container"
    changed = with_arguments(container, arguments)
    owned: Object = {"name": name, "args": changed["args"]}
    if changed.get("command") != container.get("command"):
        owned["command"] = changed["command"]
    metadata = production["metadata"]
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": metadata["name"], "resourceVersion": metadata["resourceVersion"]},
        "spec": {"template": {"spec": {"containers": [owned]}}},
    }
    await api.apply(DEPLOYMENTS, metadata["namespace"], metadata["name"], body)


async def _with_finalizer(api: Api, study: Object, *, wanted: bool) -> Object:
    """The study with the finalizer, which is there only while production is between two states, or without."""
    metadata = study["metadata"]
    present: list[str] = metadata.get("finalizers") or []
    if (PROMOTION_FINALIZER in present) == wanted or (wanted and being_deleted(study)):
        return study
    finalizers = [f for f in present if f != PROMOTION_FINALIZER] + ([PROMOTION_FINALIZER] if wanted else [])
    return await api.merge(STUDIES, metadata["namespace"], metadata["name"], {"metadata": {"finalizers": finalizers}})


async def _tell(api: Api, study: Object, event: Event) -> None:
    """Once: the event's name follows from the study and its key."""
    metadata = study["metadata"]
    mark = hashlib.sha256(f"{metadata['uid']}/{event.key}".encode()).hexdigest()[:16]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
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
        "message": event.message[:1024],
        "source": {"component": COMPONENT},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await api.create(EVENTS, metadata["namespace"], body)
    except RefusedError as error:
        # An event is for people; a namespace on its way out takes none, and nothing depends on it.
        if error.status != 403:
            raise
