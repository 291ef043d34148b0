"""Whether a candidate is better than production and defaults, by repeats of its own. Pure.

First version: the figure of a candidate is the mean of its confirmations, never the search's own figure, which is
the best of many and so too good (the winner's curse). It has to beat the better baseline by the study's minimum.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from sloguard.api.v1alpha1 import Outcome, Purpose, StudySpec, Trial
from sloguard.domain.score import goodput_tokens_per_second, slos_met

BASELINES = {Purpose.PRODUCTION, Purpose.DEFAULT}


@dataclass(frozen=True, slots=True)
class Contender:
    """A measured configuration with its figure in tokens/s."""

    trial: Trial
    goodput: float
    slos_met: bool


@dataclass(frozen=True, slots=True)
class Gate:
    """The verdict: a `winner`, or a `candidate` that needs another confirmation, or neither and why."""

    baseline: Contender | None = None
    best: Contender | None = None
    winner: Contender | None = None
    confirmations: int = 0
    candidate: Trial | None = None
    repeats_begun: int = 0
    why: str = ""


def judge(spec: StudySpec, latest: list[Trial], percent: int) -> Gate:
    """Go through the candidates, best first, until one passes or needs to be repeated."""
    measured = [c for trial in latest if (c := contender(trial, percent)) is not None]
    baselines = [c for c in measured if c.trial.spec.purpose in BASELINES]
    baseline = best_of(baselines)
    best = best_of([c for c in measured if c.trial.spec.purpose is not Purpose.CONFIRM])
    refused: list[str] = []
    for candidate in ranked(c for c in measured if may_win(c, baselines, spec)):
        repeats = [t for t in latest if _repeats(t, candidate.trial)]
        verdict = _confirmed(candidate, repeats, baselines, spec, percent)
        if verdict is not None:
            refused.append(verdict)
            continue
        if len(repeats) < spec.promotion.confirmations or not all(t.finished for t in repeats):
            return Gate(baseline, best, candidate=candidate.trial, repeats_begun=len(repeats))
        figure = _figure(candidate, repeats, percent)
        return Gate(baseline, best, Contender(candidate.trial, figure, candidate.slos_met), len(repeats))
    minimum = spec.promotion.minimum_improvement_percent
    return Gate(baseline, best, why="; ".join(refused) or f"no configuration was better by {minimum} %")


def contender(trial: Trial, percent: int) -> Contender | None:
    """None where the trial has no figure."""
    goodput = goodput_tokens_per_second(trial, percent)
    return None if goodput is None else Contender(trial, goodput, slos_met(trial, percent))


def ranked(contenders: Iterable[Contender]) -> list[Contender]:
    """Those that hold the SLOs first, then by goodput; the earlier trial where they are equal."""
    return sorted(contenders, key=lambda c: (not c.slos_met, -c.goodput, c.trial.spec.number))


def best_of(contenders: list[Contender]) -> Contender | None:
    return next(iter(ranked(contenders)), None)


def may_win(candidate: Contender, baselines: list[Contender], spec: StudySpec) -> bool:
    """Better than each baseline but itself; a configuration that breaks an SLO cannot follow one that holds all."""
    if candidate.trial.spec.purpose in {Purpose.PRODUCTION, Purpose.CONFIRM, Purpose.CANARY}:
        return False
    return all(
        _is_better(candidate.goodput, candidate.slos_met, other, spec)
        for other in baselines
        if other.trial.name != candidate.trial.name
    )


def _is_better(goodput: float, holds: bool, other: Contender, spec: StudySpec) -> bool:
    if other.slos_met and not holds:
        return False
    if holds and not other.slos_met and goodput >= other.goodput:
        return True
    return goodput > 0 and goodput >= other.goodput * (1 + spec.promotion.minimum_improvement_percent / 100)


def _repeats(trial: Trial, candidate: Trial) -> bool:
    return trial.spec.purpose is Purpose.CONFIRM and trial.spec.parameters == candidate.spec.parameters


def _figure(candidate: Contender, repeats: list[Trial], percent: int) -> float:
    figures = [g for t in repeats if (g := goodput_tokens_per_second(t, percent)) is not None]
    return fmean(figures) if figures else candidate.goodput


def _confirmed(
    candidate: Contender, repeats: list[Trial], baselines: list[Contender], spec: StudySpec, percent: int
) -> str | None:
    """None as long as nothing speaks against the candidate, else what does."""
    name = candidate.trial.name
    done = [t for t in repeats if t.status.outcome in {Outcome.FEASIBLE, Outcome.INFEASIBLE, Outcome.CRASHED}]
    crashed = next((t for t in done if t.status.outcome is Outcome.CRASHED), None)
    if crashed is not None:
        return f"{name} crashed when it was repeated ({crashed.name}: {crashed.status.message})"
    if candidate.slos_met and not all(slos_met(t, percent) for t in done):
        return f"{name} broke an SLO when it was repeated"
    others = [b for b in baselines if b.trial.name != name]
    figure = _figure(candidate, done, percent)
    if done and not all(_is_better(figure, candidate.slos_met, other, spec) for other in others):
        return f"{name} gave {figure:.0f} tokens/s on repeat, not enough against the baselines"
    return None
