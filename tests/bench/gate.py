"""What the gate lets through and what it costs, on simulated studies: python -m tests.bench.gate [--quick]

A study here is production at 1, the defaults below it, and candidates with true figures, each of which was seen once
in the search, with noise. A rule then repeats what it wants and recommends a candidate or none. The reference is the
rule that SLO-Guard had before: candidates best first, the mean of all their confirmations against one measurement of
each baseline. Everything follows from seeds.
"""

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import fmean

from sloguard.domain.contest import Arm, Ledger, Run, Standing, Terms, contest

Draw = Callable[[Random], float]

PRODUCTION, DEFAULTS = -1, -2
DEFAULTS_AT = 0.8


def normal(random: Random) -> float:
    return random.gauss(0, 1)


def heavy_tailed(random: Random) -> float:
    """Student's t with three degrees of freedom, scaled to a standard deviation of 1."""
    return random.gauss(0, 1) / math.sqrt(random.gammavariate(1.5, 2))


def lumpy(random: Random) -> float:
    """Mostly good, a quarter of the time far off: what saturation looks like."""
    return -math.sqrt(3) if random.random() < 0.25 else 1 / math.sqrt(3)


@dataclass(frozen=True)
class Noise:
    """Standard deviation of one run over its mean, and its shape; and of an SLO whose limit is just what is met."""

    name: str
    candidate: float
    baseline: float
    shape: Draw = normal
    slo: float = 0.0

    def of(self, arm: int, true: float) -> float:
        """Of a run of this arm."""
        del true
        return self.baseline if arm < 0 else self.candidate


OFFERED = 1.6
"""Of production's figure: who serves that much serves everything."""


@dataclass(frozen=True)
class RecordedNoise(Noise):
    """As exact repeats of recorded vLLM servers: equal where all is served, and 3, 39 and 42 % apart past saturation.

    shared/recordings, tight24, `top`: 1840 and 3408, 544 and 960, 3696 and 3520 good tokens in eight seconds.
    """

    def of(self, arm: int, true: float) -> float:
        del arm
        return 0.005 if true >= OFFERED else 0.28


@dataclass
class World:
    """One study after its search. `true` are the candidates' figures over production's."""

    true: Sequence[float]
    noise: Noise
    random: Random
    minimum: float = 0.0
    repeats: int = 3
    room: int = 12
    made: int = 0
    first: list[Run] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.first = [self.run(arm) for arm in range(len(self.true))]
        self.baselines = {arm: self.run(arm) for arm in (PRODUCTION, DEFAULTS)}
        self.made = 0

    def beats(self, run: Run, baselines: Mapping[int, Run] | None = None) -> bool:
        """By single figures, as the rule before had it, or by what is known of the baselines since."""
        return all(
            not (held(other) > held(run))
            and (
                (held(run) > held(other) and run.figure >= other.figure)
                or run.figure >= other.figure * (1 + self.minimum)
            )
            for other in (baselines or self.baselines).values()
        )

    def figure(self, arm: int) -> float:
        """The truth."""
        return {PRODUCTION: 1.0, DEFAULTS: DEFAULTS_AT}.get(arm) or self.true[arm]

    def run(self, arm: int) -> Run:
        """One trial."""
        self.made += 1
        true = self.figure(arm)
        figure = max(true * (1 + self.noise.of(arm, true) * self.noise.shape(self.random)), 0.0)
        ratio = math.exp(self.noise.slo * self.random.gauss(0, 1)) if self.noise.slo else 0.0
        return Run(figure, ratio, ratio)

    def search(self) -> None:
        """One more candidate, as good as one of those that there are."""
        self.true = [*self.true, self.true[self.random.randrange(len(self.true))]]
        self.first.append(self.run(len(self.true) - 1))

    @property
    def full(self) -> bool:
        return self.made >= self.room

    def ranked(self, baselines: Mapping[int, Run] | None = None) -> list[int]:
        """Candidates by what the search saw, as far as that beats the baselines."""
        able = [arm for arm, run in enumerate(self.first) if self.beats(run, baselines)]
        return sorted(able, key=lambda a: (not held(self.first[a]), -self.first[a].figure))


def held(run: Run) -> bool:
    return run.slo_ratio <= 1


Rule = Callable[[World], int | None]


def before(world: World) -> int | None:
    """The reference: the mean of all confirmations against one measurement of each baseline."""
    for arm in world.ranked():
        runs: list[Run] = []
        while len(runs) < world.repeats and not world.full:
            runs.append(world.run(arm))
            worst = max(run.slo_ratio for run in (world.first[arm], *runs))
            if not world.beats(Run(fmean(run.figure for run in runs), worst, worst)):
                break
        else:
            return arm if len(runs) == world.repeats else None
    return None


def gate(world: World) -> int | None:
    """Best first, through the gate."""
    return _contested(world, world.ranked(), {})


def screened(world: World, top: int = 3, near: float = 0.9) -> int | None:
    """Those that the search saw close together once more, then best first by that, through the gate."""
    order = world.ranked()
    close = [arm for arm in order[:top] if world.first[arm].figure >= near * world.first[order[0]].figure]
    close = close if len(close) > 1 else []
    seen = {arm: [world.first[arm], world.run(arm)] for arm in close}
    ranked = sorted(close, key=lambda arm: -seen[arm][1].figure)
    return _contested(world, [*ranked, *order[len(close) :]], seen)


def elimination(world: World, top: int = 3, rounds: int = 2) -> int | None:
    """The best of the search are repeated together first; who falls behind the leader by more than noise is out."""
    order = world.ranked()
    seen = {arm: [world.first[arm]] for arm in order}
    live = order[:top]
    for _ in range(rounds if len(live) > 1 else 0):
        for arm in live:
            seen[arm].append(world.run(arm))
        live = _not_behind(live, seen)
    screened = sorted(order[:top], key=lambda a: -_mean(seen[a][1:] or seen[a]))
    return _contested(world, [*screened, *order[top:]], seen)


def _not_behind(live: Sequence[int], seen: dict[int, list[Run]]) -> list[int]:
    spread = math.sqrt(fmean(_variance(seen[arm]) for arm in live) / len(seen[live[0]]))
    best = max(_mean(seen[arm]) for arm in live)
    return [arm for arm in live if _mean(seen[arm]) >= best - 2 * spread]


def _mean(runs: Sequence[Run]) -> float:
    return fmean(run.figure for run in runs)


def _variance(runs: Sequence[Run]) -> float:
    mean = _mean(runs)
    return max(sum((run.figure - mean) ** 2 for run in runs) / max(len(runs) - 1, 1), (0.01 * mean) ** 2)


def ocba(world: World, top: int = 4, extra: int = 5) -> int | None:
    """Optimal computing budget allocation (Chen 2000) over the best of the search, then the gate."""
    order = world.ranked()
    seen = {arm: [world.first[arm]] for arm in order}
    live = order[:top]
    if len(live) > 1:
        for arm in live:
            seen[arm].append(world.run(arm))
        for _ in range(extra - len(live)):
            arm = _neediest(live, seen)
            seen[arm].append(world.run(arm))
    screened = sorted(live, key=lambda a: -_mean(seen[a][1:] or seen[a]))
    return _contested(world, [*screened, *order[top:]], seen)


def _neediest(live: Sequence[int], seen: dict[int, list[Run]]) -> int:
    """The arm whose share of runs lags most behind OCBA's: (noise/distance to the best)^2, and the best's own."""
    pooled = fmean(_variance(seen[arm]) for arm in live)
    best = max(live, key=lambda a: _mean(seen[a]))
    gaps = {a: max(_mean(seen[best]) - _mean(seen[a]), 1e-3) for a in live if a != best}
    wanted = {a: pooled / gap**2 for a, gap in gaps.items()}
    wanted[best] = math.sqrt(sum(share**2 for share in wanted.values()))
    return max(live, key=lambda a: wanted[a] / len(seen[a]))


def _contested(world: World, order: Sequence[int], seen: dict[int, list[Run]]) -> int | None:
    """Each through the gate in turn, until one wins or the room or the error is spent."""
    state = _Contests(world)
    for number in order:
        verdict = state.contested(number, seen.get(number, [world.first[number]]))
        if verdict is Standing.WON:
            return number
        if verdict is Standing.OPEN or state.ledger.over:
            break
    return None


def resumed(world: World) -> int | None:
    """Through the gate, and on with the search while all that was found is refused: five more at a time.

    A candidate found later is held against the repeats that there are, and chosen for seeming better than they do.
    """
    state, settled = _Contests(world), set[int]()
    while not state.ledger.over and not world.full:
        number = next((arm for arm in world.ranked(state.baseline_means()) if arm not in settled), None)
        if number is None:
            for _ in range(LATER):
                world.search()
            continue
        settled.add(number)
        verdict = state.contested(number, [world.first[number]])
        if verdict is Standing.WON:
            return number
        if verdict is Standing.OPEN:
            return None
    return None


LATER = 5


class _Contests:
    """What one study's contests have seen and spent."""

    def __init__(self, world: World) -> None:
        self.world, self.ledger = world, Ledger()
        self.terms = Terms(1 + world.minimum, world.repeats, world.repeats)
        self.baselines = {str(arm): Arm(str(arm), (run,)) for arm, run in world.baselines.items()}

    def baseline_means(self) -> dict[int, Run]:
        """As they are known by now."""
        return {int(name): replace(arm.runs[0], figure=arm.sample.mean) for name, arm in self.baselines.items()}

    def contested(self, number: int, seen: Sequence[Run]) -> Standing:
        """With all the repeats it takes; OPEN when there was no room for them."""
        candidate = Arm(str(number), tuple(seen))
        verdict = contest(candidate, list(self.baselines.values()), self.ledger, self.terms)
        while verdict.standing is Standing.OPEN:
            for name in verdict.wanted:
                if self.world.full:
                    return Standing.OPEN
                run = self.world.run(int(name))
                if name == candidate.name:
                    candidate = replace(candidate, repeats=(*candidate.repeats, run))
                else:
                    arm = self.baselines[name]
                    self.baselines[name] = replace(arm, repeats=(*arm.repeats, run))
            verdict = contest(candidate, list(self.baselines.values()), self.ledger, self.terms)
        self.ledger = verdict.after
        return verdict.standing


@dataclass(frozen=True)
class Tally:
    """Of many studies."""

    recommended: float
    best: float
    """Share of studies in which the truly best candidate was recommended."""
    false: float
    """Share in which what was recommended is not better than production by the minimum."""
    regret: float
    """What serving the recommendation (production where there is none) gives away of the best there is, mean."""
    trials: float


def simulate(rule: Rule, worlds: Callable[[Random], World], studies: int, seed: int) -> Tally:
    """Every rule meets the same studies."""
    picks: list[tuple[World, int | None]] = []
    for number in range(studies):
        world = worlds(Random(f"{seed} {number}"))
        picks.append((world, rule(world)))
    served = [1.0 if pick is None else world.true[pick] for world, pick in picks]
    best = [max(*world.true, 1.0) for world, _ in picks]
    return Tally(
        recommended=fmean(pick is not None for _, pick in picks),
        best=fmean(pick is not None and w.true[pick] == max(w.true) for w, pick in picks),
        false=fmean(pick is not None and w.true[pick] <= 1 + w.minimum for w, pick in picks),
        regret=fmean(1 - got / most for got, most in zip(served, best, strict=True)),
        trials=fmean(world.made for world, _ in picks),
    )


NOISES = (
    Noise("1 %", 0.01, 0.01),
    Noise("5 %", 0.05, 0.05),
    Noise("20 %", 0.2, 0.2),
    Noise("20 %, heavy tails", 0.2, 0.2, heavy_tailed),
    Noise("20 %, lumpy", 0.2, 0.2, lumpy),
    Noise("5 %, an SLO at its limit", 0.05, 0.05, slo=0.1),
    Noise("candidates 20 %, baselines 1 %", 0.2, 0.01),
    Noise("candidates 1 %, baselines 20 %", 0.01, 0.2),
    Noise("candidates 20 %, lumpy, baselines 1 %", 0.2, 0.01, lumpy),
)

CANDIDATES = 15


FEW, LONG = 2, 60
"""Candidates of a first search, few enough to leave error for those that come later; and trials after it."""


def nulls(noise: Noise, repeats: int = 3, candidates: int = CANDIDATES, room: int = 12) -> Callable[[Random], World]:
    """No candidate is better than production; the search shows the luckiest of many."""
    return lambda random: World([1.0] * candidates, noise, random, repeats=repeats, room=room)


def one_better(noise: Noise, by: float, repeats: int = 3) -> Callable[[Random], World]:
    """One candidate is better, the others worse."""
    return lambda random: World([1 + by, *[0.9] * 9], noise, random, repeats=repeats)


def mixed(noise: Noise) -> Callable[[Random], World]:
    """Twenty candidates around production, as a search finds them: a few better, most worse."""

    def world(random: Random) -> World:
        true = [min(0.95 * math.exp(random.gauss(0, 0.25)), OFFERED) for _ in range(20)]
        return World(true, noise, random, minimum=0.05)

    return world


RULES: dict[str, Rule] = {
    "before": before,
    "gate, best first": gate,
    "gate, screened": screened,
    "gate after elimination": elimination,
    "gate after OCBA": ocba,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few studies: shows that it runs, no figures to quote")
    parser.add_argument("--studies", type=int, default=2000)
    arguments = parser.parse_args()
    print_tables(40 if arguments.quick else arguments.studies)


def print_tables(studies: int) -> None:
    """False recommendations, power, and which rule for the order of repeats."""
    _print_errors(studies)
    _print_power(studies // 2)
    _print_selection(studies // 2)


def _print_errors(studies: int) -> None:
    print(f"\nFalse recommendations: {CANDIDATES} candidates, all equal to production ({studies} studies)\n")
    print("| noise of a run | before: false | gate: false | ratio | before: repeats | gate: repeats | resumed: false |")
    print("|---|---|---|---|---|---|---|")
    for noise in NOISES:
        old, new = (simulate(rule, nulls(noise), studies, 1) for rule in (before, gate))
        later = simulate(resumed, nulls(noise, candidates=FEW, room=LONG), studies, 1)
        print(
            f"| {noise.name} | {old.false:.1%} | {new.false:.1%} | {_ratio(new.false, old.false)} | "
            f"{old.trials:.1f} | {new.trials:.1f} | {later.false:.1%} |",
            flush=True,
        )


def _ratio(new: float, old: float) -> str:
    return f"{new / old:.2f}" if old else "-"


EFFECTS = (0.05, 0.1, 0.2, 0.5, 1.0)


def _print_power(studies: int) -> None:
    print(f"\nPower and (repeats) of the gate: one candidate is better, nine are worse by 10 % ({studies} studies)\n")
    print(f"| noise of a run | {' | '.join(f'+{effect:.0%}' for effect in EFFECTS)} |\n|---|{'---|' * len(EFFECTS)}")
    for noise in NOISES:
        cells = [simulate(gate, one_better(noise, effect), studies, 2) for effect in EFFECTS]
        print(f"| {noise.name} | {' | '.join(f'{c.best:.0%} ({c.trials:.1f})' for c in cells)} |", flush=True)


def _print_selection(studies: int) -> None:
    print(f"\nWhich repeats first: 20 candidates around production, at least 5 % wanted ({studies} studies)\n")
    print(
        "| noise | rule | best found | false | regret | repeats | regret over before |\n|---|---|---|---|---|---|---|"
    )
    for noise in (
        Noise("1 %", 0.01, 0.01),
        Noise("5 %", 0.05, 0.05),
        Noise("20 %", 0.2, 0.2),
        RecordedNoise("recorded", 0, 0),
    ):
        reference = simulate(before, mixed(noise), studies, 3)
        for name, rule in RULES.items():
            found = simulate(rule, mixed(noise), studies, 3)
            print(
                f"| {noise.name} | {name} | {found.best:.0%} | {found.false:.1%} | {found.regret:.1%} | "
                f"{found.trials:.1f} | {_ratio(found.regret, reference.regret)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
