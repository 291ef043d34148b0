"""What Kubernetes says of a candidate, put into the words of the domain. Pure."""

from dataclasses import dataclass
from datetime import datetime

from sloguard.api.v1alpha1 import LoadResult
from sloguard.cluster.labels import LOAD_CONTAINER
from sloguard.cluster.objects import Object, being_deleted, condition, listing, owned_by, section
from sloguard.domain.evidence import ContainerEnd, EventEvidence, Evidence, LogGap, NodeCondition
from sloguard.domain.text import readable
from sloguard.engine.load_parts import load_of_parts
from sloguard.engine.snapshot import Load, LoadState, ServerState
from sloguard.measure.encode import UnreadableResultError, decode

MOST_SAID = 500


@dataclass(frozen=True, slots=True)
class Container:
    """The serving container's status, current and last."""

    name: str
    state: Object
    last_terminated: Object | None
    restarts: int
    ready: bool

    @property
    def terminated(self) -> Object | None:
        """How it ended, this time or, where it has been started again, the last time."""
        return self.state.get("terminated") or self.last_terminated

    @property
    def waiting(self) -> Object:
        return section(self.state, "waiting")


def pod_of(pods: list[Object]) -> Object | None:
    """The trial's pod: the first that was made, since a second one means that something befell the first."""
    return min(pods, key=lambda p: p["metadata"]["creationTimestamp"], default=None)


def container_of(pod: Object, name: str, *, init: bool = False) -> Container:
    statuses = listing(pod, "status", "initContainerStatuses" if init else "containerStatuses")
    status: Object = next((s for s in statuses if s["name"] == name), Object())
    return Container(
        name=name,
        state=section(status, "state"),
        last_terminated=section(status, "lastState").get("terminated"),
        restarts=int(status.get("restartCount", 0)),
        ready=bool(status.get("ready", False)),
    )


def server_state(pod: Object | None, container: Container | None) -> ServerState:
    """A container that ended once has ended: Kubernetes starting it again does not undo a crash."""
    if pod is None or container is None:
        return ServerState.WAITING
    failed = section(pod, "status").get("phase") == "Failed"
    if container.terminated is not None or failed or being_deleted(pod):
        return ServerState.ENDED
    if "running" in container.state:
        return ServerState.READY if container.ready else ServerState.STARTING
    return ServerState.WAITING


def running_since(pod: Object | None, container: Container | None) -> datetime | None:
    """When the container first ran: from then on it held its GPUs.

    Of a pod that was evicted some kubelets leave no containers' states, but when they took it in.
    """
    if pod is None or container is None:
        return None
    states = (container.last_terminated, container.state.get("terminated"), container.state.get("running"))
    started = (datetime.fromisoformat(state["startedAt"]) for state in states if state and state.get("startedAt"))
    # Of a container that could not be started the kubelet says that it was, in 1970.
    first = min((moment for moment in started if moment.timestamp() > 0), default=None)
    status = section(pod, "status")
    if status.get("reason") == "Evicted" and not listing(pod, "status", "containerStatuses"):
        return datetime.fromisoformat(status["startTime"]) if status.get("startTime") else None
    return first


def evidence_of(
    pod: Object | None,
    container: Container | None,
    events: list[Object],
    log: str,
    *,
    became_ready: bool,
    gaps: tuple[LogGap, ...] = (),
    node: tuple[NodeCondition, ...] = (),
) -> Evidence:
    """Everything that was seen of one start; `log` is of that start and harmless already."""
    told = tuple(_event(e) for e in events)
    if pod is None or container is None:
        return Evidence(events=told)
    ended = container.terminated or {}
    status = section(pod, "status")
    disruption = condition(pod, "DisruptionTarget")
    scheduled = condition(pod, "PodScheduled")
    unscheduled = scheduled.get("status") == "False"
    return Evidence(
        log=log,
        log_gaps=gaps,
        became_ready=became_ready,
        ended=bool(ended),
        exit_code=ended.get("exitCode"),
        signal=ended.get("signal"),
        ended_at=moment(ended.get("finishedAt")),
        restart_count=container.restarts,
        container_reason=ended.get("reason", ""),
        container_message=readable(ended.get("message", "")),
        waiting_reason=container.waiting.get("reason", ""),
        waiting_message=readable(container.waiting.get("message", "")),
        pod_phase=status.get("phase", ""),
        pod_reason=status.get("reason") or disruption.get("reason", ""),
        pod_message=readable(status.get("message") or disruption.get("message", "")),
        unschedulable=readable(scheduled.get("message", "")) if unscheduled else "",
        gated=unscheduled and scheduled.get("reason") == "SchedulingGated",
        others=_other_ends(pod, container),
        node_conditions=node,
        events=told,
    )


def _other_ends(pod: Object, container: Container) -> tuple[ContainerEnd, ...]:
    """Containers beside the server's that ended in failure."""
    kinds = (("initContainerStatuses", True), ("containerStatuses", False))
    found = [(s["name"], init) for kind, init in kinds for s in listing(pod, "status", kind)]
    ends = [(name, init, container_of(pod, name, init=init).terminated) for name, init in found]
    return tuple(
        ContainerEnd(name, e.get("reason", ""), e.get("exitCode"), readable(e.get("message", "")), init)
        for name, init, e in ends
        if e is not None and name != container.name and e.get("exitCode") != 0
    )


def node_conditions(node: Object) -> tuple[NodeCondition, ...]:
    return tuple(
        NodeCondition(c["type"], c["status"], c.get("reason", ""), readable(c.get("message", "")))
        for c in listing(node, "status", "conditions")
    )


def load_of(job: Object | None, pods: list[Object]) -> Load:
    """The load's state, and its result out of the termination messages of the Job's pods.

    Of several generators, one whose result is missing or invalid spoils the load at once.
    """
    if job is None:
        return Load()
    own = [pod for pod in pods if owned_by(pod, job["metadata"].get("uid", ""))]
    ends = [e for pod in own if (e := container_of(pod, LOAD_CONTAINER).terminated) is not None]
    generators = int(section(job, "spec").get("completions") or 1)
    load = load_of_parts([_ended_load(ended) for ended in ends], generators)
    if load.state is not LoadState.RUNNING:
        return load
    why = job_failure(job, own)
    return Load(LoadState.FAILED, detail=why) if why else Load(LoadState.RUNNING)


def job_failure(job: Object, own: list[Object]) -> str:
    """Why a Job failed: of its own pods what was taken away says more than the Job. Nothing where it has not failed."""
    failed = condition(job, "Failed")
    if failed.get("status") != "True":
        return ""
    told = next((section(pod, "status") for pod in own if section(pod, "status").get("reason")), failed)
    return readable(f"{told.get('reason', '')}: {told.get('message', '')}")


def _ended_load(ended: Object) -> Load:
    try:
        return Load(LoadState.DONE, _readable_result(decode(ended.get("message") or "")))
    except UnreadableResultError:
        return Load(LoadState.FAILED, detail=ended_without(ended, "result"))


def ended_without(ended: Object, wanted: str) -> str:
    """How a container ended whose termination message is not what was wanted: its last words, where there are any."""
    said = readable(ended.get("message") or "", MOST_SAID) or f"{ended.get('reason', '')}, it left no {wanted}"
    return f"exit code {ended.get('exitCode')}: {said}"


def _readable_result(result: LoadResult) -> LoadResult:
    fault = result.fault and result.fault.model_copy(update={"detail": readable(result.fault.detail)})
    return result.model_copy(update={"fault": fault, "invalid": result.invalid and readable(result.invalid)})


def _event(event: Object) -> EventEvidence:
    return EventEvidence(
        reason=event.get("reason") or "",
        message=readable(event.get("message") or ""),
        type=event.get("type") or "Normal",
        count=event.get("count") or 1,
        at=moment(event.get("lastTimestamp") or event.get("eventTime") or event.get("firstTimestamp")),
        about=section(event, "involvedObject").get("kind") or "Pod",
    )


def moment(said: str | None) -> datetime | None:
    """Of Kubernetes' own writing; None where it wrote none."""
    return datetime.fromisoformat(said) if said else None
