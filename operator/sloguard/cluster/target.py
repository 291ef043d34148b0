"""Production as a target: where its vLLM arguments stand in the pod template, and how its rollout goes. Pure."""

import copy
import hashlib
import json
from dataclasses import dataclass

from sloguard.cluster.objects import Object, being_deleted, condition, listing, section
from sloguard.domain.arguments import ArgumentsError, split_command
from sloguard.engine.snapshot import Rollout, TargetProblem, TargetState

GPU_RESOURCE = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A container's command and arguments, taken apart: what starts vLLM, and vLLM's own arguments.

    `command` is None where the image's entrypoint starts vLLM and the whole of `args` is vLLM's.
    """

    command: tuple[str, ...] | None
    arguments: tuple[str, ...]


def command_line(container: Object) -> CommandLine:
    """Where vLLM's arguments begin.

    Raises:
        ArgumentsError: it cannot be told (a shell wrapper, say).

    """
    command: list[str] = container.get("command") or []
    args: list[str] = container.get("args") or []
    if not command and (not args or args[0].startswith("-") or "/" in args[0]):
        return CommandLine(None, tuple(args))
    if not command:
        return _entrypoint_arguments(args)
    prefix, arguments = split_command([*command, *args])
    return CommandLine(tuple(prefix), tuple(arguments))


def _entrypoint_arguments(args: list[str]) -> CommandLine:
    """The image's entrypoint may want a word of its own first, such as `serve`; else all of it is vLLM's."""
    try:
        prefix, arguments = split_command(args)
    except ArgumentsError:
        return CommandLine(None, tuple(args))
    return CommandLine(tuple(prefix), tuple(arguments))


def with_arguments(container: Object, arguments: tuple[str, ...]) -> Object:
    """The container with other vLLM arguments. `command` changes only if it holds some of the old ones."""
    line = command_line(container)
    changed = copy.deepcopy(container)
    if line.command is None or not container.get("command"):
        head = [] if line.command is None else list(line.command)
        changed["args"] = [*head, *arguments]
        return changed
    own = list(line.command)
    if len(container["command"]) <= len(own):
        changed["args"] = [*own[len(container["command"]) :], *arguments]
    else:
        changed["command"], changed["args"] = own, list(arguments)
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
    found = find_container(deployment, container)
    if found is None:
        names = ", ".join(c["name"] for c in containers_of(deployment["spec"]["template"]))
        message = f"Deployment {name} has no container {container}; spec.target.container can be one of: {names}"
        return TargetProblem("ContainerNotFound", message)
    try:
        line = command_line(found)
    except ArgumentsError as error:
        return TargetProblem("ArgumentsNotUnderstood", f"Deployment {name}, container {container}: {error}")
    return TargetState(
        arguments=line.arguments,
        template_hash=template_hash(deployment),
        replicas=deployment["spec"].get("replicas", 1),
        rollout=rollout(deployment, container, line.arguments, pods),
    )


def template_hash(deployment: Object) -> str:
    text = json.dumps(deployment["spec"]["template"], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def gpus(container: Object | None) -> int:
    """GPUs a replica asks for; one where it names none, since something serves it all the same."""
    wanted = section(container, "resources", "requests") | section(container, "resources", "limits")
    wanted = wanted.get(GPU_RESOURCE)
    return max(int(wanted), 1) if wanted is not None else 1


def rollout(deployment: Object, container: str, arguments: tuple[str, ...], pods: list[Object]) -> Rollout:
    """Whether every replica runs today's template, and what keeps it from doing so."""
    failure = _progress_failure(deployment) or _pod_failure(container, arguments, pods)
    return Rollout(complete=_complete(deployment) and not failure, failure=failure)


def _complete(deployment: Object) -> bool:
    wanted = deployment["spec"].get("replicas", 1)
    status = section(deployment, "status")
    return status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0) and all(
        status.get(field, 0) == wanted for field in ("replicas", "updatedReplicas", "availableReplicas")
    )


def _progress_failure(deployment: Object) -> str:
    progressing = condition(deployment, "Progressing")
    if progressing.get("reason") != "ProgressDeadlineExceeded":
        return ""
    return str(progressing.get("message", "the rollout's deadline has passed"))


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
                return f"pod {pod['metadata']['name']} did not stay up: {reason}"
    return ""


def _arguments_or_none(container: Object) -> tuple[str, ...] | None:
    try:
        return command_line(container).arguments
    except ArgumentsError:
        return None
