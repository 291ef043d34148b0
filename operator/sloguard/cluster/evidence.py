"""What Kubernetes says of a candidate, put into the words of the domain. Pure."""

from dataclasses import dataclass
from datetime import datetime

from sloguard.api.v1alpha1 import Trial
from sloguard.cluster.objects import Object, being_deleted, condition, listing, section
from sloguard.domain.evidence import EventEvidence, Evidence
from sloguard.engine.snapshot import Load, LoadState, ServerState
from sloguard.measure.encode import UnreadableResultError, decode


@dataclass(frozen=True, slots=True)
class Container:
    """The serving container's status, current and last."""

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


def container_of(pod: Object, name: str) -> Container:
    statuses = listing(pod, "status", "containerStatuses")
    status: Object = next((s for s in statuses if s["name"] == name), Object())
    return Container(
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
    """When the container first ran: from then on it held its GPUs."""
    if pod is None or container is None:
        return None
    started = [
        state["startedAt"]
        for state in (container.last_terminated, container.state.get("terminated"), container.state.get("running"))
        if state and state.get("startedAt")
    ]
    return min((datetime.fromisoformat(text) for text in started), default=None)


def evidence_of(
    trial: Trial, pod: Object | None, container: Container | None, events: list[Object], log: str
) -> Evidence:
    """Everything that was seen of one start."""
    told = tuple(_event(e) for e in events)
    if pod is None or container is None:
        return Evidence(events=told)
    ended = container.terminated or {}
    status = section(pod, "status")
    disruption = condition(pod, "DisruptionTarget")
    scheduled = condition(pod, "PodScheduled")
    return Evidence(
        log=log,
        became_ready=trial.status.ready_at is not None,
        ended=bool(ended),
        exit_code=ended.get("exitCode"),
        signal=ended.get("signal"),
        restart_count=container.restarts,
        container_reason=ended.get("reason", ""),
        container_message=ended.get("message", ""),
        waiting_reason=container.waiting.get("reason", ""),
        waiting_message=container.waiting.get("message", ""),
        pod_phase=status.get("phase", ""),
        pod_reason=status.get("reason") or disruption.get("reason", ""),
        pod_message=status.get("message") or disruption.get("message", ""),
        unschedulable=scheduled.get("message", "") if scheduled.get("status") == "False" else "",
        events=told,
    )


def load_of(job: Object | None, pods: list[Object]) -> Load:
    """The load's state, and its result out of the termination message."""
    if job is None:
        return Load()
    ended = next((e for pod in pods if (e := _terminated(pod)) is not None), None)
    if ended is not None and ended.get("message"):
        try:
            return Load(LoadState.DONE, decode(ended["message"]))
        except UnreadableResultError:
            return Load(LoadState.FAILED, detail=f"exit code {ended.get('exitCode')}: {ended['message'][:500]}")
    if ended is not None:
        return Load(LoadState.FAILED, detail=f"it ended with exit code {ended.get('exitCode')} and left no result")
    failed = condition(job, "Failed")
    if failed.get("status") == "True":
        return Load(LoadState.FAILED, detail=f"{failed.get('reason', '')}: {failed.get('message', '')}")
    return Load(LoadState.RUNNING)


def _terminated(pod: Object) -> Object | None:
    return container_of(pod, "load").terminated


def _event(event: Object) -> EventEvidence:
    return EventEvidence(
        reason=event.get("reason") or "",
        message=event.get("message") or "",
        type=event.get("type") or "Normal",
        count=event.get("count") or 1,
    )
