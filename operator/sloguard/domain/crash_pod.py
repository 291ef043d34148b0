"""What Kubernetes says about a pod that did not get to run, or was ended by somebody else than itself."""

import re
from dataclasses import dataclass, replace
from typing import Final

from sloguard.api.v1alpha1 import CrashClass, Fault

from .crash_pattern import usual_fault
from .crash_patterns_machine import XID_OF_A_LOST_CARD
from .evidence import Activity, ContainerEnd, EventEvidence, Evidence

_INFRASTRUCTURE: Final = Fault.INFRASTRUCTURE


@dataclass(frozen=True, slots=True)
class Sign:
    """A pair of reason and message that means a class. An empty regex fits every message; `limit` names its groups."""

    crash_class: CrashClass
    reasons: frozenset[str] | None
    """None: whatever the reason."""
    message: re.Pattern[str] = re.compile("")
    confidence: int = 97
    fault: Fault | None = None
    limit: str | None = None

    def verdict(self, reason: str, message: str) -> "PodVerdict | None":
        """What the pair means, if it is one of this kind."""
        found = self.message.search(message) if self.reasons is None or reason in self.reasons else None
        if found is None:
            return None
        said = f"{reason}: {message}" if message else reason
        limit = self.limit.format_map(found.groupdict()) if self.limit else None
        return PodVerdict(self.crash_class, self.fault or usual_fault(self.crash_class), said, limit, self.confidence)


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

_OWN_LIMIT: Final = re.compile(
    r"(?P<what>EmptyDir volume \"[^\"]{1,80}\"|ephemeral (?:local )?storage)(?: usage)? (?:exceeds|limit)"
    r"|exceeded its (?P<storage>local ephemeral storage)",
    re.IGNORECASE,
)
_NODE_SHORT_OF: Final = re.compile(r"node (?:was low on resource|had condition): \[?(?P<resource>[\w.-]{1,60})")

POD_SIGNS: Final = (
    Sign(
        CrashClass.EVICTED,
        _reasons("Evicted"),
        _OWN_LIMIT,
        limit="the pod went over its own storage limit, as it will again: raise the limit",
    ),
    Sign(CrashClass.EVICTED, _reasons("Evicted"), _NODE_SHORT_OF, limit="the node is short of: {resource}"),
    Sign(
        CrashClass.EVICTED,
        _reasons("Preempted Preempting PreemptionByScheduler"),
        limit="preempted by a pod of higher priority",
    ),
    Sign(CrashClass.EVICTED, _reasons("Evicted EvictionByEvictionAPI")),
    Sign(
        CrashClass.NODE_LOST,
        _reasons("TerminationByKubelet"),
        re.compile(r"node shutdown|imminent"),
        confidence=92,
    ),
    Sign(CrashClass.EVICTED, _reasons("TerminationByKubelet"), confidence=90),
    Sign(
        CrashClass.NODE_LOST,
        _reasons("NodeLost NodeShutdown Shutdown Terminated NodeNotReady DeletionByTaintManager DeletionByPodGC"),
    ),
    Sign(
        CrashClass.GPU_LOST,
        _reasons("UnexpectedAdmissionError"),
        re.compile(r"unhealthy devices|no healthy devices"),
        limit="the node reports its GPUs as unhealthy",
    ),
    Sign(
        CrashClass.UNSCHEDULABLE,
        _reasons("UnexpectedAdmissionError NodeAffinity NodePorts Unschedulable TopologyAffinityError"),
    ),
    Sign(CrashClass.UNSCHEDULABLE, None, re.compile(r"^Pod was rejected: |Node didn't have enough resource")),
    Sign(
        CrashClass.UNSCHEDULABLE, _reasons("OutOfcpu OutOfmemory OutOfpods OutOfephemeral-storage OutOfnvidia.com/gpu")
    ),
)
"""Reasons of a pod's status or of its DisruptionTarget condition: it was ended from outside."""

_SECRET_OR_CONFIG: Final = re.compile(r"secret|configmap", re.IGNORECASE)
_COMMAND_MISSING: Final = re.compile(
    r"executable file not found|no such file or directory|permission denied|exec format"
)

WAITING_SIGNS: Final = (
    Sign(
        CrashClass.IMAGE_PULL,
        _reasons(
            "ImagePullBackOff ErrImagePull ErrImageNeverPull InvalidImageName ImageInspectError RegistryUnavailable"
            " SignatureValidationFailed"
        ),
        confidence=99,
    ),
    Sign(CrashClass.MOUNT, _reasons("CreateContainerConfigError"), _SECRET_OR_CONFIG),
    Sign(CrashClass.MOUNT, _reasons("CreateContainerError RunContainerError StartError"), re.compile(r"mount|subPath")),
    Sign(
        CrashClass.GPU_LOST,
        _reasons("CreateContainerError RunContainerError StartError ContainerCannotRun"),
        _GPU_MISSING,
        confidence=90,
    ),
    Sign(
        CrashClass.UNKNOWN,
        _reasons("CreateContainerError RunContainerError StartError ContainerCannotRun"),
        _COMMAND_MISSING,
        confidence=80,
        fault=Fault.INFRASTRUCTURE,
        limit="the image lacks the container's command, or cannot run it",
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
    Sign(CrashClass.MOUNT, _reasons("Failed"), re.compile(r"^Error: .{0,80}(?:secret|configmap)", re.IGNORECASE), 88),
    Sign(CrashClass.GPU_LOST, _reasons("FailedCreatePodSandBox Failed"), _GPU_MISSING, 85),
    Sign(
        CrashClass.SANDBOX, _reasons("FailedCreatePodSandBox NetworkNotReady FailedCreatePodContainer"), confidence=92
    ),
    Sign(
        CrashClass.UNKNOWN,
        _reasons("FailedCreate"),
        confidence=60,
        fault=Fault.INFRASTRUCTURE,
        limit="the pod could not be created",
    ),
    Sign(CrashClass.UNSCHEDULABLE, _reasons("FailedScheduling"), confidence=95),
)
"""Events that matter only while nothing of the server has run: a first mount may fail and the second succeed."""

_RELAX: Final = "killed by its liveness probe: relax it, since a busy engine answers late"

KILL_EVENTS: Final = (
    Sign(CrashClass.STARTUP_TIMEOUT, _reasons("Killing"), re.compile(r"failed startup probe"), 95),
    Sign(CrashClass.PROBE_KILLED, _reasons("Killing"), re.compile(r"failed liveness probe"), 90, limit=_RELAX),
    Sign(CrashClass.EVICTED, _reasons("Evicted Preempted Preempting Evicting"), confidence=93),
    Sign(
        CrashClass.NODE_LOST, _reasons("TaintManagerEviction NodeNotReady NodeShutdown DeletingAllPods"), confidence=90
    ),
    Sign(
        CrashClass.GPU_LOST,
        None,
        re.compile(rf"\bXid\b(?: \([^)]*\))?:? (?P<xid>{XID_OF_A_LOST_CARD})\b"),
        90,
        limit="XID {xid}",
    ),
    Sign(
        CrashClass.HOST_OUT_OF_MEMORY,
        _reasons("SystemOOM"),
        confidence=75,
        fault=Fault.INFRASTRUCTURE,
        limit="the node ran out of memory, not the container of its own",
    ),
)
"""Events that say who ended a container that ran."""

_NEEDS: Final = (
    ("GPU", re.compile(r"Insufficient (?:nvidia\.com|amd\.com|gpu\.intel\.com|habana\.ai)/")),
    ("memory, CPU or pods", re.compile(r"Insufficient (?:memory|cpu|ephemeral-storage)|Too many pods")),
    ("a toleration", re.compile(r"\btaint")),
    ("another affinity or node selector", re.compile(r"affinity|selector|topology spread")),
    ("its volumes", re.compile(r"[Pp]ersistent[Vv]olume|\bvolume|storage class|unbound")),
)
"""What a pod that fits nowhere lacks, by the scheduler's words."""

_STILL_SECONDS: Final = 20.0
"""No token for so long while requests ran: the engine stood still rather than being busy."""


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
    if evidence.started or evidence.gated:
        return None
    if evidence.unschedulable:
        return _unschedulable(PodVerdict(CrashClass.UNSCHEDULABLE, _INFRASTRUCTURE, evidence.unschedulable, None, 98))
    if failed := next((other for other in evidence.others if other.init and other.exit_code != 0), None):
        return _init_failed(failed)
    verdict = _from_events(START_EVENTS, evidence.events)
    return _unschedulable(verdict) if verdict else None


def killed(evidence: Evidence) -> PodVerdict | None:
    """Who ended a container that ran, or took it from the network, where the cluster says so."""
    verdict = _from_events(KILL_EVENTS, evidence.events)
    if verdict is not None and verdict.crash_class is CrashClass.PROBE_KILLED:
        return _probe_killed(verdict, evidence.activity)
    return verdict or _node_down(evidence) or _neighbour(evidence)


def _unschedulable(verdict: PodVerdict) -> PodVerdict:
    """With what it lacks, and not what other nodes do beside it: the scheduler lists a reason a node."""
    if verdict.crash_class is not CrashClass.UNSCHEDULABLE:
        return verdict
    missing = [what for what, words in _NEEDS if words.search(verdict.cause)]
    return replace(verdict, limit=f"the pod needs {' and '.join(missing)}" if missing else None)


def _init_failed(failed: ContainerEnd) -> PodVerdict:
    """Init containers know nothing of a candidate's settings; most of them fetch its model."""
    said = f"init container {failed.name} failed: {failed.message or failed.reason or f'exit code {failed.exit_code}'}"
    fetches = re.search(r"download|model|fetch|weights|hf|snapshot|s3|gcs|storage", f"{failed.name} {failed.message}")
    crash_class = CrashClass.MODEL_DOWNLOAD if fetches else CrashClass.UNKNOWN
    return PodVerdict(crash_class, _INFRASTRUCTURE, said, "an init container failed", 75 if fetches else 60)


def _probe_killed(verdict: PodVerdict, activity: Activity | None) -> PodVerdict:
    """A probe is right where the engine stood still. Where tokens came until the end, it was too strict."""
    if activity is None or activity.still_seconds is None:
        return verdict
    if activity.still_seconds < _STILL_SECONDS or not activity.requests_running:
        return replace(verdict, confidence=97)
    limit = f"no token for {activity.still_seconds:.0f} s with {activity.requests_running} requests running"
    return PodVerdict(CrashClass.HANG, Fault.CONFIGURATION, verdict.cause, limit, 85)


def _node_down(evidence: Evidence) -> PodVerdict | None:
    down = next((c for c in evidence.node_conditions if c.type == "Ready" and c.status != "True"), None)
    if down is None:
        return None
    said = f"the node is not Ready: {': '.join(filter(None, (down.reason, down.message)))}"
    return PodVerdict(CrashClass.NODE_LOST, _INFRASTRUCTURE, said, None, 85)


def _neighbour(evidence: Evidence) -> PodVerdict | None:
    """Memory that ran out in another container of the pod, such as a proxy, while the server itself lives on."""
    other = next((c for c in evidence.others if c.reason == "OOMKilled"), None)
    if other is None or evidence.dead:
        return None
    said = f"OOMKilled: container {other.name}, a neighbour of the server"
    return PodVerdict(CrashClass.HOST_OUT_OF_MEMORY, _INFRASTRUCTURE, said, None, 60)


def _first(signs: tuple[Sign, ...], reason: str, message: str) -> PodVerdict | None:
    return next((verdict for sign in signs if (verdict := sign.verdict(reason, message))), None)


def _from_events(signs: tuple[Sign, ...], events: tuple[EventEvidence, ...]) -> PodVerdict | None:
    """Of the first row that an event fits, the event that came last."""
    return next((verdict for sign in signs if (verdict := _latest(sign, events))), None)


def _latest(sign: Sign, events: tuple[EventEvidence, ...]) -> PodVerdict | None:
    fitting = [(e.at, verdict) for e in events if (verdict := sign.verdict(e.reason, e.message))]
    if any(at is None for at, _ in fitting):
        return fitting[0][1]
    return max(fitting, key=lambda pair: pair[0].timestamp() if pair[0] else 0.0)[1] if fitting else None
