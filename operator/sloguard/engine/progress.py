"""One trial's way from its record to its outcome. Pure; both substrates share it.

    Pending -> Starting -> Loading -> Finished

A server that Kubernetes or a person took away was not measured (Cancelled); one that failed by itself is a crash.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import (
    CapacityEstimate,
    Crash,
    CrashClass,
    Fault,
    LoadResult,
    Outcome,
    Purpose,
    RateMeasurement,
    ServedTraffic,
    SLOResult,
    StudySpec,
    Trial,
    TrialPhase,
    TrialSpec,
    TrialStatus,
)
from sloguard.domain.capacity import capacity_of
from sloguard.domain.crash import classify
from sloguard.domain.device_memory import with_device_memory
from sloguard.domain.evidence import Evidence
from sloguard.domain.score import OFFERED_PERCENT
from sloguard.engine.actions import Action, StartLoad, StartServer, StopTrial
from sloguard.engine.agreement import with_agreement
from sloguard.engine.infrastructure_faults import DID_NOT_RUN, HELD_BACK, fault_of, patience
from sloguard.engine.snapshot import LoadState, Observation, Server, ServerState
from sloguard.engine.soak import fault_in, outlived_in_words
from sloguard.engine.verification import in_words, served, worse
from sloguard.engine.waiting import waits_for, waits_no_more
from sloguard.engine.watch import is_live, watched_seconds
from sloguard.measure.timetable import whole_seconds

FAULT_GRACE = timedelta(seconds=20)
"""After the load saw its server vanish, evidence from the node may take this long to appear."""

LOAD_GRACE = timedelta(seconds=120)
"""Beyond its own planned length a load may take this long to be scheduled, to drain and to report."""

MOST_SAID = 800
"""Characters of a cause in a trial's message, so that there is room for what the server was doing."""

CLOCK_SKEW = timedelta(seconds=5)
"""How far the clocks of a node and of the planner may be apart."""

LEAVING = timedelta(seconds=15)
"""So long after a trial's end its server may be seen though it was removed at once, and nothing is counted for it."""


@dataclass(frozen=True, slots=True)
class Step:
    """The trial's next status and what has to be done for it."""

    status: TrialStatus
    actions: tuple[Action, ...] = ()


def advance(trial: Trial, seen: Observation, spec: StudySpec, arguments: tuple[str, ...], now: datetime) -> Step:
    """Move a trial on by what is seen of it. A finished one only has its leftovers removed."""
    match trial.status.phase:
        case TrialPhase.FINISHED:
            return sweep(trial, seen, now)
        case TrialPhase.PENDING:
            return _started(trial, arguments, now)
        case TrialPhase.STARTING:
            step = _starting(trial, seen, spec, now)
        case TrialPhase.LOADING:
            step = _loading(trial, seen, spec, now)
    return _ended(trial, step.status, seen, now) if step.status.phase is TrialPhase.FINISHED else step


def sweep(trial: Trial, seen: Observation, now: datetime) -> Step:
    """Remove what is left of a finished trial. An operator that died before it could do so left GPUs held meanwhile.

    How long is worked out anew at each look, so that it counts once, however often the removal is begun.
    """
    if not seen.leftovers:
        return Step(trial.status)
    held = now - (trial.status.finished_at or now)
    status, gpu_seconds = trial.status, math.ceil(held.total_seconds() * seen.server.gpus)
    if seen.server.running_since is not None and held > LEAVING:
        status = status.model_copy(update={"left_behind_gpu_seconds": gpu_seconds})
    return Step(status, (StopTrial(trial),))


def cancel(trial: Trial, seen: Observation, why: str, now: datetime) -> Step:
    """End a trial that was not measured; it is made again when the study goes on."""
    return _ended(trial, _finished(trial, Outcome.CANCELLED, now, why), seen, now)


def _ended(trial: Trial, status: TrialStatus, seen: Observation, now: datetime) -> Step:
    last = {
        "gpu_seconds": math.ceil(held_gpu_seconds(trial, seen, now)),
        "margins": with_device_memory(status.margins, seen.server.memory),
    }
    return Step(waits_no_more(status, now).model_copy(update=last), (StopTrial(trial),))


def _started(trial: Trial, arguments: tuple[str, ...], now: datetime) -> Step:
    """`started_at` moves on where a server has to be asked for again, so that its patience begins anew."""
    update = {"phase": TrialPhase.STARTING, "started_at": now, "arguments": list(arguments)}
    return Step(waits_no_more(trial.status, now).model_copy(update=update), (StartServer(trial, arguments),))


def _starting(trial: Trial, seen: Observation, spec: StudySpec, now: datetime) -> Step:
    server = seen.server
    if server.state is ServerState.ABSENT:
        return _started(trial, tuple(trial.status.arguments), now)
    if server.state is ServerState.READY:
        update = {
            "phase": TrialPhase.LOADING,
            "ready_at": now,
            "load_started_at": now,
            "margins": server.margins,
            "platform": trial.status.platform or server.platform,
            "gpus": server.gpus,
        }
        status = waits_no_more(trial.status, now).model_copy(update=update)
        return Step(status, _led(trial.model_copy(update={"status": status})))
    crash = _verdict(trial, seen, spec, now)
    may_come = crash is None or (crash.fault is Fault.INFRASTRUCTURE and server.state is ServerState.WAITING)
    if crash is not None and not may_come:
        return _crashed(trial, crash, now)
    if server.running_since is None:
        return _waiting(trial, seen, crash, spec, now)
    return Step(waits_no_more(trial.status, now))


def _led(trial: Trial) -> tuple[Action, ...]:
    """A canary has production's traffic as soon as it is ready."""
    return () if _is_canary(trial) else (StartLoad(trial),)


def _waiting(trial: Trial, seen: Observation, crash: Crash | None, spec: StudySpec, now: datetime) -> Step:
    """An image that cannot be pulled or a GPU that is not free yet may come; a process that ended will not."""
    gated = seen.server.evidence is not None and seen.server.evidence.gated
    missing = _infrastructure(CrashClass.UNSCHEDULABLE, HELD_BACK if gated else DID_NOT_RUN)
    row = fault_of(crash or missing)
    since, status = waits_for(trial.status, row.reason, crash.cause if crash else HELD_BACK if gated else "", now)
    if now - since > patience(row, spec.trial):
        return _crashed(trial, crash or missing, now)
    return Step(status)


def _loading(trial: Trial, seen: Observation, spec: StudySpec, now: datetime) -> Step:
    server, load, result = seen.server, seen.load, seen.load.result
    crash = _verdict(trial, seen, spec, now) if server.state is ServerState.ENDED else None
    if crash is not None:
        return _crashed(trial, crash, now, result)
    if result is not None and result.fault is None and result.invalid is None:
        return _judged(trial, result, load.beside, now)
    if server.state is ServerState.ABSENT or _replaced(trial, seen):
        return Step(_finished(trial, Outcome.CANCELLED, now, "the server was taken away while it was under load"))
    if result is not None and result.fault is not None:
        return _vanished(trial, seen, spec, result, now)
    if result is not None:
        return _crashed(trial, _infrastructure(_not_measured(trial, spec), result.invalid or ""), now)
    if load.state in {LoadState.FAILED, LoadState.DONE}:
        return _crashed(trial, _infrastructure(_not_measured(trial, spec), load.detail or "it left no result"), now)
    if load.state is LoadState.ABSENT and server.state is not ServerState.ENDED:
        return Step(trial.status.model_copy(update={"load_started_at": now}), _led(trial))
    if now - (trial.status.load_started_at or now) > _load_limit(trial, spec):
        return _crashed(trial, _infrastructure(_not_measured(trial, spec), "the load did not end in its time"), now)
    return Step(trial.status)


def _judged(trial: Trial, result: LoadResult, beside: ServedTraffic | None, now: datetime) -> Step:
    """By a load that came to its end."""
    match trial.spec.purpose:
        case Purpose.CANARY:
            return _compared(trial, result, beside, now)
        case Purpose.SOAK:
            return _outlived(trial, result, now)
        case _:
            return _measured(trial, result, now)


def _not_measured(trial: Trial, spec: StudySpec) -> CrashClass:
    """What failed where the candidate did not."""
    return CrashClass.LIVE_TRAFFIC if is_live(trial.spec, spec) else CrashClass.LOAD_GENERATOR


def _is_canary(trial: Trial) -> bool:
    return trial.spec.purpose is Purpose.CANARY


def _load_limit(trial: Trial, spec: StudySpec) -> timedelta:
    if _is_canary(trial):
        return timedelta(seconds=watched_seconds(trial.spec, spec)) + LOAD_GRACE
    return timedelta(seconds=load_limit_seconds(trial.spec, spec))


def _replaced(trial: Trial, seen: Observation) -> bool:
    """Another server stands where the loaded one stood (a pod was deleted, and its Deployment made a new one)."""
    if seen.server.state is ServerState.WAITING:
        return True
    since, loaded = seen.server.running_since, trial.status.load_started_at
    return since is not None and loaded is not None and since > loaded + CLOCK_SKEW


def _vanished(trial: Trial, seen: Observation, spec: StudySpec, result: LoadResult, now: datetime) -> Step:
    """The load saw the server vanish; the node's account of it is better, so it is waited for a little."""
    assert result.fault is not None, "called for a fault only"
    if now - result.fault.at < FAULT_GRACE:
        return Step(trial.status)
    crash = _verdict(trial, seen, spec, now)
    return _crashed(trial, crash or _infrastructure(CrashClass.UNKNOWN, result.fault.detail), now, result)


def _verdict(trial: Trial, seen: Observation, spec: StudySpec, now: datetime) -> Crash | None:
    """The domain's judgement on what was gathered, with what only the trial's record and its load tell."""
    server, result = seen.server, seen.load.result
    evidence = server.evidence or Evidence()
    ready = evidence.became_ready or trial.status.ready_at is not None
    since = None if ready else server.running_since
    return classify(
        replace(
            evidence,
            became_ready=ready,
            startup_seconds=None if since is None else (now - since).total_seconds(),
            startup_timeout_seconds=float(spec.trial.startup_timeout_seconds),
            load_fault=result.fault if result else None,
        )
    )


def is_late(trial: Trial, spec: StudySpec, state: ServerState, since: datetime | None, now: datetime) -> bool:
    """Whether a server that has run since then takes too long to start: what its log says is then asked for."""
    starting = state is ServerState.STARTING and trial.status.ready_at is None
    return starting and since is not None and now - since >= timedelta(seconds=spec.trial.startup_timeout_seconds)


def load_limit_seconds(trial: TrialSpec, spec: StudySpec) -> int:
    """How long a load may take at the most, from its start to its result."""
    soak = None if trial.soak_seconds is None else trial.soak_seconds + spec.workload.drain_seconds
    return (whole_seconds(spec.workload) if soak is None else soak) + int(LOAD_GRACE.total_seconds())


def _measured(trial: Trial, result: LoadResult, now: datetime) -> Step:
    at_100 = next((m for m in result.rates if m.rate_percent == OFFERED_PERCENT), None)
    met = at_100 is not None and at_100.slos_met
    outcome = Outcome.FEASIBLE if met else Outcome.INFEASIBLE
    broken = [] if at_100 is None else [_named(s) for s in at_100.slos if not s.met]
    message = "all SLOs met at 100 %" if met else f"broken at 100 %: {', '.join(broken) or 'not reached'}"
    if at_100 is not None and at_100.users is not None:
        message += f" (closed loop of {at_100.users} users)"
    if at_100 is not None and at_100.lower_bounds and at_100.server_view is not None:
        message += f" of live traffic ({at_100.good} to {at_100.server_view.good_high} of {at_100.sent} requests good)"
    if any(rate.censored for rate in result.rates):
        message += f"; ended early at {result.rates[-1].rate_percent} %, where more than half were lost already"
    status = _finished(trial, outcome, now, message)
    goodput = round(at_100.goodput_tokens_per_second) if at_100 else 0
    found = {
        "measurements": result.rates,
        "goodput_tokens_per_second": goodput,
        "capacity": _capacity(result.rates),
        "conditions": with_agreement(status.conditions, result.rates, now),
        "saved_gpu_seconds": result.saved_seconds * (trial.status.gpus or 1),
    }
    return Step(status.model_copy(update=found))


def _compared(trial: Trial, result: LoadResult, production: ServedTraffic | None, now: datetime) -> Step:
    """A canary's traffic held against production's of the same window."""
    (measured,) = result.rates
    canary = served(measured)
    told = f"the canary: {in_words(canary)}; production: {in_words(production) if production else 'not seen'}"
    fault = worse(production, canary)
    outcome = Outcome.INFEASIBLE if fault else Outcome.FEASIBLE
    status = _finished(trial, outcome, now, f"worse than production: {fault}. {told}" if fault else told)
    return Step(status.model_copy(update={"measurements": result.rates}))


def _outlived(trial: Trial, result: LoadResult, now: datetime) -> Step:
    """Its figures are not kept: they are of another load than all others, and no SLO is asked for."""
    fault = fault_in(result)
    if fault is not None:
        return _crashed(trial, fault, now)
    return Step(_finished(trial, Outcome.FEASIBLE, now, outlived_in_words(trial, result)))


def _capacity(rates: Sequence[RateMeasurement]) -> CapacityEstimate | None:
    """One rate is no curve; a sweep that was broken off after one says that capacity lies below it."""
    found = capacity_of(rates)
    if found is None or (len(rates) == 1 and rates[0].slos_met):
        return None
    return CapacityEstimate(
        requests_per_minute=round(found.requests_per_minute),
        low_requests_per_minute=found.low_requests_per_minute,
        high_requests_per_minute=found.high_requests_per_minute,
    )


def _named(slo: SLOResult) -> str:
    name = f"{slo.metric} p{slo.percentile}"
    undecided = f"{name} (not decided: the server's histogram has no edge at {slo.limit_milliseconds} ms)"
    return undecided if slo.undecided else name


def _crashed(trial: Trial, crash: Crash, now: datetime, result: LoadResult | None = None) -> Step:
    ours = crash.fault is Fault.CONFIGURATION
    said = f"{crash.class_.value}: {crash.limit or crash.cause}"
    if crash.activity is not None:
        said = f"{said[:MOST_SAID]} ({crash.activity.in_words})"
    status = _finished(trial, Outcome.CRASHED if ours else Outcome.INFRASTRUCTURE, now, said)
    return Step(status.model_copy(update={"crash": crash, "measurements": result.rates if result else []}))


def _finished(trial: Trial, outcome: Outcome, now: datetime, message: str) -> TrialStatus:
    return trial.status.model_copy(
        update={"phase": TrialPhase.FINISHED, "outcome": outcome, "finished_at": now, "message": message[:1024]}
    )


def held_gpu_seconds(trial: Trial, seen: Observation, now: datetime) -> float:
    """From the moment that the server's container ran, start-up and crashes included.

    Of a server that is gone without a trace, only its start-up is known for certain.
    """
    started, ready = trial.status.started_at, trial.status.ready_at
    if seen.server.running_since is None and started and ready:
        return running_gpu_seconds(replace(seen.server, running_since=started), ready)
    return running_gpu_seconds(seen.server, now)


def running_gpu_seconds(server: Server, until: datetime) -> float:
    """Nothing of one that has not run yet."""
    since = server.running_since
    return max((until - since).total_seconds(), 0.0) * server.gpus if since else 0.0


def _infrastructure(crash_class: CrashClass, cause: str) -> Crash:
    return Crash(class_=crash_class, fault=Fault.INFRASTRUCTURE, cause=cause[:1024], confidence_percent=70)
