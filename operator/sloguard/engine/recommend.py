"""What a study concludes when all its trials are done, and whose wish is followed then. Pure."""

from collections.abc import Iterable

from sloguard.api.v1alpha1 import Objective, Outcome, PromotionMode, Purpose, Recommendation, Study, StudyPhase, Trial
from sloguard.domain.contest import ERROR
from sloguard.domain.score import UNITS, goodput_tokens_per_second, was_measured
from sloguard.engine import budget, trade_off
from sloguard.engine.arms import taught
from sloguard.engine.candidates import DEFAULT_NUMBER, PRODUCTION_NUMBER
from sloguard.engine.gate import MANY, Contender, Shown, improvement
from sloguard.engine.known import Known, Verdict
from sloguard.engine.next_trial import BASELINE_NUMBERS, missing_baselines


def recommendation_of(known: Known) -> Recommendation | None:
    """The gate's winner with the arguments that were measured; once given, it stays as it is."""
    before, winner = known.study.status.recommendation, known.gate.winner
    if before is not None or winner is None:
        return before
    assert known.gate.shown, "the gate has a winner only against another configuration"
    beaten, figure = known.gate.shown[0], round(winner.figure)
    confirmed = known.gate.confirmations > 0
    holds = winner.slos_met and winner.serves_offered
    mark = f"; {closed}" if (closed := known.study.spec.workload.closed_loop_mark) else ""
    broken = "" if holds else "; it is better but breaks an SLO, as the baselines do"
    crashed = "".join(
        f"; {t.name} ({t.spec.purpose.value}) crashed when it was measured: {t.status.message}"
        for t in known.latest
        if t.spec.number in BASELINE_NUMBERS and t.status.outcome is Outcome.CRASHED
    )
    soaked = _soak_told(known)
    return Recommendation(
        trial=winner.trial.name,
        parameters=winner.trial.spec.parameters,
        goodput_tokens_per_second=_goodput(known, winner),
        objective_value=figure,
        slos_met=holds,
        arguments=winner.trial.status.arguments,
        improvement_percent=_percent(winner.figure / beaten.figure) if beaten.figure > 0 else None,
        improvement_low_percent=_percent(beaten.ratio.low) if confirmed else None,
        improvement_high_percent=_percent(beaten.ratio.high) if confirmed else None,
        error_percent=round(100 * ERROR) if confirmed else None,
        confirmations=known.gate.confirmations,
        soaked_seconds=known.gate.soaked_seconds,
        reason=f"{_story(known, winner)}{soaked}{mark}{broken}{crashed}"[:1024],
        choice=trade_off.explained(known, winner.trial)[:1024],
    )


def _soak_told(known: Known) -> str:
    """Nothing where the study wants no soak."""
    gate, spec = known.gate, known.study.spec
    if gate.soak is not None:
        why = budget.soak_over(spec, known.used) or "no soak came to its end"
        return f"; it did NOT have to outlive its worst-case load before this: {why}"
    return f"; it outlived {gate.soaked_seconds} s of its worst-case load" if gate.soaked_seconds else ""


def _percent(ratio: float) -> int | None:
    """Of improvement; None where there is no end to it."""
    return round(100 * (ratio - 1)) if ratio < MANY else None


def _story(known: Known, winner: Contender) -> str:
    """What the winner gave, and what was shown against each baseline."""
    gate, unit = known.gate, UNITS[known.study.spec.objective]
    figure = f"{winner.figure:.0f} {unit}"
    if not gate.confirmations:
        against = f"{gate.shown[0].figure:.0f} {unit} of {gate.shown[0].trial.name}"
        return f"{figure} in the search alone, against {against}: nothing is confirmed with promotion.confirmations 0"
    times = "1 repeat" if gate.confirmations == 1 else f"{gate.confirmations} repeats"
    over = "; ".join(f"{improvement(winner.figure, shown)} over {_baseline(shown, unit)}" for shown in gate.shown)
    return f"{figure} over {times}: {over}; error allowed {100 * ERROR:.0f} %"


def _baseline(shown: Shown, unit: str) -> str:
    named = "production" if shown.trial.spec.purpose is Purpose.PRODUCTION else "vLLM's defaults"
    return f"{named} ({shown.trial.name}, {'at most ' if shown.at_most else ''}{shown.figure:.0f} {unit})"


def _goodput(known: Known, winner: Contender) -> int:
    """The repeats' mean where goodput is the objective, else what the winner's own trial gave."""
    if known.study.spec.objective is Objective.GOODPUT:
        return round(winner.figure)
    return round(goodput_tokens_per_second(winner.trial, known.percent) or 0.0)


_BY_ITSELF = {PromotionMode.AUTOMATIC, PromotionMode.GIT}


def wished(study: Study, trials: Iterable[Trial], recommendation: Recommendation | None) -> tuple[Trial | None, str]:
    """The trial to promote, or the reason why a wish cannot be followed, or neither."""
    promotion = study.spec.promotion
    name = promotion.approved_trial if promotion.mode is PromotionMode.MANUAL else ""
    if promotion.mode in _BY_ITSELF and recommendation is not None:
        name = recommendation.trial
    if not name:
        return None, ""
    trial = next((t for t in trials if t.name == name), None)
    if trial is None:
        return None, f"promotion.approvedTrial {name} is not a trial of this study; name one that is"
    if not was_measured(trial):
        soak = trial.spec.purpose is Purpose.SOAK
        said = "a soak" if soak else trial.status.outcome.value if trial.status.outcome else "unfinished"
        return None, f"promotion.approvedTrial {name} is {said}; name a trial that was measured"
    return trial, ""


def summary(known: Known, recommendation: Recommendation | None) -> Verdict:
    """Where a study stands whose trials are done and that has nothing to promote."""
    if recommendation is None:
        return _without_winner(known)
    if known.study.spec.promotion.mode is PromotionMode.MANUAL:
        message = (
            f"{recommendation.trial} is recommended ({recommendation.reason}); "
            f"set spec.promotion.approvedTrial to {recommendation.trial} to promote it"
        )
        return Verdict(StudyPhase.AWAITING_APPROVAL, "AwaitingApproval", message)
    return Verdict(StudyPhase.COMPLETED, "Recommended", f"{recommendation.trial}: {recommendation.reason}")


_NAMED = {PRODUCTION_NUMBER: "production", DEFAULT_NUMBER: "vLLM's defaults"}


def _without_winner(known: Known) -> Verdict:
    spec, gate = known.study.spec, known.gate
    unmeasured = [t.name for t in known.latest if t.spec.number in BASELINE_NUMBERS and not taught(t)]
    unmeasured += [_NAMED[number] for number in missing_baselines(known)]
    if unmeasured:
        message = (
            f"{' and '.join(unmeasured)} could not be measured within the budget, and without a baseline nothing can "
            f"be compared: {budget.minutes_over(spec, known.used) or 'no time was left'}. Create a new study with more"
        )
        return Verdict(StudyPhase.FAILED, "BaselineMissing", message)
    minimum = spec.promotion.minimum_improvement_percent
    reasons = list(gate.refused) or [f"no configuration was better by {minimum} %"]
    if gate.candidate is not None:
        reasons.append(f"{gate.candidate.name} could not be confirmed: {budget.over(spec, known.used) or 'unfinished'}")
        reasons = [r for r in reasons if not r.startswith("no configuration")]
    return Verdict(StudyPhase.COMPLETED, "NoImprovement", f"production is kept: {'; '.join(reasons)}")
