"""One trial's way from its record to its outcome. Pure; both substrates share it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import (
    Crash,
    CrashClass,
    CrashPhase,
    Fault,
    LoadResult,
    Outcome,
    StudySpec,
    Trial,
    TrialPhase,
    TrialStatus,
)
from sloguard.domain.crash import classify
from sloguard.domain.score import OFFERED_PERCENT
from sloguard.engine.actions import Action, StartLoad, StartServer, StopTrial
from sloguard.engine.snapshot import LoadState, Observation, ServerState

FAULT_GRACE = timedelta(seconds=20)
"""After the load saw its server vanish, evidence from the node may take this long to appear."""

LOAD_GRACE = timedelta(seconds=120)
"""Beyond its own planned length a load may take this long to be scheduled, to drain and to report."""


@dataclass(frozen=True, slots=True)
class Step:
    """The trial's next status and what has to be done for it."""

    status: TrialStatus
    actions: tuple[Action, ...] = ()


def advance(
    trial: Trial, seen: Observation, spec: StudySpec, arguments: tuple[str, ...], gpus: int, now: datetime
) -> Step:
    """Move a trial on by what is seen of it. A finished one only has its leftovers removed."""
    if trial.finished:
        return Step(trial.status, (StopTrial(trial),) if seen.leftovers else ())
    if trial.status.phase is TrialPhase.PENDING:
        begun = trial.status.model_copy(
            update={"phase": TrialPhase.STARTING, "started_at": now, "arguments": list(arguments)}
        )
        return Step(begun, (StartServer(trial, arguments),))
    step = _starting if trial.status.phase is TrialPhase.STARTING else _loading
    result = step(trial, seen, spec, now)
    if result.status.phase is not TrialPhase.FINISHED:
        return result
    return Step(_with_cost(result.status, seen, gpus, now), (StopTrial(trial),))


def cancel(trial: Trial, seen: Observation, gpus: int, why: str, now: datetime) -> Step:
    """End a trial that was not measured; it is made again when the study goes on."""
    status = _finished(trial, Outcome.CANCELLED, now, why)
    return Step(_with_cost(status, seen, gpus, now), (StopTrial(trial),))


def _starting(trial: Trial, seen: Observation, spec: StudySpec, now: datetime) -> Step:
    server = seen.server
    if server.state is ServerState.ABSENT:
        return Step(trial.status, (StartServer(trial, tuple(trial.status.arguments)),))
    if server.state is ServerState.READY:
        loading = trial.status.model_copy(
            update={
                "phase": TrialPhase.LOADING,
                "ready_at": now,
                "load_started_at": now,
                "margins": server.margins,
            }
        )
        return Step(loading, (StartLoad(trial),))
    crash = classify(server.evidence) if server.evidence else None
    if crash is not None and not _worth_waiting(crash, trial, seen, spec, now):
        return _crashed(trial, crash, now)
    if server.running_since is not None and now - server.running_since > timedelta(
        seconds=spec.trial.startup_timeout_seconds
    ):
        return _crashed(trial, _startup_timeout(spec), now)
    if server.running_since is None and _patience_is_over(trial, spec, now):
        cause = "the server's container did not run"
        return _crashed(trial, crash or _infrastructure(CrashClass.UNSCHEDULABLE, cause), now)
    return Step(trial.status)


def _worth_waiting(crash: Crash, trial: Trial, seen: Observation, spec: StudySpec, now: datetime) -> bool:
    """An image that cannot be pulled or a GPU that is not free yet may come; a process that ended will not."""
    return (
        crash.fault is Fault.INFRASTRUCTURE
        and seen.server.state is ServerState.WAITING
        and not _patience_is_over(trial, spec, now)
    )


def _patience_is_over(trial: Trial, spec: StudySpec, now: datetime) -> bool:
    since = trial.status.started_at or now
    return now - since > timedelta(seconds=spec.trial.infrastructure_patience_seconds)


def _loading(trial: Trial, seen: Observation, spec: StudySpec, now: datetime) -> Step:
    server, load = seen.server, seen.load
    if server.state is ServerState.ABSENT:
        return Step(_finished(trial, Outcome.CANCELLED, now, "the server was removed while it was under load"))
    if server.state is ServerState.ENDED and load.state is not LoadState.DONE:
        return _server_lost(trial, seen, now)
    if load.state is LoadState.ABSENT:
        return Step(trial.status, (StartLoad(trial),))
    if load.state is LoadState.FAILED:
        return _crashed(trial, _infrastructure(CrashClass.LOAD_GENERATOR, load.detail), now)
    if load.result is None:
        return _overdue_load(trial, spec, now)
    if load.result.fault is not None:
        return _died_under_load(trial, seen, load.result, now)
    if server.state is ServerState.ENDED:
        return _server_lost(trial, seen, now)
    if load.result.invalid:
        return _crashed(trial, _infrastructure(CrashClass.LOAD_GENERATOR, load.result.invalid), now)
    return _measured(trial, load.result, now)


def _server_lost(trial: Trial, seen: Observation, now: datetime) -> Step:
    crash = classify(seen.server.evidence) if seen.server.evidence else None
    return _crashed(trial, crash or _died("the server was gone while it was under load"), now, seen.load.result)


def _died_under_load(trial: Trial, seen: Observation, result: LoadResult, now: datetime) -> Step:
    """The load saw the server vanish; the node's account of it is better, so it is waited for a little."""
    assert result.fault is not None, "called for a fault only"
    if seen.server.state is not ServerState.ENDED and now - result.fault.at < FAULT_GRACE:
        return Step(trial.status)
    crash = classify(seen.server.evidence) if seen.server.evidence else None
    return _crashed(trial, crash or _died(result.fault.detail), now, result)


def _overdue_load(trial: Trial, spec: StudySpec, now: datetime) -> Step:
    limit = timedelta(seconds=load_limit_seconds(spec))
    if now - (trial.status.load_started_at or now) <= limit:
        return Step(trial.status)
    return _crashed(trial, _infrastructure(CrashClass.LOAD_GENERATOR, "the load did not end in its time"), now)


def load_limit_seconds(spec: StudySpec) -> int:
    """How long a load may take at the most, from its start to its result."""
    workload = spec.workload
    a_rate = workload.duration_seconds + workload.drain_seconds
    warm_up = workload.warmup_seconds + workload.drain_seconds
    return warm_up + a_rate * len(workload.sweep_percent) + int(LOAD_GRACE.total_seconds())


def _measured(trial: Trial, result: LoadResult, now: datetime) -> Step:
    at_100 = next((m for m in result.rates if m.rate_percent == OFFERED_PERCENT), None)
    met = at_100 is not None and at_100.slos_met
    outcome = Outcome.FEASIBLE if met else Outcome.INFEASIBLE
    broken = [] if at_100 is None else [f"{s.metric} p{s.percentile}" for s in at_100.slos if not s.met]
    message = "all SLOs met at 100 %" if met else f"broken at 100 %: {', '.join(broken) or 'not reached'}"
    status = _finished(trial, outcome, now, message)
    goodput = round(at_100.goodput_tokens_per_second) if at_100 else 0
    return Step(status.model_copy(update={"measurements": result.rates, "goodput_tokens_per_second": goodput}))


def _crashed(trial: Trial, crash: Crash, now: datetime, result: LoadResult | None = None) -> Step:
    ours = crash.fault is Fault.CONFIGURATION
    status = _finished(trial, Outcome.CRASHED if ours else Outcome.INFRASTRUCTURE, now, _in_words(crash))
    return Step(status.model_copy(update={"crash": crash, "measurements": result.rates if result else []}))


def _in_words(crash: Crash) -> str:
    return f"{crash.class_.value}: {crash.limit or crash.cause}"[:1024]


def _finished(trial: Trial, outcome: Outcome, now: datetime, message: str) -> TrialStatus:
    return trial.status.model_copy(
        update={"phase": TrialPhase.FINISHED, "outcome": outcome, "finished_at": now, "message": message[:1024]}
    )


def _with_cost(status: TrialStatus, seen: Observation, gpus: int, now: datetime) -> TrialStatus:
    return status.model_copy(update={"gpu_seconds": round(held_gpu_seconds(seen, gpus, now))})


def held_gpu_seconds(seen: Observation, gpus: int, now: datetime) -> float:
    """From the moment that the server's container ran, start-up and crashes included."""
    since = seen.server.running_since
    return max((now - since).total_seconds(), 0.0) * gpus if since else 0.0


def _startup_timeout(spec: StudySpec) -> Crash:
    return Crash(
        class_=CrashClass.STARTUP_TIMEOUT,
        fault=Fault.CONFIGURATION,
        cause=f"not ready within {spec.trial.startup_timeout_seconds} s",
        confidence_percent=90,
    )


def _died(cause: str) -> Crash:
    return Crash(
        class_=CrashClass.DIED_UNDER_LOAD,
        fault=Fault.CONFIGURATION,
        phase=CrashPhase.SERVING,
        cause=cause,
        confidence_percent=70,
    )


def _infrastructure(crash_class: CrashClass, cause: str) -> Crash:
    return Crash(class_=crash_class, fault=Fault.INFRASTRUCTURE, cause=cause[:1024], confidence_percent=70)
