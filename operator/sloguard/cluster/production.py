"""Reads production: the object that a study names, of whatever kind, and its pods."""

from http import HTTPStatus

from sloguard.api.v1alpha1 import Study
from sloguard.cluster.api import PODS, Api, RefusedError
from sloguard.cluster.evidence import container_of, evidence_of
from sloguard.cluster.labels import TRIAL
from sloguard.cluster.objects import Object, condition, section
from sloguard.cluster.server_log import server_log
from sloguard.cluster.workloads.kinds import WORKLOADS, workload_of
from sloguard.cluster.workloads.workload import Workload
from sloguard.domain.evidence import Evidence
from sloguard.engine.snapshot import TargetProblem


async def read_production(api: Api, namespace: str, study: Study) -> tuple[Object | None, TargetProblem | None]:
    """None where there is no such object; and why it can be none, where that is not for want of the object.

    Raises:
        RefusedError: the API server said no, of a study that has begun: what it may read has to come back.

    """
    target = study.spec.target
    workload = WORKLOADS[target.kind]
    if not target.name:
        return None, None
    try:
        stored = await api.get(workload.resource, namespace, target.name)
    except RefusedError as error:
        if error.status != HTTPStatus.FORBIDDEN or study.status.target is not None:
            raise
        return None, TargetProblem("TargetForbidden", _forbidden(workload))
    if stored is None and workload.installed_by and not await api.serves(workload.resource):
        return None, TargetProblem("TargetKindNotInstalled", _not_installed(workload))
    return stored, None


def _forbidden(workload: Workload) -> str:
    return (
        f"the operator may not read {workload.resource.plural} ({workload.api_version}) in this namespace; its role "
        "needs get and patch of them, as in charts/manifests/rbac.yaml"
    )


def _not_installed(workload: Workload) -> str:
    kind = workload.kind.value
    return (
        f"this cluster knows no {kind} ({workload.api_version}); install its definition and controller "
        f"({workload.installed_by}), or create a study whose spec.target.kind is another"
    )


async def production_pods(api: Api, namespace: str, production: Object | None) -> list[Object]:
    """Those that its selector finds, but for canaries, which are to be found by it."""
    if production is None:
        return []
    wanted = workload_of(production).pod_labels(production)
    selector = ",".join(f"{key}={value}" for key, value in sorted(wanted.items()))
    found = await api.items(PODS, namespace, labels=selector) if selector else []
    return [pod for pod in found if TRIAL not in section(pod, "metadata", "labels")]


async def failure_evidence(api: Api, namespace: str, container: str, pod: Object) -> Evidence:
    """Of a pod of production's whose server ended, as a trial's would be judged.

    Raises:
        RefusedError: the API server said no.

    """
    serving = container_of(pod, container)
    log = await server_log(api, namespace, pod, serving, container)
    return evidence_of(pod, serving, [], log.text, became_ready=_was_ready(pod))


def _was_ready(pod: Object) -> bool:
    """A server that ends before it was ready leaves no moment at which it stopped being so."""
    ready, begun = condition(pod, "Ready").get("lastTransitionTime"), condition(pod, "Initialized")
    return bool(ready) and ready != begun.get("lastTransitionTime")
