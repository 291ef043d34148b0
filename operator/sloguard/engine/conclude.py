"""What a study says of itself after a plan: phase, counts, figures, conditions. Pure."""

import hashlib

from sloguard.api.v1alpha1 import (
    ConditionStatus,
    Outcome,
    PromotionMode,
    PromotionStatus,
    Purpose,
    Recommendation,
    Scored,
    StatusCondition,
    StudyPhase,
    StudyStatus,
    TrialCounts,
)
from sloguard.domain.repeat_noise import noise_by_rate
from sloguard.domain.score import MEASURED, OFFERED_PERCENT, goodput_tokens_per_second, slos_met
from sloguard.engine import trade_off
from sloguard.engine.actions import Event, EventType, Plan, RecordTrial
from sloguard.engine.conditions import with_condition
from sloguard.engine.gate import Contender
from sloguard.engine.halt import seconds_until_halt
from sloguard.engine.known import AT_ONCE, IDLE_SECONDS, Draft, Ground, Known, Verdict, latest_attempts
from sloguard.engine.managed import about
from sloguard.engine.promotion import owes_production
from sloguard.engine.room import AMPLE
from sloguard.engine.search_end import CONFIRMING
from sloguard.engine.target_change import target_status

TERMINAL = {StudyPhase.COMPLETED, StudyPhase.FAILED}

AFTER_SEARCH = TERMINAL | {StudyPhase.AWAITING_APPROVAL, StudyPhase.PROMOTING, StudyPhase.VERIFYING}

WAITING = TERMINAL | {StudyPhase.AWAITING_APPROVAL, StudyPhase.SUSPENDED}
"""Phases in which nothing goes on before a person does something."""


def conclude(
    known: Known,
    draft: Draft,
    verdict: Verdict,
    *,
    ground: Ground | None = None,
    recommendation: Recommendation | None = None,
    promoted: PromotionStatus | None = None,
) -> Plan:
    """The plan, with the status that follows from the verdict.

    `finished_at` is when the search ended, which it does once; waiting for approval and promoting come after it.
    """
    before = known.study.status
    current = promoted or before.promotion
    begun = known.trials or any(isinstance(action, RecordTrial) for action in draft.actions)
    status = before.model_copy(
        update={
            "observed_generation": known.study.metadata.generation,
            "phase": verdict.phase,
            "started_at": before.started_at or (known.now if begun else None),
            "finished_at": before.finished_at or (known.now if verdict.phase in AFTER_SEARCH else None),
            "target": before.target or (target_status(ground.target) if ground is not None and begun else None),
            "trials": _counts(known, draft),
            "gpu_minutes": round(known.used.gpu_seconds / 60),
            "saved_gpu_minutes": round(sum(t.status.saved_gpu_seconds for t in (*known.earlier, *known.trials)) / 60),
            "comparison_rate_percent": known.percent,
            "baseline": _scored(known, known.gate.baseline) or before.baseline,
            "best": _scored(known, known.gate.best) or before.best,
            "front": trade_off.front(known),
            "recommendation": recommendation or before.recommendation,
            "noise": noise_by_rate(known.latest),
            "promotion": current,
            "conditions": _about_search(known, draft, _conditions(known, verdict, ground)),
        }
    )
    if known.unfinished and status == before.model_copy(update={"gpu_minutes": status.gpu_minutes}):
        # A figure that grows by itself is no reason to write every minute.
        status = before
    told = any(verdict.message == event.message for event in draft.events)
    if not told and (verdict.phase is not before.phase or (verdict.stalled and not _is_stalled(before, verdict))):
        draft.events.append(_phase_event(known, verdict))
    owes = owes_production(current)
    recorded = any(isinstance(action, RecordTrial) for action in draft.actions)
    turned = _search_ended(status) != _search_ended(before) or current != before.promotion
    return Plan(
        status,
        tuple(draft.actions),
        tuple(draft.events),
        owes,
        recorded and turned,
        _wake_after_seconds(known, verdict),
        verdict.asks_for_room,
    )


def _is_stalled(before: StudyStatus, verdict: Verdict) -> bool:
    """Said already, in the same words."""
    said = next((c for c in before.conditions if c.type == "Stalled"), None)
    if said is None or said.status is not ConditionStatus.TRUE:
        return False
    return (said.reason, said.message) == (verdict.reason, verdict.message)


def _wake_after_seconds(known: Known, verdict: Verdict) -> float:
    """In time for what is under way to be looked at, and for its end where budget or window say when that is."""
    if not known.unfinished:
        return verdict.wake_after_seconds
    until_halt = seconds_until_halt(known.study.spec, known.used, known.now)
    return min(verdict.wake_after_seconds, IDLE_SECONDS, max(until_halt, AT_ONCE))


def _phase_event(known: Known, verdict: Verdict) -> Event:
    kind = EventType.WARNING if verdict.stalled else EventType.NORMAL
    key = event_key(f"{verdict.phase.value}-{verdict.reason}", known.study.metadata.generation, verdict.message)
    return Event(key, verdict.reason, verdict.message, kind)


def event_key(what: str, generation: int | None, message: str) -> str:
    """Of what is told once as long as study and message stay the same."""
    said = hashlib.sha256(message.encode()).hexdigest()[:8]
    return f"{what}-{generation}-{said}".lower()


def _conditions(known: Known, verdict: Verdict, ground: Ground | None) -> list[StatusCondition]:
    conditions = known.study.status.conditions
    for kind, holds in (
        ("Ready", verdict.phase is StudyPhase.COMPLETED and not verdict.stalled),
        ("Reconciling", verdict.phase not in WAITING and not verdict.stalled),
        ("Stalled", verdict.stalled),
    ):
        conditions = _with(known, conditions, kind, holds, verdict.reason, verdict.message)
    conditions = _about_room(known, _about_target(known, conditions, ground))
    conditions = _about_candidates(known, _about_manager(known, conditions, ground), ground)
    return _about_requests(known, conditions, ground)


def _about_requests(known: Known, conditions: list[StatusCondition], ground: Ground | None) -> list[StatusCondition]:
    """Whether a promotion may lose some; said once it might."""
    before = any(c.type == "RequestsAtRisk" for c in conditions)
    off = known.study.spec.promotion.mode is PromotionMode.OFF
    if ground is None or not (before or (ground.target.at_risk and not off)):
        return conditions
    why = "" if off else ground.target.at_risk
    reason, message = ("PodsDoNotDrain", f"a promotion may lose requests: {why}") if why else ("Nothing", _AT_NO_RISK)
    return _with(known, conditions, "RequestsAtRisk", bool(why), reason, message)


_AT_NO_RISK = "pods of production come and go without a request lost, or none is changed"


def _about_candidates(known: Known, conditions: list[StatusCondition], ground: Ground | None) -> list[StatusCondition]:
    """What candidates have otherwise than production, beside their arguments; said once there was something."""
    before = any(c.type == "CandidatesDiffer" for c in conditions)
    if ground is None or not (ground.target.differs or before):
        return conditions
    differs = ground.target.differs
    reason, message = ("Volumes", differs) if differs else ("Nothing", "candidates differ in their arguments alone")
    return _with(known, conditions, "CandidatesDiffer", bool(differs), reason, message)


def _about_manager(known: Known, conditions: list[StatusCondition], ground: Ground | None) -> list[StatusCondition]:
    """Who else has arguments for production; said once somebody had."""
    before = any(c.type == "TargetManaged" for c in conditions)
    if ground is None or not (ground.target.manager or before):
        return conditions
    manager = ground.target.manager
    reason, message = (manager.kind, about(manager)) if manager else ("Nobody", "production is managed by nobody else")
    return _with(known, conditions, "TargetManaged", manager is not None, reason, message)


def _about_room(known: Known, conditions: list[StatusCondition]) -> list[StatusCondition]:
    """Whether free GPUs can be seen; said once they could not."""
    room, before = known.room, any(c.type == "FreeGPUsSeen" for c in conditions)
    if room is None or room is AMPLE or not (room.blind or before):
        return conditions
    reason, message = (room.reason, room.message) if room.blind else ("Seen", "trials start where GPUs are free")
    return _with(known, conditions, "FreeGPUsSeen", not room.blind, reason, message)


def _search_ended(status: StudyStatus) -> tuple[bool, str] | None:
    found = next((c for c in status.conditions if c.type == "SearchEnded"), None)
    return None if found is None else (found.status is ConditionStatus.TRUE, found.reason)


def _about_search(known: Known, draft: Draft, conditions: list[StatusCondition]) -> list[StatusCondition]:
    """Why nothing more is searched. Once that is said it stays, whatever becomes of the candidates."""
    if draft.resumed:
        return _with(known, conditions, "SearchEnded", False, "SearchResumed", draft.resumed)
    end = draft.search_end
    said = any(c.type == "SearchEnded" and c.status is ConditionStatus.TRUE for c in conditions)
    if end is None or (end is CONFIRMING and said):
        return conditions
    return _with(known, conditions, "SearchEnded", True, end.reason, end.message)


def _about_target(known: Known, conditions: list[StatusCondition], ground: Ground | None) -> list[StatusCondition]:
    """What was found out about production; the search space's notes and the template only while trials are made."""
    if ground is not None and ground.space.notes:
        notes = " ".join(ground.space.notes)
        conditions = _with(known, conditions, "SearchSpaceNarrowed", True, "SettingsLeftOut", notes)
    production = next((t for t in known.latest if t.spec.purpose is Purpose.PRODUCTION), None)
    if production is None:
        return conditions
    if ground is not None and production.spec.target_hash != ground.target.template_hash:
        message = (
            "production's pod template is not the one that trial 0 was made from; figures from before and after the "
            "change may not compare"
        )
        conditions = _with(known, conditions, "TemplateChanged", True, "TemplateChanged", message)
    if production.status.outcome not in MEASURED:
        return conditions
    met = slos_met(production, OFFERED_PERCENT)
    message = (
        f"production serves the offered rate within every SLO; candidates are compared at {known.percent} % of it"
        if met
        else "production does not serve the offered rate within every SLO"
    )
    return _with(known, conditions, "TargetAlreadyMet", met, "WithinSLOs" if met else "SLOsBroken", message)


def _with(
    known: Known, conditions: list[StatusCondition], kind: str, holds: bool, reason: str, message: str
) -> list[StatusCondition]:
    return with_condition(conditions, kind, holds, reason, message, known.study.metadata.generation, known.now)


def _scored(known: Known, contender: Contender | None) -> Scored | None:
    if contender is None:
        return None
    return Scored(
        trial=contender.trial.name,
        parameters=contender.trial.spec.parameters,
        goodput_tokens_per_second=round(goodput_tokens_per_second(contender.trial, known.percent) or 0.0),
        objective_value=round(contender.figure),
        slos_met=contender.slos_met,
    )


def _counts(known: Known, draft: Draft) -> TrialCounts:
    """By outcome; each failed attempt of infrastructure's counts there and nowhere else.

    What is recorded now counts, so that it need not be written when it is seen.
    """
    outcomes = [t.status.outcome for t in (*latest_attempts(known.earlier), *known.latest)]
    recorded = [action.spec for action in draft.actions if isinstance(action, RecordTrial)]
    return TrialCounts(
        total=len(outcomes) + sum(spec.attempt == 1 for spec in recorded),
        running=len(known.unfinished) + len(recorded),
        feasible=outcomes.count(Outcome.FEASIBLE),
        infeasible=outcomes.count(Outcome.INFEASIBLE),
        crashed=outcomes.count(Outcome.CRASHED),
        infrastructure=sum(t.status.outcome is Outcome.INFRASTRUCTURE for t in (*known.earlier, *known.trials)),
    )
