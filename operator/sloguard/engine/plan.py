"""What to do next for one study: pure, total and deterministic, and the same on a cluster and on one machine.

A substrate gathers a Snapshot, calls `plan`, and executes the Plan. Everything that the planner remembers stands in
the study's and the trials' records, so that a restart at any moment changes nothing.
"""

from dataclasses import replace
from datetime import datetime

from sloguard.api.v1alpha1 import (
    OnTargetChange,
    Outcome,
    PromotionMode,
    PromotionState,
    PromotionStatus,
    Purpose,
    Recommendation,
    StatusCondition,
    Strategy,
    Study,
    StudyPhase,
    StudyStatus,
    Trial,
    TrialPhase,
    TrialSpec,
)
from sloguard.domain.arguments import same_arguments
from sloguard.engine import budget, git_promotion, pacing
from sloguard.engine.actions import Event, EventType, Plan, RecordTrial, UpdateTrial
from sloguard.engine.agreement import disagreement_event
from sloguard.engine.beliefs import believing
from sloguard.engine.canary import STATES as CANARY_STATES
from sloguard.engine.canary import (
    advance_canary,
    canary_ends,
    failure_to_record,
    without_server,
)
from sloguard.engine.candidates import trial_name
from sloguard.engine.conclude import TERMINAL, conclude, event_key
from sloguard.engine.conditions import with_condition
from sloguard.engine.halt import halt
from sloguard.engine.known import (
    AT_ONCE,
    IDLE_SECONDS,
    TARGET_CHANGED,
    Draft,
    Ground,
    Known,
    Verdict,
    change_of,
    find_ground,
    know,
)
from sloguard.engine.managed import objection
from sloguard.engine.next_trial import before_promotion, next_trial, phase_for, phase_of, under_way, until_readable
from sloguard.engine.progress import Step, advance, cancel, sweep
from sloguard.engine.promotion import (
    UNDER_WAY,
    PromotionStep,
    advance_promotion,
    begin,
    is_under_way,
    owes_production,
    take_back,
    undo,
)
from sloguard.engine.recommend import recommendation_of, summary, wished
from sloguard.engine.rolling import obstacle
from sloguard.engine.search_end import resumes
from sloguard.engine.snapshot import Observation, ServerState, Snapshot, TargetProblem, TargetState
from sloguard.engine.target_change import first_trial, program_change, target_status

LOOK_AGAIN_SECONDS = 1.0
"""After production was changed, until the change is seen there."""

SUSPENDED = Verdict(StudyPhase.SUSPENDED, "Suspended", "spec.suspend is true; set it to false to go on")


def plan(snapshot: Snapshot, now: datetime) -> Plan:
    """Everything that is to be done now.

    A study that is being deleted leaves; then a promotion goes first, since production matters most; then trials are
    moved on and the next one is recorded; and when none is wanted any more, the study says what it recommends.
    """
    study, draft = snapshot.study, Draft()
    if study.metadata.deletion_timestamp is not None:
        return _leave(snapshot, draft, now)
    ground = find_ground(snapshot)
    known = know(snapshot, _move_trials(snapshot, ground, draft, now), now)
    if study.status.promotion is not None:
        return _promote(known, draft, study.status.promotion, snapshot)
    if known.search_ended:
        return _recommend(known, draft, ground, snapshot)
    if study.spec.suspend:
        return conclude(known, draft, SUSPENDED)
    if isinstance(ground, TargetProblem):
        return _restart(known, draft, snapshot, ground) or conclude(known, draft, _stalled(known, ground))
    following = next_trial(known, ground)
    draft.search_end = following.search_end
    if following.wanted is None:
        return _recommend(known, draft, ground, snapshot)
    verdict = following.wanted
    if isinstance(verdict, TrialSpec):
        verdict = _record(known, draft, verdict)
    return conclude(known, draft, verdict, ground=ground)


def _stalled(known: Known, problem: TargetProblem) -> Verdict:
    """The phase stays, unless the study was suspended and no longer is."""
    phase = known.study.status.phase
    if phase is StudyPhase.SUSPENDED:
        phase = StudyPhase.AWAITING_APPROVAL if known.search_ended else phase_of(known)
    return Verdict(phase, problem.reason, problem.message, stalled=True)


def _restart(known: Known, draft: Draft, snapshot: Snapshot, problem: TargetProblem) -> Plan | None:
    """Begin anew with production as somebody made it, where that is wanted and the budget has room for it."""
    spec, target = known.study.spec, snapshot.target
    wanted = problem.reason == TARGET_CHANGED and spec.on_target_change is OnTargetChange.RESTART
    room = spec.budget.trials - known.used.trials >= LEAST_TRIALS and not budget.minutes_over(spec, known.used)
    if not wanted or not isinstance(target, TargetState):
        return None
    if not room:
        message = f"{problem.message}. The budget has no room to begin anew: raise spec.budget"
        return conclude(known, draft, _stalled(known, TargetProblem(TARGET_CHANGED, message)))
    first = max(trial.spec.number for trial in snapshot.trials) + 1
    message = (
        f"somebody changed production, {change_of(snapshot, target)}: trials before {first} no longer count, and both "
        "baselines are measured anew"
    )
    draft.events.append(Event(f"target-changed-{first}", TARGET_CHANGED, message, EventType.WARNING))
    draft.resumed = message
    verdict = Verdict(StudyPhase.BASELINING, TARGET_CHANGED, message, wake_after_seconds=AT_ONCE)
    begun = conclude(known, draft, verdict)
    empty = StudyStatus()
    forgotten = ("comparison_rate_percent", "baseline", "best", "front", "noise", "knowledge")
    anew = {name: getattr(empty, name) for name in forgotten} | {"target": target_status(target, first)}
    return replace(begun, status=begun.status.model_copy(update=anew))


LEAST_TRIALS = 3
"""Both baselines and a candidate."""


def _leave(snapshot: Snapshot, draft: Draft, now: datetime) -> Plan:
    """The study is being deleted: nothing of it keeps running, and production is left as it was found."""
    _end_trials(snapshot, draft, "the study was deleted", now)
    study, target = snapshot.study, snapshot.target
    status, owes, wake = study.status, False, IDLE_SECONDS
    promotion = status.promotion
    if promotion is not None and owes_production(promotion) and isinstance(target, TargetState):
        if pacing.holds(promotion, target):
            # At this pace the way back has to be waited for: at production's own it would wait for a GPU.
            step = take_back(promotion, target, study, "the study was deleted during its promotion", now)
        else:
            step = undo(promotion, target, now)
        moved = _take_promotion(draft, promotion, step)
        owes = owes_production(step.status)
        wake = (AT_ONCE if moved else LOOK_AGAIN_SECONDS) if owes else wake
        status = status.model_copy(update={"promotion": step.status})
    elif is_under_way(promotion) and (left := git_promotion.left(promotion)):
        draft.events.append(Event("promotion-left", "PromotionLeft", left, EventType.WARNING))
    return Plan(status, tuple(draft.actions), tuple(draft.events), owes, wake_after_seconds=wake)


def stand_still(snapshot: Snapshot, problem: TargetProblem, now: datetime) -> Plan:
    """The study cannot be understood as it is stored: nothing of it keeps running, production goes back to where it was
    if it was being changed, and the study says what has to be mended. Nothing else of its status is worked out anew.

    Of its specification only `target` and what `promotion` and `trial` say of times are asked for.
    """
    study, draft = snapshot.study, Draft()
    if study.metadata.deletion_timestamp is not None:
        return _leave(snapshot, draft, now)
    _end_trials(snapshot, draft, f"{problem.reason}: {problem.message}", now)
    status, wake = study.status, IDLE_SECONDS
    promotion = status.promotion
    if promotion is not None and owes_production(promotion) and isinstance(snapshot.target, TargetState):
        step = take_back(promotion, snapshot.target, study, f"{problem.reason}: {problem.message}", now)
        wake = AT_ONCE if _take_promotion(draft, promotion, step) else LOOK_AGAIN_SECONDS
        promotion = step.status
    owes = owes_production(promotion)
    if status.phase not in TERMINAL:
        status = status.model_copy(
            update={
                "observed_generation": study.metadata.generation,
                "trials": status.trials.model_copy(update={"running": 0}),
                "promotion": promotion,
                "conditions": _stalled_for(study, problem, now),
            }
        )
    if status.conditions != study.status.conditions:
        key = event_key(problem.reason, study.metadata.generation, problem.message)
        draft.events.append(Event(key, problem.reason, problem.message, EventType.WARNING))
    return Plan(status, tuple(draft.actions), tuple(draft.events), owes, wake_after_seconds=wake)


def _stalled_for(study: Study, problem: TargetProblem, now: datetime) -> list[StatusCondition]:
    conditions, generation = study.status.conditions, study.metadata.generation
    for kind, holds in (("Ready", False), ("Reconciling", False), ("Stalled", True)):
        conditions = with_condition(conditions, kind, holds, problem.reason, problem.message, generation, now)
    return conditions


def _end_trials(snapshot: Snapshot, draft: Draft, why: str, now: datetime) -> None:
    for trial in snapshot.trials:
        seen = snapshot.observation(trial)
        _take(trial, sweep(trial, seen, now) if trial.finished else cancel(trial, seen, why, now), draft)


def _move_trials(snapshot: Snapshot, ground: Ground | TargetProblem, draft: Draft, now: datetime) -> tuple[Trial, ...]:
    """Every trial moved on by what is seen of it.

    Where the study is suspended, production is not what it has to be, or budget or window say so, trials are ended
    rather than left to hold GPUs; one that has just come to its own end still counts.
    """
    halted = halt(snapshot, ground, now)
    moved: list[Trial] = []
    for trial in snapshot.trials:
        seen = snapshot.observation(trial)
        recorded = without_server(trial, snapshot, now)
        if recorded is not None:
            moved.append(_take(trial, recorded, draft))
            continue
        new = trial.status.started_at is None
        arguments = _arguments_of(trial, snapshot.study, ground) if new else ()
        step = _with_platform(advance(trial, seen, snapshot.study.spec, arguments, now), seen)
        why = halted.unbegun if new or _has_to_begin_anew(trial, seen) else halted.under_way
        if trial.spec.purpose is Purpose.CANARY:
            why = canary_ends(snapshot)
        if why and not trial.finished and step.status.outcome is None:
            step = cancel(trial, seen, why, now)
        moved.append(_take(trial, step, draft))
    return tuple(moved)


def _arguments_of(trial: Trial, study: Study, ground: Ground | TargetProblem) -> tuple[str, ...]:
    """A canary has the very arguments that will go to production."""
    if trial.spec.purpose is Purpose.CANARY:
        return tuple(study.status.promotion.arguments) if study.status.promotion is not None else ()
    return ground.arguments_of(trial) if isinstance(ground, Ground) else ()


def _has_to_begin_anew(trial: Trial, seen: Observation) -> bool:
    """Somebody took its server away while it started."""
    return trial.status.phase is TrialPhase.STARTING and seen.server.state is ServerState.ABSENT


def _with_platform(step: Step, seen: Observation) -> Step:
    """What the server ran on is recorded as soon as it is seen."""
    platform = seen.server.platform
    if platform is None or step.status.platform is not None:
        return step
    return replace(step, status=step.status.model_copy(update={"platform": platform}))


def _take(trial: Trial, step: Step, draft: Draft) -> Trial:
    moved = trial
    if step.status != trial.status:
        moved = trial.model_copy(update={"status": step.status})
        draft.actions.append(UpdateTrial(trial, step.status))
    draft.actions.extend(step.actions)
    if moved.finished and not trial.finished:
        draft.events.append(_trial_event(moved))
        draft.events.extend(event for event in [disagreement_event(moved)] if event is not None)
    return moved


def _trial_event(trial: Trial) -> Event:
    outcome = trial.status.outcome
    assert outcome is not None, "a finished trial has an outcome"
    bad = outcome in {Outcome.CRASHED, Outcome.INFRASTRUCTURE}
    goodput = trial.status.goodput_tokens_per_second
    figure = f"{goodput} tokens/s of good requests; " if goodput is not None else ""
    message = f"Trial {trial.name} ({trial.spec.purpose.value}): {figure}{trial.status.message}"
    kind = EventType.WARNING if bad else EventType.NORMAL
    return Event(f"{trial.name}-finished-{outcome.value.lower()}", f"Trial{outcome.value}", message, kind)


def _record(known: Known, draft: Draft, wanted: TrialSpec) -> Verdict:
    """By its number among all of the study's trials."""
    spec = wanted.model_copy(update={"number": wanted.number + first_trial(known.study)})
    name = trial_name(known.study.name, spec.number, spec.attempt)
    draft.actions.append(RecordTrial(name, spec))
    parameters = ", ".join(f"{k.value}={v}" for k, v in sorted(spec.parameters.items())) or "vLLM's defaults"
    message = f"Trial {name} ({spec.purpose.value}): {parameters}. {spec.reason}"
    draft.events.append(Event(f"{name}-recorded", "TrialRecorded", message))
    why = resumes(known) if spec.purpose is Purpose.SEARCH else ""
    if why:
        draft.resumed = why
        draft.events.append(Event(f"search-resumed-{spec.number}", "SearchResumed", why))
    phase = phase_for(wanted)
    return Verdict(phase, phase.value, under_way(spec), wake_after_seconds=AT_ONCE)


def _recommend(known: Known, draft: Draft, ground: Ground | TargetProblem, snapshot: Snapshot) -> Plan:
    """All trials are done: name the winner, or say that there is none, and promote it where that is wanted."""
    if isinstance(ground, Ground) and not known.search_ended:
        known = believing(known, ground)
    recommendation = recommendation_of(known)
    trial, refused = wished(known.study, known.trials, recommendation)
    if refused:
        verdict = Verdict(StudyPhase.AWAITING_APPROVAL, "ApprovedTrialUnknown", refused, stalled=True)
    elif trial is None:
        verdict = summary(known, recommendation)
    elif _has_arrived(known.study, trial, snapshot.target):
        message = f"production runs with the arguments of {trial.name}"
        verdict = Verdict(StudyPhase.COMPLETED, "AlreadyInProduction", message)
    elif known.study.spec.suspend:
        verdict = SUSPENDED
    elif isinstance(ground, TargetProblem):
        verdict = _stalled(known, ground)
    elif (problem := objection(known.study, ground.target.manager, trial)) is not None:
        verdict = Verdict(StudyPhase.AWAITING_APPROVAL, problem.reason, problem.message, stalled=True)
    elif (first := before_promotion(known, ground, trial)) is not None:
        verdict = _record(known, draft, first) if isinstance(first, TrialSpec) else first
    elif (waits := _obstacle(known, ground.target, snapshot)) is not None:
        verdict = waits
    else:
        begun = begin(trial, trial.status.arguments, ground.target, known.now)
        promotion = known.study.spec.promotion
        if promotion.mode is PromotionMode.GIT and promotion.git is not None:
            begun = git_promotion.through_git(begun, promotion.git)
        elif pacing.paces(known.study, ground.target, known.room, snapshot.undisturbed):
            begun = pacing.recorded(begun, known.study, ground.target)
        return _with_promotion(known, draft, PromotionStep(begun), recommendation)
    return conclude(known, draft, verdict, recommendation=recommendation)


def _obstacle(known: Known, target: TargetState, snapshot: Snapshot) -> Verdict | None:
    return obstacle(known.study, target, known.room, snapshot.traffic, snapshot.undisturbed)


def _has_arrived(study: Study, trial: Trial, target: TargetState | TargetProblem) -> bool:
    """Whoever brought its arguments there: from a repository, say."""
    if isinstance(target, TargetProblem) or program_change(study.status.target, target):
        return False
    return same_arguments(trial.status.arguments, target.arguments)


def _promote(known: Known, draft: Draft, promotion: PromotionStatus, snapshot: Snapshot) -> Plan:
    """Go on with a promotion, which neither `suspend` nor another `mode` leaves half done; or say how it ended."""
    target, traffic = snapshot.target, snapshot.traffic
    if promotion.state in UNDER_WAY and isinstance(target, TargetProblem):
        return conclude(known, draft, _stalled(known, target))
    if isinstance(target, TargetProblem):
        return conclude(known, draft, _verdict_on(promotion, known))
    if promotion.before is None and traffic is not None:
        promotion = promotion.model_copy(update={"before": traffic.before})
    by_canary = known.study.spec.promotion.strategy is Strategy.CANARY and promotion.state is PromotionState.PLANNED
    if promotion.git is None and (promotion.state in CANARY_STATES or by_canary):
        step = advance_canary(promotion, target, known)
    else:
        if promotion.git is not None:
            step = git_promotion.advance_git(promotion, target, snapshot, known.now)
        else:
            step = advance_promotion(promotion, target, known.study, known.now, traffic)
        step = replace(step, record=failure_to_record(step.status, known))
    return _with_promotion(known, draft, step)


def _with_promotion(
    known: Known, draft: Draft, step: PromotionStep, recommendation: Recommendation | None = None
) -> Plan:
    """A state that was just entered is written before anything follows from it."""
    before = known.study.status.promotion
    moved = _take_promotion(draft, before, step)
    verdict = _verdict_on(step.status, known)
    if step.record is not None:
        _record(known, draft, step.record)
        return conclude(known, draft, replace(verdict, wake_after_seconds=AT_ONCE), promoted=step.status)
    if step.status.state in _HELD_UP_BY_SUSPENSION and known.study.spec.suspend:
        verdict = SUSPENDED
    recorded = before is not None and step.status.git != before.git
    if moved or recorded or step.apply is not None or step.pace is not None or step.end:
        verdict = replace(verdict, wake_after_seconds=AT_ONCE if moved or recorded else LOOK_AGAIN_SECONDS)
    elif step.status.state is PromotionState.ANALYSING:
        verdict = replace(verdict, wake_after_seconds=until_readable(known.canaries, known))
    elif step.status.state is PromotionState.VERIFYING:
        verdict = replace(verdict, wake_after_seconds=_until_verified(step.status, known))
    return conclude(known, draft, verdict, recommendation=recommendation, promoted=step.status)


def _until_verified(promotion: PromotionStatus, known: Known) -> float:
    """Until the watch is over, if all stays well."""
    watched = known.study.spec.promotion.verification.duration_seconds
    left = watched - (known.now - promotion.changed_at).total_seconds()
    return min(max(left, LOOK_AGAIN_SECONDS), IDLE_SECONDS)


def _take_promotion(draft: Draft, before: PromotionStatus | None, step: PromotionStep) -> bool:
    """Whether a new state was entered."""
    draft.actions.extend(action for action in (step.pace, step.apply, step.job) if action is not None)
    draft.actions.extend(step.end)
    after = step.status
    if before is not None and before.state is after.state:
        return False
    kind = EventType.WARNING if after.state in _BACKWARDS else EventType.NORMAL
    key = f"promotion-{after.trial}-{after.state.value}".lower()
    draft.events.append(Event(key, f"Promotion{after.state.value}", after.message, kind))
    return True


_BACKWARDS = {
    PromotionState.REVERTING,
    PromotionState.ROLLING_BACK,
    PromotionState.ROLLED_BACK,
    PromotionState.HALTED,
}
_HELD_UP_BY_SUSPENSION = CANARY_STATES | {PromotionState.PROPOSING, PromotionState.PROPOSED}


def _verdict_on(promotion: PromotionStatus, known: Known) -> Verdict:
    if promotion.git is not None and promotion.state in git_promotion.STATES:
        return git_promotion.verdict(promotion, known.study, known.now)
    match promotion.state:
        case PromotionState.PROMOTED:
            return Verdict(StudyPhase.COMPLETED, "Promoted", promotion.message)
        case PromotionState.DECLINED:
            return Verdict(StudyPhase.COMPLETED, "PromotionDeclined", promotion.message)
        case PromotionState.ROLLED_BACK:
            return Verdict(StudyPhase.FAILED, "PromotionRolledBack", promotion.message, stalled=True)
        case PromotionState.HALTED:
            return Verdict(StudyPhase.FAILED, "PromotionHalted", promotion.message, stalled=True)
        case PromotionState.VERIFYING:
            return Verdict(StudyPhase.VERIFYING, "Verifying", promotion.message)
        case _:
            return Verdict(StudyPhase.PROMOTING, promotion.state.value, promotion.message)
