"""What a trial consists of: a Deployment and a Service of the candidate, and what brings it requests. Pure.

That is a Job that loads it, or the study's Service for live traffic (measurement Prometheus).

A candidate is production's pod template with other vLLM arguments. Nothing else of the study reaches it, so that
creating a study gives nobody more than the Deployment they may already change.
"""

import copy
from collections.abc import Callable
from datetime import datetime

from sloguard.api.v1alpha1 import API_VERSION, Study, Trial
from sloguard.cluster.labels import (
    LOAD,
    LOAD_CONTAINER,
    MANAGED_BY,
    ROLE,
    SERVER,
    STUDY,
    TRIAL,
    labels,
    live_name,
    load_name,
)
from sloguard.cluster.objects import Object, listing, section
from sloguard.cluster.records import owner_of
from sloguard.cluster.target import containers_of, find_container, with_arguments
from sloguard.cluster.workloads.kinds import template_of, workload_of
from sloguard.domain.arguments import option
from sloguard.engine.load_request import generators_of, load_request_of
from sloguard.engine.progress import load_limit_seconds

GENERATOR = "$(JOB_COMPLETION_INDEX)"
"""Kubernetes puts this variable into each pod of an Indexed Job, and its value here."""

DEFAULT_PORT = 8000
"""vLLM's own."""

PROBE_HANDLERS = {"httpGet", "exec", "grpc", "tcpSocket"}

STARTUP_SECONDS = 2 * 7200
"""Twice the longest start that a study may allow: the study ends a start that takes too long, and says why."""

PATIENT = {"periodSeconds": 60, "timeoutSeconds": 30, "failureThreshold": 60}
"""An hour without one connection taken."""

MOST_GRACE_SECONDS = 30
"""Kubernetes' own default."""

LOAD_RESOURCES = {"requests": {"cpu": "300m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
"""Of each pod that sends load."""

QUEUE = "kueue.x-k8s.io/queue-name"
QUEUE_LABELS = {QUEUE, "kueue.x-k8s.io/priority-class"}

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


def deployment(trial: Trial, production: Object, container: str, arguments: tuple[str, ...]) -> Object:
    """One replica, alone behind labels of its own.

    Probes: the study's own limits judge a slow or a dead server, and a probe must not kill a busy one. So readiness is
    asked every second, that the load starts at once; the startup probe gives more time than any study; and liveness
    only asks whether the port still takes connections, which the kernel answers for a busy process, and for long
    enough that no trial sees it fail. Clusters whose policies demand probes find all three. preStop hooks are left
    out, and the grace period is short: no client has to be waited for, and GPUs are given back soon.
    """

    def served(serving: Object) -> Object:
        return _with_own_probes(with_arguments(serving, arguments), port_of(serving, arguments))

    made = _beside(trial, production, container, {}, served)
    pod = made["spec"]["template"]["spec"]
    if pod.get("terminationGracePeriodSeconds", 0) > MOST_GRACE_SECONDS:
        pod["terminationGracePeriodSeconds"] = MOST_GRACE_SECONDS
    return made


def canary(trial: Trial, production: Object, container: str, arguments: tuple[str, ...]) -> Object:
    """One more pod of production's, with other arguments: behind its Services by its labels, and with its own probes,
    hooks and grace, since clients of production's are on it.
    """
    shared = section(workload_of(production).candidate_template(production).template, "metadata", "labels")
    return _beside(trial, production, container, shared, lambda serving: with_arguments(serving, arguments))


def _beside(
    trial: Trial, production: Object, container: str, shared: dict[str, str], served: Callable[[Object], Object]
) -> Object:
    """One replica of production's template with its serving container as `served` makes it, and `shared` labels."""
    own, queue = labels(trial.spec.study, trial.name, SERVER), queue_labels(production)
    template: Object = copy.deepcopy(workload_of(production).candidate_template(production).template)
    annotations = {k: v for k, v in section(template, "metadata", "annotations").items() if k != RESTARTED_AT}
    template["metadata"] = {"labels": shared | own | queue} | ({"annotations": annotations} if annotations else {})
    containers = containers_of(template)
    assert any(c["name"] == container for c in containers), "the target was gathered with this container"
    template["spec"]["containers"] = [served(c) if c["name"] == container else c for c in containers]
    spec = {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": _server_selector(trial)},
        "template": template,
    }
    return _object("apps/v1", "Deployment", trial, trial.name, own | queue, spec)


def queue_labels(production: Object) -> dict[str, str]:
    """Kueue's, so that a candidate waits in the queue that production is in. The template's own come first."""
    given = section(production, "metadata", "labels") | section(template_of(production), "metadata", "labels")
    return {key: value for key, value in given.items() if key in QUEUE_LABELS} if QUEUE in given else {}


def service(trial: Trial, production: Object, container: str, arguments: tuple[str, ...]) -> Object:
    """Where the load finds the candidate. The load starts when it is ready; should a probe fail while it is busy,
    its address has to stay, or a slow answer to the probe would look like a dead server.
    """
    serving = find_container(production, container)
    assert serving is not None, "the target was gathered with this container"
    port = port_of(serving, arguments)
    ports = [{"name": "http", "port": port, "targetPort": port}]
    spec = {"selector": _server_selector(trial), "publishNotReadyAddresses": True, "ports": ports}
    return _object("v1", "Service", trial, trial.name, labels(trial.spec.study, trial.name, SERVER), spec)


def live_service(study: Study, trial: Trial, production: Object, container: str, arguments: tuple[str, ...]) -> Object:
    """Where live traffic finds the candidate under measurement: one address for the whole study, and its own.

    Unlike the load's, it leads only to a candidate that is ready: whoever sends there sends to production as well.
    """
    serving = find_container(production, container)
    assert serving is not None, "the target was gathered with this container"
    port = port_of(serving, arguments)
    metadata = {
        "name": live_name(study.name),
        "namespace": study.metadata.namespace,
        "labels": {MANAGED_BY: "sloguard", STUDY: study.name},
        "ownerReferences": [owner_of(study)],
    }
    spec = {
        "selector": {STUDY: study.name} | _server_selector(trial),
        "ports": [{"name": "http", "port": port, "targetPort": port, "protocol": "TCP"}],
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _server_selector(trial: Trial) -> dict[str, str]:
    """The load's pod is of the same trial, and must not be taken for the server."""
    return {TRIAL: trial.name, ROLE: SERVER}


def load_job(
    trial: Trial, study: Study, production: Object, image: str, pull_policy: str, *, starts_at: datetime
) -> Object:
    """The load, in this program's own image; its result stays in the pod's termination message.

    Several generators are an Indexed Job, all of whose pods begin at `starts_at`.
    """
    generators = generators_of(study, trial.spec)
    container = study.spec.target.container or ""
    serving = find_container(production, container)
    assert serving is not None, "the target was gathered with this container"
    port = port_of(serving, tuple(trial.status.arguments))
    url = f"http://{trial.name}.{study.metadata.namespace}.svc:{port}"
    request = load_request_of(study, trial, url, starts_at)
    command = ["sloguard", "load", "--output", "/dev/termination-log"]
    own = labels(trial.spec.study, trial.name, LOAD)
    pod: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": LOAD_CONTAINER,
                "image": image,
                "imagePullPolicy": pull_policy,
                "command": command + (["--generator", GENERATOR] if generators > 1 else []),
                "env": [
                    {
                        "name": "SLOGUARD_LOAD_REQUEST",
                        "value": request.model_dump_json(by_alias=True, exclude_none=True),
                    }
                ],
                "resources": LOAD_RESOURCES,
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }
    spec = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": load_limit_seconds(trial.spec, study.spec),
        "template": {"metadata": {"labels": own}, "spec": pod},
    }
    if generators > 1:
        spec |= {"completionMode": "Indexed", "completions": generators, "parallelism": generators}
        # On different nodes where there are any: one machine's CPU is why there are several.
        apart = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
        pod["topologySpreadConstraints"] = [apart | {"labelSelector": {"matchLabels": own}}]
    return _object("batch/v1", "Job", trial, load_name(trial.name), own, spec)


def port_of(container: Object, arguments: tuple[str, ...]) -> int:
    """VLLM's --port, else the container's first port, else vLLM's default."""
    said = option(arguments, "port")
    if said is not None and said.isdecimal():
        return int(said)
    ports = listing(container, "ports")
    return int(ports[0]["containerPort"]) if ports else DEFAULT_PORT


def _with_own_probes(container: Object, port: int) -> Object:
    changed = {k: v for k, v in container.items() if k != "lifecycle"}
    given = section(container, "readinessProbe") or {"httpGet": {"path": "/health", "port": port}}
    asked = {k: v for k, v in given.items() if k in PROBE_HANDLERS}
    changed["readinessProbe"] = asked | {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 3}
    changed["startupProbe"] = asked | {"periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": STARTUP_SECONDS}
    changed["livenessProbe"] = {"tcpSocket": {"port": port}} | PATIENT
    lifecycle = {k: v for k, v in section(container, "lifecycle").items() if k != "preStop"}
    return changed | ({"lifecycle": lifecycle} if lifecycle else {})


def _object(api_version: str, kind: str, trial: Trial, name: str, own_labels: dict[str, str], spec: Object) -> Object:
    owner = {
        "apiVersion": API_VERSION,
        "kind": trial.kind,
        "name": trial.name,
        "uid": trial.metadata.uid,
        "controller": True,
    }
    metadata = {
        "name": name,
        "namespace": trial.metadata.namespace,
        "labels": own_labels,
        "ownerReferences": [owner],
    }
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": spec}
