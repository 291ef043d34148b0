"""Which news of a pod are worth a look at its study. Pure.

A pod tells of itself some five times before it serves and twice after its end, and each look costs five or six
requests. Nothing is decided on a pod that is on its way and has met with nothing; what is passed over here is seen by
the look that comes in any case.
"""

from typing import Final

from sloguard.cluster.labels import GIT, LOAD, ROLE
from sloguard.cluster.objects import Object, being_deleted, condition, listing, section

ON_ITS_WAY: Final = {"", "ContainerCreating", "PodInitializing"}
"""Reasons why a container waits, of one that has met with nothing."""


def is_worth_a_look(pod: Object) -> bool:
    """Of one that is there; that a pod is gone always is."""
    containers = [section(status, "state") for status in listing(pod, "status", "containerStatuses")]
    first = [section(status, "state") for status in listing(pod, "status", "initContainerStatuses")]
    ended = section(pod, "status").get("phase") in {"Failed", "Succeeded"} or any("terminated" in s for s in containers)
    if ended or _is_refused(pod) or any(map(_is_held_up, containers)) or any(map(_has_failed, first)):
        return True
    if section(pod, "metadata", "labels").get(ROLE) in {LOAD, GIT}:
        # Its result is asked for when it has ended.
        return False
    return being_deleted(pod) or any("running" in state for state in containers)


def _is_refused(pod: Object) -> bool:
    """By the scheduler, or by a gate."""
    return condition(pod, "PodScheduled").get("status") == "False"


def _is_held_up(state: Object) -> bool:
    return section(state, "waiting").get("reason", "") not in ON_ITS_WAY


def _has_failed(state: Object) -> bool:
    """Of an init container, whose end is otherwise only a step."""
    return _is_held_up(state) or section(state, "terminated").get("exitCode", 0) != 0
