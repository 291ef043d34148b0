"""Production as a target: where its vLLM arguments stand in the pod template, and how its rollout goes. Pure."""

import copy
import hashlib
import json
from dataclasses import dataclass

from sloguard.cluster.labels import STUDY
from sloguard.cluster.managers import manager_of
from sloguard.cluster.objects import Object, being_deleted, condition, listing, section
from sloguard.cluster.pod_request import amounts, is_gpu
from sloguard.cluster.rollout_pace import pace_of
from sloguard.domain.arguments import ArgumentsError, option
from sloguard.domain.container_command import ContainerCommand, read_command
from sloguard.domain.text import readable
from sloguard.engine.snapshot import Rollout, TargetProblem, TargetState


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


def find_container(deployment: Object, name: str) -> Object | None:
    return next((c for c in containers_of(deployment["spec"]["template"]) if c["name"] == name), None)


def target_state(
    deployment: Object | None, name: str, container: str, pods: list[Object]
) -> TargetState | TargetProblem:
    """The planner's view of production; `pods` are its pods, needed while it rolls out."""
    if deployment is None:
        return TargetProblem(
            "TargetNotFound", f"there is no Deployment {name} in this namespace; create it or name another"
        )
    if STUDY in section(deployment, "metadata", "labels"):
        message = f"Deployment {name} is the candidate of a study itself; name the one that serves production"
        return TargetProblem("TargetIsCandidate", message)
    found = find_container(deployment, container)
    if found is None:
        names = ", ".join(c["name"] for c in containers_of(deployment["spec"]["template"]))
        message = f"Deployment {name} has no container {container}; spec.target.container can be one of: {names}"
        return TargetProblem("ContainerNotFound", message)
    try:
        line = command_line(found)
    except ArgumentsError as error:
        return TargetProblem("ArgumentsNotUnderstood", f"Deployment {name}, container {container}: {error}")
    if (file := option(line.arguments, "config")) is not None:
        message = (
            f"Deployment {name}, container {container}: vLLM reads further settings from {readable(file)} (--config), "
            "which cannot be seen here, and would be taken for its defaults; write them as arguments instead"
        )
        return TargetProblem("ArgumentsNotUnderstood", message)
    return TargetState(
        arguments=line.arguments,
        template_hash=template_hash(deployment),
        serving_hash=serving_hash(deployment, found),
        image=readable(str(found.get("image", ""))),
        replicas=deployment["spec"].get("replicas", 1),
        rollout=rollout(deployment, container, line.arguments, pods),
        manager=manager_of(deployment),
        pace=pace_of(deployment),
    )


def template_hash(deployment: Object) -> str:
    return _mark(deployment["spec"]["template"])


_OF_CONTAINER = ("image", "env", "envFrom", "resources")
_OF_POD = ("nodeSelector", "affinity", "runtimeClassName")


def serving_hash(deployment: Object, container: Object) -> str:
    """Of what makes a server what it is beside its arguments."""
    pod = section(deployment, "spec", "template", "spec")
    parts = [[container.get(field) for field in _OF_CONTAINER], [pod.get(field) for field in _OF_POD]]
    return _mark(parts)


def _mark(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def gpus(container: Object | None) -> int:
    """GPUs a replica asks for; one where it names none, since something serves it all the same."""
    wanted = section(container, "resources", "limits") | section(container, "resources", "requests")
    return max(sum(amount for name, amount in amounts(wanted).items() if is_gpu(name)) // 1000, 1)


def rollout(deployment: Object, container: str, arguments: tuple[str, ...], pods: list[Object]) -> Rollout:
    """Whether every replica runs today's template, and what keeps it from doing so.

    The two are told apart, because the way back ends when all is ready, whatever restarted on it or long ago.
    """
    failure = _paused(deployment) or _progress_failure(deployment) or _pod_failure(container, arguments, pods)
    return Rollout(complete=_complete(deployment), failure=failure)


def _seen_by_controller(deployment: Object) -> bool:
    """Until then its status speaks of an earlier template."""
    seen = section(deployment, "status").get("observedGeneration", 0)
    return seen >= deployment["metadata"].get("generation", 0)


def _complete(deployment: Object) -> bool:
    wanted = deployment["spec"].get("replicas", 1)
    status = section(deployment, "status")
    counts = (status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas"))
    return _seen_by_controller(deployment) and all(count == wanted for count in counts)


def _paused(deployment: Object) -> str:
    name = deployment["metadata"]["name"]
    paused = deployment["spec"].get("paused", False)
    return f"Deployment {name} is paused; kubectl rollout resume deployment/{name}" if paused else ""


def _progress_failure(deployment: Object) -> str:
    progressing = condition(deployment, "Progressing")
    if progressing.get("reason") != "ProgressDeadlineExceeded" or not _seen_by_controller(deployment):
        return ""
    return readable(progressing.get("message") or "the rollout's deadline has passed")


def _pod_failure(container: str, arguments: tuple[str, ...], pods: list[Object]) -> str:
    """A pod of today's arguments whose server ended: the rollout need not be waited for."""
    for pod in pods:
        own = next((c for c in containers_of(pod) if c["name"] == container), None)
        if own is None or _arguments_or_none(own) != arguments or being_deleted(pod):
            continue
        for status in listing(pod, "status", "containerStatuses"):
            ended = section(status, "state", "terminated") or section(status, "lastState", "terminated")
            if status["name"] == container and ended:
                reason = f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode')}"
                return readable(f"pod {pod['metadata']['name']} did not stay up: {reason}")
    return ""


def _arguments_or_none(container: Object) -> tuple[str, ...] | None:
    try:
        return command_line(container).arguments
    except ArgumentsError:
        return None
