"""What each fault of infrastructure is given: how long it is waited for, how it is tried again, and what to do. Pure.

A fault is told by the class of its crash and, where one class has several causes, by what was said. Waiting is not
failing: a pod that waits for a GPU or in a queue gets its row's patience, and only then does the attempt fail. After a
failed attempt the trial is made again, later each time, until the row's retries are used up; then a person has to look.

`spec.trial.infrastructurePatienceSeconds` and `infrastructureRetries` hold for every row where they are given, but for
pods that a queue holds back: those cost nothing, and when they are admitted is for the queue to say.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sloguard.api.v1alpha1 import Crash, CrashClass, Outcome, Trial, TrialSettings

DID_NOT_RUN: Final = "the server's container did not run"
HELD_BACK: Final = "scheduling gates hold the pod back"


@dataclass(frozen=True, slots=True)
class InfrastructureFault:
    """A row of the table. `reason` is that of condition Stalled, `remedy` the sentence after it. Times in seconds.

    `patience` is for a server that does not run yet; 0 where nothing is waited for, since the server had its chance.
    Without a class, what was said tells enough.
    """

    reason: str
    crash_class: CrashClass | None
    said: re.Pattern[str]
    patience: int
    first_back_off: int
    most_back_off: int
    retries: int
    remedy: str

    @property
    def queued(self) -> bool:
        return self.reason == _QUEUED

    def fits(self, crash: Crash) -> bool:
        return self.crash_class in {None, crash.class_} and self.said.search(crash.cause) is not None


_QUEUED: Final = "Queued"


def _row(
    reason: str,
    crash_class: CrashClass | None,
    said: str = "",
    *,
    patience: int = 0,
    back_off: tuple[int, int],
    retries: int,
    remedy: str,
) -> InfrastructureFault:
    pattern = re.compile(said, re.IGNORECASE)
    return InfrastructureFault(reason, crash_class, pattern, patience, *back_off, retries, remedy)


TABLE: Final = (
    _row(
        "ImageNeverPulled",
        CrashClass.IMAGE_PULL,
        r"ErrImageNeverPull",
        patience=30,
        back_off=(60, 600),
        retries=2,
        remedy="imagePullPolicy is Never and the node lacks the image: bring it there, or let the node pull it",
    ),
    _row(
        "ImageNameInvalid",
        CrashClass.IMAGE_PULL,
        r"InvalidImageName|InvalidImage",
        patience=5,
        back_off=(60, 600),
        retries=0,
        remedy="production's container names an image that no registry can have: correct its name",
    ),
    _row(
        "ImagePullFailed",
        CrashClass.IMAGE_PULL,
        patience=300,
        back_off=(30, 600),
        retries=5,
        remedy="see that the tag exists, that the registry can be reached from the node, and that imagePullSecrets let "
        "it in",
    ),
    _row(
        _QUEUED,
        CrashClass.UNSCHEDULABLE,
        r"scheduling gate|SchedulingGated|suspended",
        patience=86_400,
        back_off=(60, 900),
        retries=5,
        remedy="its queue has not admitted the pod: see the queue's quota (kubectl get workloads), or take the queue's "
        "label off production",
    ),
    _row(
        "VolumeUnavailable",
        CrashClass.UNSCHEDULABLE,
        r"volume|PersistentVolume|\bpvc\b",
        patience=300,
        back_off=(30, 600),
        retries=3,
        remedy="a candidate mounts the same volumes as production, at the same time and perhaps on another node: use "
        "one that allows it (ReadWriteMany or ReadOnlyMany), or a copy in each zone",
    ),
    _row(
        "GPUUnavailable",
        CrashClass.UNSCHEDULABLE,
        r"Insufficient [\w.-]*/[\w.-]*(?:gpu|mig)|OutOf[\w.-]+/\w*gpu|nvidia\.com/|amd\.com/gpu|resource ?claim",
        patience=600,
        back_off=(60, 900),
        retries=10,
        remedy="no node has enough free GPUs: free some, add a node, or lower spec.trial.parallelism",
    ),
    _row(
        "ResourcesUnavailable",
        CrashClass.UNSCHEDULABLE,
        r"Insufficient|OutOf(?:cpu|memory|pods|ephemeral)|Too many pods",
        patience=600,
        back_off=(60, 900),
        retries=5,
        remedy="no node has the CPU, memory or disk that production's container requests: free some or add a node",
    ),
    _row(
        "NodeAffinityUnmet",
        CrashClass.UNSCHEDULABLE,
        r"affinity|node selector|NodeAffinity|topology spread",
        patience=120,
        back_off=(60, 600),
        retries=3,
        remedy="no node fits production's nodeSelector, affinity and topology rules, which a candidate shares: label a "
        "node, or relax the rule",
    ),
    _row(
        "NodeTainted",
        CrashClass.UNSCHEDULABLE,
        r"taint|unschedulable\b.*cordon|were unschedulable",
        patience=300,
        back_off=(60, 600),
        retries=5,
        remedy="the nodes that are left have taints that production does not tolerate, or are cordoned: take the taint "
        "off, uncordon a node, or add a toleration to production",
    ),
    _row(
        "ServerDidNotRun",
        CrashClass.UNSCHEDULABLE,
        re.escape(DID_NOT_RUN),
        patience=900,
        back_off=(30, 600),
        retries=3,
        remedy="nothing says why: see the pod's events (kubectl describe), whether its image is pulled slowly, and "
        "whether admission webhooks let the pod be made",
    ),
    _row(
        "Unschedulable",
        CrashClass.UNSCHEDULABLE,
        patience=300,
        back_off=(60, 600),
        retries=5,
        remedy="no node takes the pod, for the reason that the scheduler gives",
    ),
    _row(
        "QuotaExceeded",
        CrashClass.QUOTA,
        patience=300,
        back_off=(60, 900),
        retries=5,
        remedy="the namespace's ResourceQuota leaves no room for a candidate beside production: raise it, or free some",
    ),
    _row(
        "ConfigurationMissing",
        CrashClass.MOUNT,
        r"CreateContainerConfigError|(?:secret|configmap)s?\b.*not found",
        patience=60,
        back_off=(30, 300),
        retries=3,
        remedy="production's template names a Secret, a ConfigMap or a key that does not exist (any more): create it",
    ),
    _row(
        "VolumeMountFailed",
        CrashClass.MOUNT,
        patience=300,
        back_off=(30, 600),
        retries=3,
        remedy="the volume cannot be attached or mounted on the node: see whether another node holds it, and its "
        "driver's log",
    ),
    _row(
        "PodSandboxFailed",
        CrashClass.SANDBOX,
        patience=180,
        back_off=(30, 300),
        retries=5,
        remedy="the node cannot make pods: see its network plugin and its container runtime, and cordon it if need be",
    ),
    _row(
        "ContainerNotStarted",
        CrashClass.UNKNOWN,
        r"CreateContainer|RunContainerError|StartError|ContainerCannotRun|FailedCreate",
        patience=60,
        back_off=(30, 300),
        retries=3,
        remedy="the container runtime cannot start production's container on this node: see what it said",
    ),
    _row(
        "Preempted",
        CrashClass.EVICTED,
        r"preempt",
        back_off=(60, 900),
        retries=5,
        remedy="pods of a higher priority took the node: measure when they do not run (spec.windows), or give "
        "production's template a higher priorityClassName",
    ),
    _row(
        "NodeDiskPressure",
        CrashClass.EVICTED,
        r"ephemeral|disk ?pressure|nodefs|imagefs|inodes",
        back_off=(120, 900),
        retries=3,
        remedy="the node's disk is full: remove images and files there, or give the cache a volume of its own",
    ),
    _row(
        "Evicted",
        CrashClass.EVICTED,
        back_off=(60, 900),
        retries=5,
        remedy="the node or a person took the pod away: see why in the pod's events, and that a drain is over",
    ),
    _row(
        "NodeLost",
        CrashClass.NODE_LOST,
        back_off=(30, 600),
        retries=5,
        remedy="nodes with GPUs go away or do not answer: see their conditions (kubectl describe node) and whether "
        "they are reclaimed (spot)",
    ),
    _row(
        "GPULost",
        CrashClass.GPU_LOST,
        patience=60,
        back_off=(120, 900),
        retries=3,
        remedy="a GPU fails its driver (see XID in the node's kernel log): drain the node, reset or replace the GPU",
    ),
    _row(
        "GPUMemoryTaken",
        CrashClass.GPU_MEMORY_TAKEN,
        back_off=(30, 300),
        retries=5,
        remedy="another process holds memory of the GPU: end it, or keep the GPU for this study (no time-slicing)",
    ),
    _row(
        "ModelDownloadFailed",
        CrashClass.MODEL_DOWNLOAD,
        back_off=(30, 600),
        retries=5,
        remedy="the model cannot be fetched: see the network, the token and the model's name, or keep it on a volume",
    ),
    _row(
        "PortInUse",
        CrashClass.PORT_IN_USE,
        back_off=(5, 120),
        retries=5,
        remedy="something else listens on the server's port: end it, or do not use hostNetwork",
    ),
    _row(
        "SharedMemoryTooSmall",
        CrashClass.SHARED_MEMORY_TOO_SMALL,
        back_off=(10, 60),
        retries=1,
        remedy="mount an emptyDir with medium Memory at /dev/shm in production's template (160 MiB and more)",
    ),
    _row(
        "KilledByProbe",
        CrashClass.PROBE_KILLED,
        back_off=(30, 300),
        retries=2,
        remedy="a liveness probe ended a server that was only busy: relax it (longer timeoutSeconds and "
        "failureThreshold, or tcpSocket)",
    ),
    _row(
        "NodeOutOfMemory",
        CrashClass.HOST_OUT_OF_MEMORY,
        back_off=(60, 900),
        retries=5,
        remedy="the node ran out of memory for all: request what production's container needs, or limit its neighbours",
    ),
    _row(
        "StoppedByAnother",
        CrashClass.DIED_UNDER_LOAD,
        back_off=(10, 300),
        retries=5,
        remedy="something else than SLO-Guard stops candidates: see who deletes or signals pods labelled "
        "sloguard.dev/role=server",
    ),
    _row(
        "LoadGeneratorFailed",
        CrashClass.LOAD_GENERATOR,
        back_off=(10, 300),
        retries=5,
        remedy="the load could not be sent as asked: give its pods CPU (a node of their own, workload.generators), or "
        "offer less",
    ),
    _row(
        "LiveTrafficMissing",
        CrashClass.LIVE_TRAFFIC,
        back_off=(60, 600),
        retries=5,
        remedy="see that traffic is mirrored or routed to the study's Service and that Prometheus scrapes its pods",
    ),
)
"""From the special to the general: the first row that fits is the fault's.

Of the scheduler's filters volumes are asked last and taints first, so a node without a fitting volume or a free GPU was
otherwise good: that is what is missing, whatever the taints of other nodes.
"""

ANY: Final = _row(
    "InfrastructureFault",
    None,
    patience=120,
    back_off=(10, 300),
    retries=5,
    remedy="see what was said of the last attempt",
)
"""Of what no row knows."""


def fault_of(crash: Crash | None) -> InfrastructureFault:
    """The row of a crash that is infrastructure's."""
    if crash is None:
        return ANY
    return next((row for row in TABLE if row.fits(crash)), ANY)


def patience(row: InfrastructureFault, settings: TrialSettings) -> timedelta:
    """How long a server that does not run yet for this reason is waited for."""
    given = None if row.queued else settings.infrastructure_patience_seconds
    return timedelta(seconds=row.patience if given is None else given)


def back_off(last: Trial) -> timedelta:
    """Doubling with each attempt; none after a pause that the user wanted."""
    if last.status.outcome is Outcome.CANCELLED:
        return timedelta(0)
    row = fault_of(last.status.crash)
    return timedelta(seconds=min(row.first_back_off * 2 ** (last.spec.attempt - 1), row.most_back_off))


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A trial that has used up its retries."""

    reason: str
    message: str


def exhausted(attempts: Iterable[Trial], last: Trial, settings: TrialSettings) -> Exhausted | None:
    """Whether a person has to look, since another attempt would most likely end like those before.

    Failures of the last one's own kind count against its row; all together against a bound that the study gives.
    """
    if last.status.outcome is not Outcome.INFRASTRUCTURE:
        return None
    row, given = fault_of(last.status.crash), settings.infrastructure_retries
    failed = [t for t in attempts if t.spec.number == last.spec.number and t.status.outcome is Outcome.INFRASTRUCTURE]
    alike = [t for t in failed if fault_of(t.status.crash) is row]
    counted = alike if given is None else failed
    if len(counted) <= (row.retries if given is None else given):
        return None
    now = f"{row.retries} for this" if given is None else given
    message = (
        f"trial {last.spec.number} failed {len(counted)} times for reasons that are not its configuration's, last "
        f"{last.name}: {last.status.message}. To do: {row.remedy}. Then raise spec.trial.infrastructureRetries "
        f"(now {now}) to at least {len(failed)} to go on"
    )
    return Exhausted(row.reason, message)
