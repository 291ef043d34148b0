"""Production as a target: where its vLLM arguments stand in the pod template, and how its rollout goes. Pure."""

import copy
import hashlib
import json
from dataclasses import dataclass

from sloguard.api.v1alpha1 import Target
from sloguard.cluster.labels import STUDY
from sloguard.cluster.managers import manager_of
from sloguard.cluster.objects import Object, being_deleted, condition, listing, section
from sloguard.cluster.pod_request import amounts, is_gpu
from sloguard.cluster.requests_at_risk import at_risk
from sloguard.cluster.workloads.kinds import template_of, workload_of
from sloguard.cluster.workloads.workload import replicas_of
from sloguard.domain.arguments import ArgumentsError, option
from sloguard.domain.container_command import ContainerCommand, read_command
from sloguard.domain.text import readable
from sloguard.engine.snapshot import Rollout, StuckPod, TargetProblem, TargetState


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A container's command and arguments, taken apart: what starts vLLM, and vLLM's own arguments.

    `command` is None where the image's entrypoint starts vLLM and the whole of `args` is vLLM's; of a shell's script it
    is the shell.
    """

    command: tuple[str, ...] | None
    arguments: tuple[str, ...]


def command_line(container: Object) -> CommandLine:
    """Where vLLM's arguments begin.

    Raises:
        ArgumentsError: it cannot be told.

    """
    read = _read(container)
    return CommandLine(read.prefix, read.arguments)


def _read(container: Object) -> ContainerCommand:
    return read_command(container.get("command") or [], container.get("args") or [])


def with_arguments(container: Object, arguments: tuple[str, ...]) -> Object:
    """The container with other vLLM arguments, in the shape that its owner gave it.

    `command` changes only if it holds arguments that change.

    Raises:
        ArgumentsError: the container is not understood, or its script cannot be given these.

    """
    command, args = _read(container).with_arguments(arguments)
    changed = copy.deepcopy(container)
    for field, words in (("command", command), ("args", args)):
        if words != (container.get(field) or []):
            changed[field] = words
    return changed


def containers_of(pod: Object) -> list[Object]:
    """Of a pod or of a pod template."""
    return listing(pod, "spec", "containers")


def find_container(stored: Object, name: str) -> Object | None:
    """Of production, or of a candidate."""
    return container_in(template_of(stored), name)


def container_in(pod: Object, name: str) -> Object | None:
    """Of a pod or of a pod template."""
    return next((c for c in containers_of(pod) if c["name"] == name), None)


def target_state(stored: Object | None, target: Target, pods: list[Object]) -> TargetState | TargetProblem:
    """The planner's view of production; `pods` are its pods, needed while it rolls out."""
    name, container = f"{target.kind.value} {target.name}", target.container or ""
    if stored is None:
        return TargetProblem("TargetNotFound", f"there is no {name} in this namespace; create it or name another")
    if STUDY in section(stored, "metadata", "labels"):
        message = f"{name} is the candidate of a study itself; name the one that serves production"
        return TargetProblem("TargetIsCandidate", message)
    workload = workload_of(stored)
    if (objection := workload.objection(stored)) is not None:
        return objection
    found = find_container(stored, container)
    if found is None:
        names = ", ".join(c["name"] for c in containers_of(template_of(stored)))
        message = f"{name} has no container {container}; spec.target.container can be one of: {names}"
        return TargetProblem("ContainerNotFound", message)
    try:
        line = command_line(found)
    except ArgumentsError as error:
        return TargetProblem("ArgumentsNotUnderstood", f"{name}, container {container}: {error}")
    if (file := option(line.arguments, "config")) is not None:
        message = (
            f"{name}, container {container}: vLLM reads further settings from {readable(file)} (--config), "
            "which cannot be seen here, and would be taken for its defaults; write them as arguments instead"
        )
        return TargetProblem("ArgumentsNotUnderstood", message)
    return TargetState(
        arguments=line.arguments,
        template_hash=template_hash(stored),
        serving_hash=serving_hash(stored, found),
        image=readable(str(found.get("image", ""))),
        replicas=replicas_of(stored),
        rollout=rollout(stored, container, line.arguments, pods),
        manager=manager_of(stored),
        pace=workload.pace(stored),
        declared=workload.declared_pace(stored),
        withheld=workload.withheld(stored),
        more_room=workload.more_room,
        differs=workload.candidate_template(stored).differs,
        at_risk=at_risk(template_of(stored), found),
    )


def template_hash(stored: Object) -> str:
    return _mark(template_of(stored))


_OF_CONTAINER = ("image", "env", "envFrom", "resources")
_OF_POD = ("nodeSelector", "affinity", "runtimeClassName")


def serving_hash(stored: Object, container: Object) -> str:
    """Of what makes a server what it is beside its arguments."""
    pod = section(template_of(stored), "spec")
    parts = [[container.get(field) for field in _OF_CONTAINER], [pod.get(field) for field in _OF_POD]]
    return _mark(parts)


def _mark(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def gpus(container: Object | None) -> int:
    """GPUs a replica asks for; one where it names none, since something serves it all the same."""
    wanted = section(container, "resources", "limits") | section(container, "resources", "requests")
    return max(sum(amount for name, amount in amounts(wanted).items() if is_gpu(name)) // 1000, 1)


def rollout(stored: Object, container: str, arguments: tuple[str, ...], pods: list[Object]) -> Rollout:
    """Whether every replica runs today's template, and what keeps it from doing so.

    The two are told apart, because the way back ends when all is ready, whatever restarted on it or long ago.
    """
    workload, ready = workload_of(stored), _ready(container, arguments, pods)
    said = workload.withheld(stored) or workload.failed(stored)
    failed = failed_pod(container, arguments, pods)
    waited_for = ((pod, _arguments_in(pod, container)) for pod in workload.waited_for(stored, pods))
    return Rollout(
        complete=workload.is_rolled_out(stored, ready),
        failure=said or (_did_not_stay_up(failed, container) if failed is not None else ""),
        ready=ready,
        stuck=tuple(
            StuckPod(pod["metadata"]["name"], pod["metadata"]["uid"], own) for pod, own in waited_for if own is not None
        ),
    )


def _ready(container: str, arguments: tuple[str, ...], pods: list[Object]) -> int:
    """How many pods serve with these."""
    serving = (pod for pod in pods if condition(pod, "Ready").get("status") == "True" and not being_deleted(pod))
    return sum(_arguments_in(pod, container) == arguments for pod in serving)


def failed_pod(container: str, arguments: tuple[str, ...], pods: list[Object]) -> Object | None:
    """One of these arguments whose server ended: the rollout need not be waited for."""
    own = (pod for pod in pods if _arguments_in(pod, container) == arguments and not being_deleted(pod))
    return next((pod for pod in own if _end_of(pod, container)), None)


def _end_of(pod: Object, container: str) -> Object:
    """How its server ended, this time or the last; empty where it has not."""
    for status in listing(pod, "status", "containerStatuses"):
        if status["name"] == container:
            return section(status, "state", "terminated") or section(status, "lastState", "terminated")
    return {}


def _did_not_stay_up(pod: Object, container: str) -> str:
    ended = _end_of(pod, container)
    reason = f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode')}"
    return readable(f"pod {pod['metadata']['name']} did not stay up: {reason}")


def _arguments_in(pod: Object, container: str) -> tuple[str, ...] | None:
    """None where it has no such container, or one that is not understood."""
    own = next((c for c in containers_of(pod) if c["name"] == container), None)
    try:
        return command_line(own).arguments if own is not None else None
    except ArgumentsError:
        return None
