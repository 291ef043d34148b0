"""What was seen of one start of a server, whoever saw it: Kubernetes or the parent of a process.

Gatherers fill in what they know and leave the rest at its default; `sloguard.domain.crash.classify` judges.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sloguard.api.v1alpha1 import ServerFault, ServerFaultKind

SIGKILL: Final = 9
SIGTERM: Final = 15
_SHELL_SIGNAL_BASE: Final = 128


@dataclass(frozen=True, slots=True)
class EventEvidence:
    """A Kubernetes event about the pod, its node or the objects that should have made it; `at` is its last time."""

    reason: str
    message: str = ""
    type: str = "Warning"
    count: int = 1
    at: datetime | None = None
    about: str = "Pod"
    """The kind of the object: Pod, ReplicaSet, Deployment, PersistentVolumeClaim, Node."""


@dataclass(frozen=True, slots=True)
class ContainerEnd:
    """How another container of the pod ended: an init container, or a neighbour of the server's."""

    name: str
    reason: str = ""
    exit_code: int | None = None
    message: str = ""
    init: bool = False


@dataclass(frozen=True, slots=True)
class NodeCondition:
    """A condition of the pod's node: type Ready, MemoryPressure, DiskPressure, ...; status True, False or Unknown."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a server last said of its work before its end, in its log or in /metrics: `age_seconds` before it.

    `preemptions` and `generation_tokens`: in the time looked at, which for the log is that since its report before.
    `still_seconds`: how long nothing had changed that changes with the engine's steps; None where that is not known.
    """

    requests_running: int
    requests_waiting: int = 0
    kv_cache_usage_percent: float | None = None
    preemptions: int | None = None
    generation_tokens: int | None = None
    still_seconds: float | None = None
    age_seconds: float | None = None

    @property
    def idle(self) -> bool:
        return not self.requests_running and not self.requests_waiting


@dataclass(frozen=True, slots=True)
class LogGap:
    """Lines of the file that a bounded log lacks: `missing` of them behind its line `after` (from 1; 0: its head)."""

    after: int
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that tells why a server did not serve.

    The process and its log: `log` is the whole output of the start that is judged (the *previous* container's
    when it has restarted already), or what a bounded stream kept of it, with the `log_gaps` in between; `ended` says
    that its process is gone, by `exit_code` or `signal`, at `ended_at`; `stop_requested` that we asked it to stop, so
    that how it ended means nothing. `activity` is what its /metrics said last, where anybody has kept that.

    The container: `container_reason` and `container_message` of its last termination (OOMKilled, Error, Completed,
    StartError, ContainerStatusUnknown); `waiting_reason` and `waiting_message` while it is not running
    (ImagePullBackOff, CrashLoopBackOff, CreateContainerConfigError).

    The pod: `pod_reason` and `pod_message` of its status or of its DisruptionTarget condition;
    `unschedulable` is the message of PodScheduled=False; `gated` says that it waits for its scheduling gates, or
    suspended, for a queue to admit it. `others` are its other containers that failed; `node_conditions` its node's.

    The trial: how long the start took or has been going on, against its limit; what the load saw fail in the
    server (`load_fault`) or in itself (`load_invalid`).
    """

    log: str = ""
    became_ready: bool = False
    ended: bool = False
    exit_code: int | None = None
    signal: int | None = None
    ended_at: datetime | None = None
    stop_requested: bool = False
    log_gaps: tuple[LogGap, ...] = ()
    activity: Activity | None = None

    restart_count: int = 0
    container_reason: str = ""
    container_message: str = ""
    waiting_reason: str = ""
    waiting_message: str = ""

    pod_phase: str = ""
    pod_reason: str = ""
    pod_message: str = ""
    unschedulable: str = ""
    gated: bool = False
    others: tuple[ContainerEnd, ...] = ()
    node_conditions: tuple[NodeCondition, ...] = ()
    events: tuple[EventEvidence, ...] = ()

    startup_seconds: float | None = None
    startup_timeout_seconds: float | None = None
    load_fault: ServerFault | None = None
    load_invalid: str | None = None

    def line_of_file(self, line: int) -> int:
        """The number in its file of a line of `log`."""
        return line + sum(gap.missing for gap in self.log_gaps if gap.after < line)

    @property
    def dead(self) -> bool:
        """The process that was to be judged is gone, even where its container has been started again."""
        return self.ended or self.restart_count > 0 or self.waiting_reason == "CrashLoopBackOff"

    @property
    def started(self) -> bool:
        """The server's process ran at all: whatever kept a pod from starting is over."""
        return self.dead or self.became_ready or bool(self.log.strip())

    @property
    def startup_timed_out(self) -> bool:
        """The start took longer than the study allows."""
        if self.became_ready or self.startup_seconds is None or self.startup_timeout_seconds is None:
            return False
        return self.startup_seconds >= self.startup_timeout_seconds

    @property
    def stalled(self) -> bool:
        """Requests are running and no token comes, while /health may well say 200."""
        return self.load_fault is not None and self.load_fault.kind is ServerFaultKind.GENERATION_STALLED

    @property
    def ending_signal(self) -> int | None:
        """The signal that ended the process, given as such, as a shell's 128+n, or as Python's -n."""
        if self.signal is not None:
            return self.signal
        code = self.exit_code or 0
        if code < 0:
            return -code
        return code - _SHELL_SIGNAL_BASE if _SHELL_SIGNAL_BASE < code < _SHELL_SIGNAL_BASE + 65 else None
