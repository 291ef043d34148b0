"""Whether a candidate is better than production and defaults, by repeats of its own. Pure.

First version: the figure of a candidate is the mean of its confirmations, never the search's own figure, which is
the best of many and so too good (the winner's curse). It has to beat both baselines by the study's minimum. A
baseline that crashed serves nothing: 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from sloguard.api.v1alpha1 import Objective, Outcome, Purpose, StudySpec, Trial
from sloguard.domain.score import MEASURED, OFFERED_PERCENT, UNITS, figure_of, holds, slos_met

BASELINES = (Purpose.PRODUCTION, Purpose.DEFAULT)


@dataclass(frozen=True, slots=True)
class Contender:
    """A configuration with its figure in the objective's unit and whether its SLOs held where that was taken.

    `serves_offered`: they held at 100 % of the rate, which matters where higher rates are compared.
    """

    trial: Trial
    figure: float
    slos_met: bool
    serves_offered: bool


@dataclass(frozen=True, slots=True)
class Gate:
    """The verdict: a `winner`, or a `candidate` that needs another confirmation, or neither.

    `beaten` is the better of the baselines that the winner is not itself: the defaults may win over production.
    `refused` says why better-looking candidates were passed over.
    """

    baseline: Contender | None = None
    best: Contender | None = None
    winner: Contender | None = None
    beaten: Contender | None = None
    confirmations: int = 0
    candidate: Trial | None = None
    repeats_begun: int = 0
    refused: tuple[str, ...] = ()


def judge(spec: StudySpec, latest: Iterable[Trial], percent: int) -> Gate:
    """Go through the candidates, best first, until one passes or needs to be repeated."""
    trials = list(latest)
    objective = spec.objective
    baselines = [b for trial in trials if (b := _baseline(trial, objective, percent)) is not None]
    searched = [t for t in trials if t.spec.purpose is not Purpose.CONFIRM]
    gate = Gate(baseline=_best_of(baselines), best=_best_of(contenders(searched, objective, percent)))
    if {b.trial.spec.purpose for b in baselines} != set(BASELINES):
        return gate
    refused: list[str] = []
    for candidate in _ranked(c for c in contenders(searched, objective, percent) if _may_win(c, baselines, spec)):
        repeats = [t for t in trials if _repeats(t, candidate.trial)]
        done = contenders(repeats, objective, percent)
        confirmed = _confirmed(candidate, done)
        objection = _objection(confirmed, repeats, baselines, spec)
        if objection:
            refused.append(objection)
        elif len(done) < spec.promotion.confirmations:
            return replace(gate, refused=tuple(refused), candidate=candidate.trial, repeats_begun=len(repeats))
        else:
            beaten = _best_of(b for b in baselines if b.trial.name != candidate.trial.name)
            return replace(gate, refused=tuple(refused), winner=confirmed, beaten=beaten, confirmations=len(done))
    return replace(gate, refused=tuple(refused))


def contenders(trials: Iterable[Trial], objective: Objective, percent: int) -> list[Contender]:
    """Those that have a figure."""
    figures = ((trial, figure_of(trial, objective, percent)) for trial in trials)
    return [
        Contender(trial, figure, holds(trial, objective, percent), slos_met(trial, OFFERED_PERCENT))
        for trial, figure in figures
        if figure is not None
    ]


def _baseline(trial: Trial, objective: Objective, percent: int) -> Contender | None:
    if trial.spec.purpose not in BASELINES:
        return None
    if trial.status.outcome is Outcome.CRASHED:
        return Contender(trial, 0.0, slos_met=False, serves_offered=False)
    return next(iter(contenders([trial], objective, percent)), None)


def _ranked(those: Iterable[Contender]) -> list[Contender]:
    """Those that hold the SLOs first, then by the figure; the earlier trial where they are equal."""
    return sorted(those, key=lambda c: (not c.serves_offered, not c.slos_met, -c.figure, c.trial.spec.number))


def _best_of(those: Iterable[Contender]) -> Contender | None:
    return next(iter(_ranked(those)), None)


def _may_win(candidate: Contender, baselines: Sequence[Contender], spec: StudySpec) -> bool:
    """The defaults may win over production, unless they are what production runs already."""
    if candidate.trial.spec.purpose not in {Purpose.DEFAULT, Purpose.SEARCH}:
        return False
    production = next(b.trial for b in baselines if b.trial.spec.purpose is Purpose.PRODUCTION)
    same = candidate.trial.status.arguments == production.status.arguments != []
    return not same and _beats_all(candidate, baselines, spec)


def _beats_all(candidate: Contender, baselines: Iterable[Contender], spec: StudySpec) -> bool:
    return all(_beats(candidate, other, spec) for other in baselines if other.trial.name != candidate.trial.name)


def _beats(candidate: Contender, other: Contender, spec: StudySpec) -> bool:
    """A configuration that breaks an SLO cannot follow one that holds all; one that holds all need not serve more."""
    if other.slos_met > candidate.slos_met or other.serves_offered > candidate.serves_offered:
        return False
    if candidate.figure <= 0:
        return False
    if candidate.slos_met > other.slos_met and candidate.figure >= other.figure:
        return True
    return candidate.figure * 100 >= other.figure * (100 + spec.promotion.minimum_improvement_percent)


def _repeats(trial: Trial, candidate: Trial) -> bool:
    return trial.spec.purpose is Purpose.CONFIRM and trial.spec.parameters == candidate.spec.parameters


def _confirmed(candidate: Contender, repeats: Sequence[Contender]) -> Contender:
    """The candidate with the figure of its repeats; an SLO that broke in any of them does not hold."""
    return Contender(
        candidate.trial,
        fmean(c.figure for c in repeats or [candidate]),
        all(c.slos_met for c in (candidate, *repeats)),
        all(c.serves_offered for c in (candidate, *repeats)),
    )


def _objection(confirmed: Contender, repeats: Iterable[Trial], baselines: Sequence[Contender], spec: StudySpec) -> str:
    """What the repeats say against a candidate, or nothing."""
    name = confirmed.trial.name
    crashed = next((t for t in repeats if t.status.outcome is Outcome.CRASHED), None)
    if crashed is not None:
        return f"{name} crashed when it was repeated ({crashed.name}: {crashed.status.message})"
    if _beats_all(confirmed, baselines, spec):
        return ""
    how = "within every SLO" if confirmed.slos_met and confirmed.serves_offered else "with an SLO broken"
    figure = f"{confirmed.figure:.0f} {UNITS[spec.objective]}"
    return f"{name} gave {figure} {how} on repeat, not enough against the baselines"


def taught(trial: Trial) -> bool:
    """Whether the trial says something about its configuration."""
    return trial.status.outcome in MEASURED or trial.status.outcome is Outcome.CRASHED
