"""Whether a candidate is better than production and defaults, by repeats of all of them. Pure.

`domain/contest.py` decides, on figures alone; here trials become its arms, candidates get their order, and what it
wants becomes the next trials. The order is best first by the search, by what its model believes of each where it has
one, else by the figure; those within noise of each other by how little they change of production. A candidate that was
repeated keeps its place, so that later figures reorder nothing.
A baseline that crashed serves nothing: 0. Production that runs the defaults is one baseline, not two.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from sloguard.api.v1alpha1 import Objective, Outcome, Purpose, StudySpec, Trial
from sloguard.domain.contest import LEAST_REPEATS, SLO_SHARE, Arm, Ledger, Standing, Terms, Verdict, contest
from sloguard.domain.noise import LEAST_NOISE, RatioInterval, ratio_interval
from sloguard.domain.score import OFFERED_PERCENT, UNITS, figure_of, highest_figure_of, holds, slos_met
from sloguard.engine.arms import arm_of, begun_with, confirmations_of, repeats_of, taught
from sloguard.engine.budget import baseline_repeats, spare_repeats
from sloguard.engine.soak import death_of, is_owed, outlived_seconds

BASELINES = (Purpose.PRODUCTION, Purpose.DEFAULT)

CLEARLY_WORSE = 2.0
"""Where the best candidate serves so many times a baseline's figure, one repeat is kept for that baseline."""


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
class Shown:
    """What was shown of a winner against one baseline; the baseline's `figure` is that of its repeats.

    `at_most`: some of them were ended early and count with what they could have given.
    """

    trial: Trial
    figure: float
    ratio: RatioInterval
    at_most: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """A repeat to be made: of which trial, as what, and in which block."""

    of: Trial
    purpose: Purpose
    block: int


@dataclass(frozen=True, slots=True)
class Gate:
    """The verdict: a `winner`, or a `candidate` whose block lacks the repeats that are `wanted`, or neither.

    `shown` holds the baselines that the winner is not itself, the better one first. `refused` says why better-looking
    candidates were passed over. `soak` is the winner as long as it has to outlive its worst-case load for longer than
    the `soaked_seconds` that it has. `kept` is how many trials the search leaves to the repeats of a candidate,
    `least_kept` how many while it has none. `over`: so many were contested that no further one may win.
    """

    baseline: Contender | None = None
    best: Contender | None = None
    winner: Contender | None = None
    soak: Trial | None = None
    soaked_seconds: int = 0
    shown: tuple[Shown, ...] = ()
    confirmations: int = 0
    candidate: Trial | None = None
    wanted: tuple[Wanted, ...] = ()
    refused: tuple[str, ...] = ()
    kept: int = 0
    least_kept: int = 0
    over: bool = False


def judge(
    spec: StudySpec, latest: Iterable[Trial], percent: int, believed: Mapping[int, float] = MappingProxyType({})
) -> Gate:
    """Go through the candidates until one passes or needs to be repeated.

    `believed` is what the search's model expects of each, by its trial's number. It decides who is repeated first and
    nothing else.
    """
    trials = list(latest)
    firsts = [t for t in trials if not t.spec.is_repeat]
    measured = contenders(firsts, spec.objective, percent)
    baselines = [b for t in firsts if (b := _baseline(t, spec.objective, percent)) is not None]
    gate = Gate(_best_of(baselines), _best_of(measured), kept=_most_kept(spec), least_kept=_most_kept(spec))
    if {b.trial.spec.purpose for b in baselines} != set(BASELINES):
        return gate
    ground = _Ground(spec, percent, trials, baselines)
    gate = replace(gate, kept=_kept(ground, gate.best), least_kept=_least_kept(ground))
    candidates = [c for c in measured if c.trial.spec.purpose in _MAY_WIN]
    return _contested(ground, gate, _ordered(ground, candidates, believed))


_MAY_WIN = {Purpose.DEFAULT, Purpose.SEARCH}


@dataclass(frozen=True, slots=True)
class _Ground:
    """What every candidate is held against."""

    spec: StudySpec
    percent: int
    trials: Sequence[Trial]
    baselines: Sequence[Contender]

    @property
    def production(self) -> Trial:
        return next(b.trial for b in self.baselines if b.trial.spec.purpose is Purpose.PRODUCTION)

    @property
    def terms(self) -> Terms:
        promotion = self.spec.promotion
        ratio = (100 + promotion.minimum_improvement_percent) / 100
        return Terms(ratio, promotion.confirmations, baseline_repeats(self.spec))

    def same_as_production(self, trial: Trial) -> bool:
        """Production may run the defaults already."""
        return trial.status.arguments == self.production.status.arguments != []

    def candidate(self, first: Trial) -> Arm:
        """The defaults too are judged by repeats of their own, not by those that other candidates were held against."""
        own = confirmations_of(first, self.trials)
        others = [t for t in repeats_of(first, self.trials) if t not in own]
        return arm_of([first, *others], own, self.spec.objective, self.percent)

    def baseline(self, first: Trial) -> Arm:
        """Where production runs the defaults, their first run is one of production's."""
        twins = [b.trial for b in self.baselines if b.trial.name != first.name and self.same_as_production(b.trial)]
        firsts = [first, *twins] if first.name == self.production.name else [first]
        return arm_of(firsts, repeats_of(first, self.trials), self.spec.objective, self.percent, at_most=True)

    def rivals(self, candidate: Trial) -> list[Arm]:
        """The baselines that a candidate has to beat: those that it is not itself, each configuration once."""
        return [
            self.baseline(b.trial)
            for b in self.baselines
            if b.trial.name != candidate.name
            and (b.trial.spec.purpose is Purpose.PRODUCTION or not self.same_as_production(b.trial))
        ]


def _contested(ground: _Ground, gate: Gate, candidates: Sequence[Contender]) -> Gate:
    """`candidates` in their order."""
    ledger, refused = Ledger(), list[str]()
    for candidate in candidates:
        death = death_of(candidate.trial, ground.trials)
        if not ground.spec.promotion.confirmations:
            if death is None:
                return _unconfirmed(ground, replace(gate, refused=tuple(refused)), candidate)
            refused.append(_died_in(candidate.trial, death))
            continue
        if ledger.over:
            refused.append(
                f"{candidate.trial.name} was not repeated: after so many, one that seems better may be chance"
            )
            break
        verdict = contest(ground.candidate(candidate.trial), ground.rivals(candidate.trial), ledger, ground.terms)
        if verdict.standing is Standing.WON and death is None:
            return _won(ground, replace(gate, refused=tuple(refused)), candidate, verdict)
        if verdict.standing is Standing.OPEN:
            wanted = _wanted(ground, candidate.trial, verdict)
            return replace(gate, refused=tuple(refused), candidate=candidate.trial, wanted=wanted)
        won = verdict.standing is Standing.WON
        refused.append(
            _died_in(candidate.trial, death) if won and death else _objection(ground, candidate.trial, verdict)
        )
        ledger = verdict.after
    return replace(gate, refused=tuple(refused), over=ledger.over)


def _ordered(ground: _Ground, candidates: Sequence[Contender], believed: Mapping[int, float]) -> list[Contender]:
    """Those that were repeated or soaked first, in that order; then those that may win."""
    begun = {c.trial.name: repeats for c in candidates if (repeats := begun_with(c.trial, ground.trials))}
    known = [c for c in candidates if c.trial.name in begun]
    known.sort(key=lambda c: begun[c.trial.name][0].spec.number)
    others = [c for c in candidates if c.trial.name not in begun and _may_win(ground, c)]
    figures = {c.trial.spec.number: c.figure for c in others}
    worths = believed if figures.keys() <= believed.keys() else figures
    return [*known, *_by_changes_where_equal(others, worths, ground.production)]


def _by_changes_where_equal(
    those: Iterable[Contender], worths: Mapping[int, float], production: Trial
) -> list[Contender]:
    """Each time the best of those that are left, or who changes least among those within noise of it."""

    def worth(contender: Contender) -> float:
        return worths[contender.trial.spec.number]

    left = sorted(those, key=lambda c: (not c.serves_offered, not c.slos_met, -worth(c), c.trial.spec.number))
    order = list[Contender]()
    while left:
        best = left[0]
        equal = [c for c in left if _classed(c) == _classed(best) and worth(c) >= worth(best) * (1 - LEAST_NOISE)]
        chosen = min(equal, key=lambda c: _changes(c.trial, production))
        left.remove(chosen)
        order.append(chosen)
    return order


def _classed(contender: Contender) -> tuple[bool, bool]:
    return contender.serves_offered, contender.slos_met


def _changes(trial: Trial, production: Trial) -> tuple[int, int]:
    """Settings that differ from production's, then settings that differ from vLLM's own."""
    ours, theirs = trial.spec.parameters, production.spec.parameters
    return sum(ours.get(name) != theirs.get(name) for name in {*ours, *theirs}), len(ours)


def _may_win(ground: _Ground, candidate: Contender) -> bool:
    """By what was seen once. The defaults may win over production, unless they are what production runs already."""
    if ground.same_as_production(candidate.trial) or candidate.figure <= 0:
        return False
    rivals = ground.rivals(candidate.trial)
    return all(_seems_better(candidate, rival, ground.terms.ratio) for rival in rivals)


def _seems_better(candidate: Contender, rival: Arm, ratio: float) -> bool:
    """A configuration that breaks an SLO cannot follow one that holds all; one that holds all need not serve more."""
    met, offered = (rival.slos_met, rival.serves_offered) if not rival.dead else (False, False)
    if met > candidate.slos_met or offered > candidate.serves_offered:
        return False
    if candidate.slos_met > met and candidate.figure >= rival.sample.mean:
        return True
    return candidate.figure >= rival.sample.mean * ratio


def _wanted(ground: _Ground, candidate: Trial, verdict: Verdict) -> tuple[Wanted, ...]:
    """What the block lacks and is not under way yet."""
    rivals = [b.trial for b in ground.baselines if b.trial.name != candidate.name]
    lacking = [t for t in (*rivals, candidate) if str(t.spec.number) in verdict.wanted]
    return tuple(
        Wanted(t, Purpose.CONFIRM if t is candidate else t.spec.purpose, verdict.block + 1)
        for t in lacking
        if all(taught(repeat) for repeat in repeats_of(t, ground.trials))
    )


def _unconfirmed(ground: _Ground, gate: Gate, candidate: Contender) -> Gate:
    """The study wants no confirmations: the search's figure has to do, and nothing is shown."""
    gate = _soaked(ground, gate, candidate.trial)
    return replace(
        gate, winner=candidate, shown=_shown(ground, candidate.trial, Verdict(Standing.WON, 0, 0.0, Ledger()))
    )


def _won(ground: _Ground, gate: Gate, candidate: Contender, verdict: Verdict) -> Gate:
    arm = ground.candidate(candidate.trial).up_to(verdict.block)
    winner = Contender(candidate.trial, arm.sample.mean, arm.slos_met, arm.serves_offered)
    shown = _shown(ground, candidate.trial, verdict)
    gate = _soaked(ground, gate, candidate.trial)
    return replace(gate, winner=winner, shown=shown, confirmations=verdict.block)


def _soaked(ground: _Ground, gate: Gate, winner: Trial) -> Gate:
    owed = is_owed(ground.spec, winner, ground.trials)
    return replace(gate, soak=winner if owed else None, soaked_seconds=outlived_seconds(winner, ground.trials))


def _died_in(candidate: Trial, soak: Trial) -> str:
    return f"{candidate.name} did not outlive its worst-case load ({soak.name}: {soak.status.message})"


def _shown(ground: _Ground, candidate: Trial, verdict: Verdict) -> tuple[Shown, ...]:
    """Against each baseline, the better one first."""
    arm = ground.candidate(candidate).up_to(verdict.block)
    shown = list[Shown]()
    for rival in ground.rivals(candidate):
        known = rival.up_to(verdict.after.used(rival))
        trial = next(b.trial for b in ground.baselines if str(b.trial.spec.number) == rival.name)
        interval = ratio_interval(arm.sample, known.sample, verdict.chance * (1 - SLO_SHARE))
        bounds = (highest_figure_of(t, ground.spec.objective, ground.percent) for t in _runs(ground, trial))
        shown.append(Shown(trial, known.sample.mean, interval, any(bound is not None for bound in bounds)))
    return tuple(sorted(shown, key=lambda s: -s.figure))


def _runs(ground: _Ground, first: Trial) -> list[Trial]:
    return [first, *repeats_of(first, ground.trials)]


def _objection(ground: _Ground, candidate: Trial, verdict: Verdict) -> str:
    """What the repeats say against a candidate."""
    name, spec = candidate.name, ground.spec
    if verdict.standing is Standing.CRASHED:
        crashed = next(t for t in confirmations_of(candidate, ground.trials) if t.status.outcome is Outcome.CRASHED)
        return f"{name} crashed when it was repeated ({crashed.name}: {crashed.status.message})"
    against = next(s for s in _shown(ground, candidate, verdict) if str(s.trial.spec.number) == verdict.against)
    arm = ground.candidate(candidate).up_to(verdict.block)
    times = "1 repeat" if verdict.block == 1 else f"{verdict.block} repeats"
    gave = f"{name} gave {arm.sample.mean:.0f} {UNITS[spec.objective]} over {times}"
    if verdict.standing is Standing.SLO_BROKEN:
        return f"{gave}, with an SLO broken that {against.trial.name} holds"
    minimum = spec.promotion.minimum_improvement_percent
    found = f"{gave}, {improvement(arm.sample.mean, against)} over {against.trial.name}"
    if verdict.standing is Standing.UNPROVEN:
        return f"{found}: not enough to show {minimum} %; promotion.confirmations or a longer load would tell more"
    return f"{found}: further repeats would hardly show {minimum} %"


def improvement(figure: float, shown: Shown) -> str:
    """In percent with its interval, as in `+38 % (95 % interval +22..+57)`."""
    if shown.figure <= 0:
        return "more than nothing"
    best, low, high = (100 * (ratio - 1) for ratio in (figure / shown.figure, shown.ratio.low, shown.ratio.high))
    interval = f"{low:+.0f}..{high:+.0f}" if shown.ratio.high < MANY else f"{low:+.0f} or more"
    return f"{best:+.0f} % (95 % interval {interval})"


MANY = 1000.0
"""An interval that reaches further has no end that says anything."""


def _most_kept(spec: StudySpec) -> int:
    return spec.promotion.confirmations + len(BASELINES) * baseline_repeats(spec) + spare_repeats(spec)


def _kept(ground: _Ground, best: Contender | None) -> int:
    """Trials that the repeats will need: none for a baseline that crashed, one where it is clearly worse.

    Repeats of baselines that there are from a contest before are used again.
    """
    most, figure = ground.terms.baseline_repeats, best.figure if best else 0.0
    made = [(b, len(ground.baseline(b.trial).repeats)) for b in _repeatable(ground)]
    each = (max((min(most, 1) if figure >= CLEARLY_WORSE * b.figure else most) - count, 0) for b, count in made)
    spare = spare_repeats(ground.spec) if not any(count for _, count in made) else 0
    return ground.spec.promotion.confirmations + sum(each) + spare


def _least_kept(ground: _Ground) -> int:
    """Trials without which no candidate could win, however much better it were."""
    confirmations = ground.spec.promotion.confirmations
    missing = sum(not ground.baseline(b.trial).repeats for b in _repeatable(ground))
    return min(confirmations, LEAST_REPEATS) + (missing if confirmations else 0)


def _repeatable(ground: _Ground) -> list[Contender]:
    """Baselines that live, each configuration once."""
    live = [b for b in ground.baselines if b.trial.status.outcome is not Outcome.CRASHED]
    return [b for b in live if b.trial is ground.production or not ground.same_as_production(b.trial)]


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
