"""What Kubernetes says about a pod that did not get to run, or was ended by somebody else than itself."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sloguard.api.v1alpha1 import CrashClass, Fault

from .crash_pattern import usual_fault
from .evidence import EventEvidence, Evidence


@dataclass(frozen=True, slots=True)
class Sign:
    """A pair of reason and message that means a class. An empty regex fits every message."""

    crash_class: CrashClass
    reasons: frozenset[str]
    message: re.Pattern[str] = re.compile("")
    confidence: int = 97
    fault: Fault | None = None
    limit: str | None = None

    def fits(self, reason: str, message: str) -> bool:
        return reason in self.reasons and self.message.search(message) is not None

    def verdict(self, reason: str, message: str) -> "PodVerdict":
        said = f"{reason}: {message}" if message else reason
        return PodVerdict(
            self.crash_class, self.fault or usual_fault(self.crash_class), said, self.limit, self.confidence
        )


@dataclass(frozen=True, slots=True)
class PodVerdict:
    """A class and what the cluster said."""

    crash_class: CrashClass
    fault: Fault
    cause: str
    limit: str | None
    confidence: int


def _reasons(words: str) -> frozenset[str]:
    return frozenset(words.split())


_GPU_MISSING: Final = re.compile(
    r"nvidia-container-cli|nvidia\.com/gpu|libcuda|failed to inject CDI|unresolvable CDI", re.IGNORECASE
)

POD_SIGNS: Final = (
    Sign(CrashClass.EVICTED, _reasons("Evicted Preempted Preempting PreemptionByScheduler EvictionByEvictionAPI")),
    Sign(CrashClass.EVICTED, _reasons("TerminationByKubelet"), confidence=90),
    Sign(
        CrashClass.NODE_LOST,
        _reasons("NodeLost NodeShutdown Shutdown Terminated NodeNotReady DeletionByTaintManager DeletionByPodGC"),
    ),
    Sign(
        CrashClass.UNSCHEDULABLE,
        _reasons(
            "UnexpectedAdmissionError NodeAffinity Unschedulable OutOfcpu OutOfmemory OutOfpods OutOfnvidia.com/gpu"
        ),
    ),
)
"""Reasons of a pod's status or of its DisruptionTarget condition: it was ended from outside."""

WAITING_SIGNS: Final = (
    Sign(
        CrashClass.IMAGE_PULL,
        _reasons(
            "ImagePullBackOff ErrImagePull ErrImageNeverPull InvalidImageName ImageInspectError RegistryUnavailable"
        ),
        confidence=99,
    ),
    Sign(CrashClass.MOUNT, _reasons("CreateContainerConfigError"), re.compile(r"secret|configmap", re.IGNORECASE)),
    Sign(
        CrashClass.GPU_LOST,
        _reasons("CreateContainerError RunContainerError StartError ContainerCannotRun"),
        _GPU_MISSING,
        confidence=90,
    ),
    Sign(
        CrashClass.UNKNOWN,
        _reasons("CreateContainerConfigError CreateContainerError RunContainerError StartError ContainerCannotRun"),
        confidence=60,
        fault=Fault.INFRASTRUCTURE,
        limit="the container could not be started",
    ),
)
"""Reasons of a container that waits, or whose start failed before anything of the server ran."""

START_EVENTS: Final = (
    Sign(CrashClass.QUOTA, _reasons("FailedCreate"), re.compile(r"exceeded quota|quota\b.*\bexceeded|failed quota")),
    Sign(
        CrashClass.IMAGE_PULL,
        _reasons("Failed BackOff ErrImageNeverPull InspectFailed"),
        re.compile(r"\b[Pp]ull|ImagePull|ImageNeverPull|InvalidImage"),
        90,
    ),
    Sign(
        CrashClass.MOUNT, _reasons("FailedMount FailedAttachVolume FailedMapVolume ProvisioningFailed"), confidence=93
    ),
    Sign(CrashClass.GPU_LOST, _reasons("FailedCreatePodSandBox Failed"), _GPU_MISSING, 85),
    Sign(
        CrashClass.UNKNOWN,
        _reasons("FailedCreatePodSandBox FailedCreatePodContainer NetworkNotReady FailedCreate"),
        confidence=60,
        fault=Fault.INFRASTRUCTURE,
        limit="the pod could not be started",
    ),
    Sign(CrashClass.UNSCHEDULABLE, _reasons("FailedScheduling"), confidence=95),
)
"""Events that matter only while nothing of the server has run: a first mount may fail and the second succeed."""

KILL_EVENTS: Final = (
    Sign(CrashClass.STARTUP_TIMEOUT, _reasons("Killing"), re.compile(r"failed startup probe"), 95),
    Sign(
        CrashClass.DIED_UNDER_LOAD,
        _reasons("Killing"),
        re.compile(r"failed liveness probe"),
        90,
        fault=Fault.INFRASTRUCTURE,
        limit="killed by its liveness probe, which may be too strict for a busy engine",
    ),
    Sign(CrashClass.EVICTED, _reasons("Evicted Preempted Preempting Evicting"), confidence=93),
    Sign(CrashClass.NODE_LOST, _reasons("TaintManagerEviction NodeNotReady NodeShutdown"), confidence=90),
)
"""Events that say who ended a container that ran."""


def ended_from_outside(evidence: Evidence) -> PodVerdict | None:
    """The cluster took the pod away, whatever the server was doing."""
    verdict = _first(POD_SIGNS, evidence.pod_reason, evidence.pod_message)
    if verdict is None and evidence.container_reason == "ContainerStatusUnknown":
        said = evidence.container_message or evidence.container_reason
        return PodVerdict(CrashClass.NODE_LOST, Fault.INFRASTRUCTURE, said, None, 80)
    return verdict


def never_started(evidence: Evidence) -> PodVerdict | None:
    """What keeps a pod from running, as long as nothing of the server has run."""
    if evidence.log.strip():
        return None
    for reason, message in (
        (evidence.waiting_reason, evidence.waiting_message),
        (evidence.container_reason, evidence.container_message),
    ):
        if verdict := _first(WAITING_SIGNS, reason, message):
            return verdict
    if evidence.started:
        return None
    if evidence.unschedulable:
        return PodVerdict(CrashClass.UNSCHEDULABLE, Fault.INFRASTRUCTURE, evidence.unschedulable, None, 98)
    return _from_events(START_EVENTS, evidence.events)


def killed(evidence: Evidence) -> PodVerdict | None:
    """Who ended a container that ran, where an event says so."""
    return _from_events(KILL_EVENTS, evidence.events)


def _first(signs: tuple[Sign, ...], reason: str, message: str) -> PodVerdict | None:
    return next((sign.verdict(reason, message) for sign in signs if sign.fits(reason, message)), None)


def _from_events(signs: tuple[Sign, ...], events: tuple[EventEvidence, ...]) -> PodVerdict | None:
    return next(_verdicts(signs, events), None)


def _verdicts(signs: tuple[Sign, ...], events: tuple[EventEvidence, ...]) -> Iterator[PodVerdict]:
    for sign in signs:
        for event in events:
            if sign.fits(event.reason, event.message):
                yield sign.verdict(event.reason, event.message)
