"""What to do next for one study: pure, total and deterministic, and the same on a cluster and on one machine.

A substrate gathers a Snapshot, calls `plan`, and executes the Plan. Everything that the planner remembers stands in
the study's and the trials' records, so that a restart at any moment changes nothing.
"""

from dataclasses import replace
from datetime import datetime

from sloguard.api.v1alpha1 import (
    Outcome,
    PromotionMode,
    PromotionState,
    PromotionStatus,
    Purpose,
    Recommendation,
    StudyPhase,
    Trial,
    TrialSpec,
)
from sloguard.domain.arguments import ArgumentsError
from sloguard.domain.knobs import KnobError
from sloguard.engine import budget, candidates, promotion
from sloguard.engine.actions import Event, EventType, Plan, RecordTrial, UpdateTrial
from sloguard.engine.conclude import conclude, stalled
from sloguard.engine.known import (
    AT_ONCE,
    IDLE_SECONDS,
    Draft,
    Known,
    Verdict,
    arguments_of,
    know,
    make_target_space,
)
from sloguard.engine.progress import Step, advance, cancel
from sloguard.engine.snapshot import Snapshot, TargetProblem, TargetState
from sloguard.engine.windows import is_open
from sloguard.optimizer import Space, SpaceError


def plan(snapshot: Snapshot, now: datetime) -> Plan:
    """Everything that is to be done now."""
    draft = Draft()
    target = snapshot.target
    if isinstance(target, TargetProblem):
        trials = _advance_trials(snapshot, TargetState(arguments=()), now, draft, may_start=False)
        return stalled(snapshot, trials, draft, target.reason, target.message, now)
    try:
        space = make_target_space(snapshot.study, target)
    except (SpaceError, ArgumentsError, KnobError) as error:
        trials = _advance_trials(snapshot, target, now, draft, may_start=False)
        reason = "SearchSpaceInvalid" if isinstance(error, SpaceError) else "ArgumentsNotUnderstood"
        return stalled(snapshot, trials, draft, reason, str(error), now)
    trials = _advance_trials(snapshot, target, now, draft, may_start=True, space=space)
    known = know(snapshot, target, space, trials, now)
    return _decide(known, draft)


def _advance_trials(
    snapshot: Snapshot,
    target: TargetState,
    now: datetime,
    draft: Draft,
    *,
    may_start: bool,
    space: Space | None = None,
) -> tuple[Trial, ...]:
    """Every trial moved on by what is seen of it."""
    return tuple(_advance_one(snapshot, trial, target, now, draft, may_start, space) for trial in snapshot.trials)


def _advance_one(
    snapshot: Snapshot,
    trial: Trial,
    target: TargetState,
    now: datetime,
    draft: Draft,
    may_start: bool,
    space: Space | None,
) -> Trial:
    seen = snapshot.observation(trial)
    if trial.finished and not seen.leftovers:
        return trial
    if not trial.finished and snapshot.study.spec.suspend:
        step = cancel(trial, seen, target.gpus, "the study was suspended", now)
    elif not may_start and trial.status.started_at is None:
        return trial
    else:
        arguments = arguments_of(trial, target, space)
        step = advance(trial, seen, snapshot.study.spec, arguments, target.gpus, now)
    return _take(trial, step, draft)


def _take(trial: Trial, step: Step, draft: Draft) -> Trial:
    moved = trial.model_copy(update={"status": step.status})
    if step.status != trial.status:
        draft.actions.append(UpdateTrial(trial, step.status))
    draft.actions.extend(step.actions)
    if moved.finished and not trial.finished:
        draft.events.append(_trial_event(moved))
    return moved


def _trial_event(trial: Trial) -> Event:
    outcome = trial.status.outcome
    assert outcome is not None, "a finished trial has an outcome"
    bad = outcome in {Outcome.CRASHED, Outcome.INFRASTRUCTURE}
    goodput = trial.status.goodput_tokens_per_second
    figure = f"{goodput} tokens/s of good requests; " if goodput is not None else ""
    message = f"Trial {trial.name} ({trial.spec.purpose.value}): {figure}{trial.status.message}"
    kind = EventType.WARNING if bad else EventType.NORMAL
    return Event(f"{trial.name}-finished", f"Trial{outcome.value}", message, kind)


def _decide(known: Known, draft: Draft) -> Plan:
    """Promotion first, for production matters most; then trials; then what the study says of itself."""
    status = known.study.status
    current = status.promotion
    if current is not None and current.state in promotion.UNDER_WAY:
        step = promotion.advance_promotion(current, known.target, known.study, known.now)
        return _with_promotion(known, draft, step)
    if known.study.metadata.deletion_timestamp is not None:
        return Plan(status=status, wake_after_seconds=IDLE_SECONDS)
    if known.study.spec.suspend:
        return conclude(known, draft, Verdict(StudyPhase.SUSPENDED, "Suspended", "spec.suspend is true"))
    if current is not None:
        return conclude(known, draft, _after_promotion(current))
    verdict = _next_trial(known, draft)
    if verdict is not None:
        return conclude(known, draft, verdict)
    return _recommend(known, draft)


def _next_trial(known: Known, draft: Draft) -> Verdict | None:
    """Record the next trial, or say what is waited for; None when no further trial is wanted."""
    phase = _trial_phase(known)
    if known.study.status.finished_at is not None:
        return None
    exhausted = _retries_exhausted(known)
    if exhausted is not None:
        return exhausted
    if len(known.unfinished) >= known.study.spec.trial.parallelism:
        return Verdict(phase, phase.value, _doing(known))
    following = _following(known)
    if following.spec is not None:
        if not is_open(known.study.spec.windows, known.now):
            return Verdict(phase, "OutsideWindow", "no trial starts before the next window opens")
        _record(known, following.spec, draft)
        return Verdict(
            phase, phase.value, f"trial {following.spec.number}: {following.spec.reason}", wake_after_seconds=AT_ONCE
        )
    if following.wait_seconds is not None:
        return Verdict(phase, "BackingOff", following.why, wake_after_seconds=min(following.wait_seconds, IDLE_SECONDS))
    if known.unfinished:
        return Verdict(phase, phase.value, _doing(known))
    return None


def _following(known: Known) -> candidates.Next:
    """Baselines, then retries, then the search, then the confirmations."""
    study, latest = known.study, known.latest
    if len(latest) < len(("production", "defaults")):
        return candidates.Next(candidates.baseline(study, len(latest), known.target.arguments, known.space.names))
    again = candidates.retry(latest, known.now)
    if again is not None:
        return again
    if any(not t.finished for t in latest[:2]):
        return candidates.Next(why="the baselines are measured first")
    if not budget.search_over(study.spec, latest, known.used):
        found = candidates.search(study, latest, known.space, known.percent)
        if not found.exhausted:
            return found
    if any(t.spec.purpose is not Purpose.CONFIRM for t in known.unfinished):
        return candidates.Next(why="the search's last trials are under way")
    wanted = known.gate.candidate is not None and known.gate.repeats_begun < study.spec.promotion.confirmations
    if wanted and not budget.over(study.spec, known.used):
        return candidates.Next(candidates.confirmation(study, latest, known.gate))
    return candidates.Next(why="no further trial is wanted")


def _retries_exhausted(known: Known) -> Verdict | None:
    limit = known.study.spec.trial.infrastructure_retries
    for trial in known.latest:
        failed = candidates.infrastructure_attempts(known.trials, trial.spec.number)
        if trial.status.outcome is Outcome.INFRASTRUCTURE and failed > limit:
            message = (
                f"{trial.name} failed {failed} times for reasons that are not its configuration's, last: "
                f"{trial.status.message}. Mend the cause, then raise spec.trial.infrastructureRetries to go on"
            )
            return Verdict(_trial_phase(known), "InfrastructureFault", message, stalled=True)
    return None


def _record(known: Known, spec: TrialSpec, draft: Draft) -> None:
    hashed = spec.model_copy(update={"target_hash": known.target.template_hash})
    name = candidates.trial_name(known.study.name, spec.number, spec.attempt)
    draft.actions.append(RecordTrial(name, hashed))
    parameters = ", ".join(f"{k.value}={v}" for k, v in sorted(spec.parameters.items())) or "vLLM's defaults"
    draft.events.append(
        Event(f"{name}-recorded", "TrialRecorded", f"Trial {name} ({spec.purpose.value}): {parameters}. {spec.reason}")
    )


def _trial_phase(known: Known) -> StudyPhase:
    if len(known.latest) < 2 or any(not t.finished for t in known.latest[:2]):
        return StudyPhase.BASELINING
    confirming = any(t.spec.purpose is Purpose.CONFIRM for t in known.latest)
    return StudyPhase.CONFIRMING if confirming else StudyPhase.SEARCHING


def _doing(known: Known) -> str:
    return "; ".join(f"{t.name} is {t.status.phase.value}" for t in known.unfinished) or "choosing the next trial"


def _recommend(known: Known, draft: Draft) -> Plan:
    """All trials are done: name the winner, or say that there is none, and promote it where that is wanted."""
    recommendation = recommendation_of(known)
    wished, refused = promotion.approved(known.study, known.latest, recommendation)
    if refused:
        verdict = Verdict(StudyPhase.AWAITING_APPROVAL, "ApprovedTrialUnknown", refused, stalled=True)
        return conclude(known, draft, verdict, recommendation)
    if wished:
        trial = next(t for t in known.latest if t.name == wished)
        arguments = arguments_of(trial, known.target, known.space)
        begun = promotion.begin(trial, arguments, known.target, known.now)
        return _with_promotion(known, draft, promotion.PromotionStep(begun), recommendation)
    return conclude(known, draft, _after_search(known, recommendation), recommendation)


def recommendation_of(known: Known) -> Recommendation | None:
    """The gate's winner with the arguments to use; once given, it stays as it is."""
    before, winner = known.study.status.recommendation, known.gate.winner
    if before is not None or winner is None:
        return before
    baseline = known.gate.baseline
    figure = round(winner.goodput)
    better = round(100 * (winner.goodput / baseline.goodput - 1)) if baseline and baseline.goodput > 0 else None
    against = f"{baseline.goodput:.0f} tokens/s of {baseline.trial.name}" if baseline else "no working baseline"
    reason = f"{figure} tokens/s over {known.gate.confirmations} confirmations, against {against}"
    return Recommendation(
        trial=winner.trial.name,
        parameters=winner.trial.spec.parameters,
        goodput_tokens_per_second=figure,
        slos_met=winner.slos_met,
        arguments=list(arguments_of(winner.trial, known.target, known.space)),
        improvement_percent=better,
        confirmations=known.gate.confirmations,
        reason=reason if winner.slos_met else f"{reason}; it is better but breaks an SLO, as the baselines do",
    )


def _after_search(known: Known, recommendation: Recommendation | None) -> Verdict:
    if recommendation is None:
        ended = budget.over(known.study.spec, known.used)
        message = f"production is kept: {known.gate.why or ended or 'no candidate could be confirmed'}"
        return Verdict(StudyPhase.COMPLETED, "NoImprovement", message)
    if known.study.spec.promotion.mode is PromotionMode.MANUAL:
        message = (
            f"{recommendation.trial} is recommended ({recommendation.reason}); "
            f"set spec.promotion.approvedTrial to {recommendation.trial} to promote it"
        )
        return Verdict(StudyPhase.AWAITING_APPROVAL, "AwaitingApproval", message)
    return Verdict(StudyPhase.COMPLETED, "Recommended", f"{recommendation.trial}: {recommendation.reason}")


def _after_promotion(status: PromotionStatus) -> Verdict:
    match status.state:
        case PromotionState.PROMOTED:
            return Verdict(StudyPhase.COMPLETED, "Promoted", status.message)
        case PromotionState.ROLLED_BACK:
            return Verdict(StudyPhase.FAILED, "PromotionRolledBack", status.message, stalled=True)
        case PromotionState.HALTED:
            return Verdict(StudyPhase.FAILED, "PromotionHalted", status.message, stalled=True)
        case PromotionState.VERIFYING:
            return Verdict(StudyPhase.VERIFYING, "Verifying", status.message)
        case _:
            return Verdict(StudyPhase.PROMOTING, status.state.value, status.message)


def _with_promotion(
    known: Known, draft: Draft, step: promotion.PromotionStep, recommendation: Recommendation | None = None
) -> Plan:
    """Take a step of the promotion; a state that was just entered is written before anything follows from it."""
    before, after = known.study.status.promotion, step.status
    assert after is not None, "a promotion under way has a state"
    if step.apply is not None:
        draft.actions.append(step.apply)
    moved = before is None or before.state is not after.state
    if moved:
        kind = EventType.WARNING if after.state in _BACKWARDS else EventType.NORMAL
        key = f"promotion-{after.trial}-{after.state.value}".lower()
        draft.events.append(Event(key, f"Promotion{after.state.value}", after.message, kind))
    verdict = _after_promotion(after)
    verdict = replace(verdict, wake_after_seconds=AT_ONCE) if moved else verdict
    return conclude(known, draft, verdict, recommendation, after)


_BACKWARDS = {PromotionState.ROLLING_BACK, PromotionState.ROLLED_BACK, PromotionState.HALTED}
