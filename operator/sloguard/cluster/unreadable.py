"""Studies and trials that are stored, and that this version cannot read: what is still known of them, and their end.

An upgrade may bring stricter models. What they refuse must neither hold GPUs for ever nor leave production half-way,
and nothing of it is lost: once it is mended, or an operator runs that can read it, the study goes on.
"""

import logging
import math
from http import HTTPStatus

from pydantic import ValidationError

from sloguard.api.v1alpha1 import (
    ObjectMeta,
    Outcome,
    Promotion,
    Study,
    StudySpec,
    StudyStatus,
    Target,
    TargetKind,
    Trial,
    TrialPhase,
    TrialSettings,
)
from sloguard.cluster import clock
from sloguard.cluster.api import TRIALS, Api, RefusedError
from sloguard.cluster.evidence import container_of, pod_of, running_since, server_state
from sloguard.cluster.execute import take_away
from sloguard.cluster.gather import Children, Gathered, children_of
from sloguard.cluster.labels import STUDY
from sloguard.cluster.objects import Object, section
from sloguard.cluster.parsed import Parsed
from sloguard.cluster.production import production_pods, read_production
from sloguard.cluster.records import ForeignTrialError, identified
from sloguard.cluster.target import find_container, gpus, target_state
from sloguard.domain.knobs import KnobError
from sloguard.engine.progress import running_gpu_seconds
from sloguard.engine.promotion import is_under_way
from sloguard.engine.snapshot import Observation, Server, Snapshot, TargetProblem

logger = logging.getLogger("sloguard.unreadable")


def readable_part(stored: Object) -> Study:
    """What of a study can be read.

    Of its specification it has where production is and what is said of times, each as it is by default where it cannot
    be read; to ask it for SLOs or a workload is a defect, and raises AttributeError.
    """
    spec = section(stored, "spec")
    status = section(stored, "status")
    return Study.model_construct(
        metadata=ObjectMeta.model_validate(stored["metadata"]),
        spec=StudySpec.model_construct(
            target=_target(section(spec, "target")),
            trial=TrialSettings.model_validate(_valid_fields(TrialSettings, section(spec, "trial"))),
            promotion=Promotion.model_validate(_valid_fields(Promotion, section(spec, "promotion"))),
        ),
        status=StudyStatus.model_validate(_valid_fields(StudyStatus, status)),
    )


def _valid_fields(model: type[TrialSettings | Promotion | StudyStatus], stored: Object) -> Object:
    """Of a model whose fields may all be absent."""
    return {key: value for key, value in stored.items() if _is_valid(model, {key: value})}


def _is_valid(model: type[Target | TrialSettings | Promotion | StudyStatus], stored: Object) -> bool:
    try:
        model.model_validate(stored)
    except ValidationError:
        return False
    return True


def _target(stored: Object) -> Target:
    """Nameless where its names are none: then production is nowhere to be found."""
    names = {key: stored[key] for key in ("kind", "name", "container") if key in stored}
    return (
        Target.model_validate(names) if _is_valid(Target, names) else Target.model_construct(kind=TargetKind.DEPLOYMENT)
    )


async def gather_unreadable(api: Api, stored: Object) -> Gathered:
    """What is needed to end what a study that cannot be read has under way."""
    study = readable_part(stored)
    namespace, target = study.metadata.namespace or "", study.spec.target
    production, refused = await read_production(api, namespace, study)
    pods = await production_pods(api, namespace, production) if is_under_way(study.status.promotion) else []
    mine = f"{STUDY}={study.name}"
    raw_trials = {t["metadata"]["name"]: t for t in await api.items(TRIALS, namespace, labels=mine)}
    trials = tuple(trial for raw in raw_trials.values() if (trial := _identified_or_none(study, raw)) is not None)
    children = await children_of(api, namespace, mine, {t.metadata.uid: t.name for t in trials})
    seen = {name: _seen(of, target.container or "") for name, of in children.items()}
    state = refused or target_state(production, target, pods)
    snapshot = Snapshot(study, trials, state, seen, ledger=None, room=None)
    kept = section(stored, "status")
    return Gathered(snapshot, stored, raw_trials, production, {}, kept=kept)


def _identified_or_none(study: Study, stored: Object) -> Trial | None:
    try:
        return identified(study, stored, Parsed())
    except (ValidationError, KnobError, ForeignTrialError):
        return None


def _seen(children: Children, container: str) -> Observation:
    """Whether it holds GPUs, since when and how many."""
    if children.deployment is None:
        return Observation(leftovers=children.leftovers)
    pod = pod_of(children.server_pods)
    serving = container_of(pod, container) if pod is not None else None
    held = gpus(find_container(children.deployment, container))
    server = Server(server_state(pod, serving), running_since=running_since(pod, serving), gpus=held)
    return Observation(server, leftovers=children.leftovers)


async def end_unreadable_trials(api: Api, gathered: Gathered) -> TargetProblem | None:
    """Give back what they hold, and say why the study cannot go on without knowing what became of them.

    A promotion that is under way needs none of them and goes on; so does a study that is being deleted.
    """
    if not gathered.unreadable:
        return None
    study = gathered.snapshot.study
    name = min(gathered.unreadable)
    more = f" (and {len(gathered.unreadable) - 1} more)" if len(gathered.unreadable) > 1 else ""
    message = (
        f"SLOGuardTrial {name}{more} cannot be read by this version of the operator: {gathered.passed_over[name]}. "
        "Mend the object, run the version that wrote it, or create a new study"
    )
    problem = TargetProblem("TrialInvalid", message)
    for trial, children in gathered.unreadable.items():
        if trial in gathered.trials:
            await _end(api, study, gathered.trials[trial], children, problem.reason)
    promoting = is_under_way(study.status.promotion)
    return None if promoting or study.metadata.deletion_timestamp is not None else problem


async def _end(api: Api, study: Study, stored: Object, children: Children, why: str) -> None:
    """Its record says so as far as it can be written; what it holds is given back in any case."""
    name, status = stored["metadata"]["name"], section(stored, "status")
    if status.get("phase") != TrialPhase.FINISHED.value:
        seen, now = _seen(children, study.spec.target.container or "").server, clock.now()
        ended = {
            "phase": TrialPhase.FINISHED.value,
            "outcome": Outcome.CANCELLED.value,
            "finishedAt": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "gpuSeconds": math.ceil(running_gpu_seconds(seen, now)),
            "message": f"{why}: this version of the operator cannot read the record, so the trial was ended",
        }
        try:
            await api.replace_status(TRIALS, stored | {"status": status | ended})
        except RefusedError as error:
            if error.status != HTTPStatus.UNPROCESSABLE_ENTITY:
                raise
            logger.warning("%s cannot be written: %s", name, error.message)
    if children.leftovers:
        await take_away(api, stored["metadata"]["namespace"], name)
