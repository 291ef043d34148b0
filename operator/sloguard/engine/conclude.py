"""What a study says of itself after a plan: phase, counts, figures, conditions. Pure."""

from datetime import datetime

from sloguard.api.v1alpha1 import (
    Outcome,
    PromotionStatus,
    Purpose,
    Recommendation,
    Scored,
    StatusCondition,
    Study,
    StudyPhase,
    Trial,
    TrialCounts,
)
from sloguard.domain.score import OFFERED_PERCENT, slos_met
from sloguard.engine.actions import Event, EventType, Plan
from sloguard.engine.candidates import latest_attempts
from sloguard.engine.conditions import with_condition
from sloguard.engine.gate import Contender
from sloguard.engine.known import Draft, Known, Verdict
from sloguard.engine.promotion import UNDER_WAY
from sloguard.engine.snapshot import Snapshot

TERMINAL = {StudyPhase.COMPLETED, StudyPhase.FAILED}


def conclude(
    known: Known,
    draft: Draft,
    verdict: Verdict,
    recommendation: Recommendation | None = None,
    promoted: PromotionStatus | None = None,
) -> Plan:
    before = known.study.status
    current = promoted or before.promotion
    ended = verdict.phase in TERMINAL | {StudyPhase.AWAITING_APPROVAL, StudyPhase.PROMOTING, StudyPhase.VERIFYING}
    status = before.model_copy(
        update={
            "observed_generation": known.study.metadata.generation,
            "phase": verdict.phase,
            "started_at": before.started_at or known.now,
            "finished_at": before.finished_at or (known.now if ended else None),
            "trials": _counts(known.trials, known.latest),
            "gpu_minutes": round(known.used.gpu_seconds / 60),
            "comparison_rate_percent": known.percent,
            "baseline": _scored(known.gate.baseline) or before.baseline,
            "best": _scored(known.gate.best) or before.best,
            "recommendation": recommendation or before.recommendation,
            "promotion": current,
            "conditions": _own_conditions(known, _conditions(known.study, verdict, known.now)),
        }
    )
    if verdict.phase is not before.phase or verdict.stalled:
        draft.events.append(_phase_event(known.study, verdict))
    owes = current is not None and current.state in UNDER_WAY
    return Plan(status, tuple(draft.actions), tuple(draft.events), owes, verdict.wake_after_seconds)


def _phase_event(study: Study, verdict: Verdict) -> Event:
    kind = EventType.WARNING if verdict.stalled else EventType.NORMAL
    key = f"{verdict.phase.value}-{verdict.reason}-{study.metadata.generation}".lower()
    return Event(key, verdict.reason, verdict.message, kind)


def stalled(
    snapshot: Snapshot, trials: tuple[Trial, ...], draft: Draft, reason: str, message: str, now: datetime
) -> Plan:
    """Nothing new can be done, for a reason that the user has to see to; what runs goes on."""
    study = snapshot.study
    verdict = Verdict(study.status.phase, reason, message, stalled=True)
    current = study.status.promotion
    status = study.status.model_copy(
        update={
            "observed_generation": study.metadata.generation,
            "trials": _counts(trials, latest_attempts(trials)),
            "conditions": _conditions(study, verdict, now),
        }
    )
    draft.events.append(_phase_event(study, verdict))
    owes = current is not None and current.state in UNDER_WAY and study.metadata.deletion_timestamp is None
    return Plan(status, tuple(draft.actions), tuple(draft.events), owes)


def _conditions(study: Study, verdict: Verdict, now: datetime) -> list[StatusCondition]:
    generation = study.metadata.generation
    ready = verdict.phase is StudyPhase.COMPLETED
    waiting = verdict.phase in TERMINAL | {StudyPhase.AWAITING_APPROVAL, StudyPhase.SUSPENDED}
    conditions = study.status.conditions
    for kind, holds in (
        ("Ready", ready),
        ("Reconciling", not waiting and not verdict.stalled),
        ("Stalled", verdict.stalled),
    ):
        conditions = with_condition(conditions, kind, holds, verdict.reason, verdict.message, generation, now)
    return conditions


def _own_conditions(known: Known, conditions: list[StatusCondition]) -> list[StatusCondition]:
    generation = known.study.metadata.generation
    if known.space.notes:
        notes = " ".join(known.space.notes)
        conditions = with_condition(
            conditions, "SearchSpaceNarrowed", True, "SettingsLeftOut", notes, generation, known.now
        )
    production = next((t for t in known.latest if t.spec.purpose is Purpose.PRODUCTION and t.finished), None)
    if production is None or not production.status.measurements:
        return conditions
    met = slos_met(production, OFFERED_PERCENT)
    message = (
        f"production serves the offered rate within every SLO; candidates are compared at {known.percent} % of it"
        if met
        else "production does not serve the offered rate within every SLO"
    )
    reason = "WithinSLOs" if met else "SLOsBroken"
    return with_condition(conditions, "TargetAlreadyMet", met, reason, message, generation, known.now)


def _scored(contender: Contender | None) -> Scored | None:
    if contender is None:
        return None
    return Scored(
        trial=contender.trial.name,
        parameters=contender.trial.spec.parameters,
        goodput_tokens_per_second=round(contender.goodput),
        slos_met=contender.slos_met,
    )


def _counts(trials: tuple[Trial, ...], latest: list[Trial]) -> TrialCounts:
    """By outcome; each failed attempt of infrastructure's counts there and nowhere else."""
    outcomes = [t.status.outcome for t in latest]
    return TrialCounts(
        total=len(latest),
        running=sum(not t.finished for t in latest),
        feasible=outcomes.count(Outcome.FEASIBLE),
        infeasible=outcomes.count(Outcome.INFEASIBLE),
        crashed=outcomes.count(Outcome.CRASHED),
        infrastructure=sum(t.status.outcome is Outcome.INFRASTRUCTURE for t in trials),
    )
