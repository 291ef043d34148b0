"""What stopping early saves and what it loses, on lands whose truth is known: python -m tests.bench.early_stop --help

Each study is searched to the end of its budget once; every rule then says where it would have stopped. Saved are the
trials after that, lost is what recommending the best of those before it, not of all, gives away (points of the
oracle). The rules are the engine's own (sloguard/engine/early_stop.py) with other figures, and, to compare, one that
goes by the improvement that is expected for each minute of a GPU. `--served` is about the other end, `AllServed`: the
same lands, where no more is offered than a share of what the best configuration could serve.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from sloguard.api.v1alpha1 import OptimizerName, Outcome
from sloguard.domain.result import Result
from sloguard.engine.candidates import prediction_of
from sloguard.engine.early_stop import ASKS, LEAST_CHANCE, LEAST_KNOWN, chance_of
from sloguard.optimizer import make_optimizer
from tests.bench.lands.land import Land, noise_seed
from tests.bench.optimizers import LANDS, land, recommended_worths

MINIMUM = 0.05
"""`promotion.minimumImprovementPercent` by default."""

CHANCES = (0.01, 0.02, 0.05, 0.1, 0.2)
GAINS = (0.0001, 0.0003, 0.001)
"""Expected improvement for each minute of a GPU, as a share of the best."""

IN_A_ROW = (2, 3, 5)
OFFERED = (0.6, 0.8, 0.95, 1.2)
"""Of what the best configuration serves."""

BUDGETS = (19, 49)
"""Trials of a search in a study of 30 and of 60, the others being kept for repeats."""


@dataclass(frozen=True, slots=True)
class Search:
    """One study. `chances` and `gains` (a minute) of each ask, from the third trial on; `worths` (of the oracle), the
    best measured `figures` (tokens/s) and minutes after each trial. `baseline` is the better of production's and the
    defaults', 0 where neither held the SLOs.
    """

    land: str
    chances: Sequence[float | None]
    gains: Sequence[float | None]
    figures: Sequence[float]
    baseline: float
    worths: Sequence[float]
    minutes: Sequence[float]

    def stops(self, least: float, in_a_row: int, budget: int, *, by_gain: bool = False) -> int:
        """After how many trials."""
        low = 0
        for known, promised in enumerate((self.gains if by_gain else self.chances)[: budget - 2], start=2):
            low = low + 1 if promised is not None and promised <= least else 0
            if low >= in_a_row and known >= LEAST_KNOWN:
                return known
        return min(budget, len(self.worths))

    def all_served(self, most: float, budget: int) -> int:
        """After how many trials `AllServed` ends it, where `most` tokens/s are all that is offered."""
        wanted = max(most / (1 + MINIMUM), self.baseline * (1 + MINIMUM))
        for known, figure in enumerate(self.figures[:budget], start=1):
            if known >= LEAST_KNOWN and figure >= wanted:
                return known
        return min(budget, len(self.worths))


@dataclass(frozen=True)
class Offered(Land):
    """A land on which no more than `most` (tokens/s) is asked for, so that nobody measures more."""

    most: float = 0.0

    @classmethod
    def of(cls, where: Land, share: float) -> "Offered":
        """`share` of what the best configuration of that land serves."""
        most = share * where.oracle
        fields = {name: getattr(where, name) for name in Land.__dataclass_fields__}

        def truth(values):
            found = where.truth(values)
            return replace(found, goodput=min(found.goodput, most))

        return cls(**fields | {"truth": truth}, most=most)

    def measure(self, number, values, seed):
        """No noise makes more of it than was asked for."""
        found = super().measure(number, values, seed)
        return found if found.objective is None else replace(found, objective=min(found.objective, self.most))


@dataclass(frozen=True, slots=True)
class Cell:
    """Means over studies."""

    trials_saved: float
    minutes_saved: float
    regret: float
    lost: float


def search(where: Land, seed: int, trials: int, optimizer: OptimizerName = OptimizerName.MARGIN_BO) -> Search:
    """One study, to its end."""
    asked = make_optimizer(optimizer, where.space, noise_seed(where.name, seed))
    history = [where.measure(0, where.production, seed), where.measure(1, {}, seed)]
    baseline = _best(history)
    chances: list[float | None] = []
    gains: list[float | None] = []
    while len(history) < trials:
        suggestion = asked.ask(history, [])
        if suggestion is None:
            break
        lacking = baseline * (1 + MINIMUM) / _best(history) - 1 if baseline and _best(history) else MINIMUM
        chances.append(chance_of(prediction_of(suggestion), lacking if lacking > 0 else MINIMUM))
        gains.append(_gain_a_minute(suggestion.predicted))
        history.append(where.measure(len(history), suggestion.parameters, seed))
    worths = [worth / where.oracle for worth in recommended_worths(where, history, asked)]
    minutes = [sum(r.gpu_seconds for r in history[: i + 1]) / 60 for i in range(len(history))]
    figures = [_best(history[: i + 1]) for i in range(len(history))]
    return Search(where.name, chances, gains, figures, baseline, worths, minutes)


def _gain_a_minute(predicted: Mapping[str, float]) -> float | None:
    """Expected improvement times the chance to meet the SLOs, as a share of the best; None where there is no best."""
    names = ("expected_improvement", "feasible_probability", "best_objective", "expected_minutes")
    gain, met, best, minutes = (predicted.get(name) for name in names)
    return gain * met / best / minutes if gain is not None and met is not None and best and minutes else None


def _best(history: Sequence[Result]) -> float:
    return max((r.objective or 0.0 for r in history if r.outcome is Outcome.FEASIBLE), default=0.0)


def judged(searches: Sequence[Search], least: float, in_a_row: int, budget: int, *, by_gain: bool = False) -> Cell:
    """A rule's worth over these studies."""
    return _cell([(s, s.stops(least, in_a_row, budget, by_gain=by_gain)) for s in searches], budget)


def _cell(ended: Sequence[tuple[Search, int]], budget: int) -> Cell:
    ends = [(s, end, min(budget, len(s.worths))) for s, end in ended]
    return Cell(
        trials_saved=fmean(1 - end / most for _, end, most in ends),
        minutes_saved=fmean(1 - s.minutes[end - 1] / s.minutes[most - 1] for s, end, most in ends),
        regret=fmean(1 - s.worths[most - 1] for s, _, most in ends),
        lost=fmean(s.worths[most - 1] - s.worths[end - 1] for s, end, most in ends),
    )


def served_table(names: Sequence[str], seeds: int, budget: int, offered: Sequence[float] = OFFERED) -> Iterator[str]:
    """What `AllServed` saves and loses, by how much is offered."""
    yield "| land | offered, % of the best | trials | ended by AllServed % | trials saved % | lost (points) |"
    yield "|---|---|---|---|---|---|"
    for name in names:
        for share in offered:
            where = Offered.of(land(name), share)
            found = [search(where, seed, budget) for seed in range(seeds)]
            ended = [(one, one.all_served(where.most, budget)) for one in found]
            cell, fired = _cell(ended, budget), fmean(end < len(s.worths) for s, end in ended)
            yield (
                f"| {name} | {100 * share:.0f} | {budget} | {100 * fired:.0f} | {100 * cell.trials_saved:.0f} "
                f"| {100 * cell.lost:.2f} |"
            )


def tables(searches: Sequence[Search], budgets: Sequence[int]) -> Iterator[str]:
    """Rules over all lands, then the engine's own for each land."""
    yield "| trials | at most | in a row | trials saved % | GPU-minutes saved % | lost (points) | worst land |"
    yield "|---|---|---|---|---|---|---|"
    lands = list(dict.fromkeys(s.land for s in searches))
    for budget in budgets:
        for chance in CHANCES:
            for in_a_row in IN_A_ROW:
                yield _rule_line(searches, lands, chance, in_a_row, budget)
        for gain in GAINS:
            for in_a_row in IN_A_ROW:
                yield _rule_line(searches, lands, gain, in_a_row, budget, by_gain=True)
    yield ""
    yield "| land | trials | regret without % | trials saved % | GPU-minutes saved % | lost (points) |"
    yield "|---|---|---|---|---|---|"
    for name in lands:
        own = [s for s in searches if s.land == name]
        for budget in budgets:
            cell = judged(own, LEAST_CHANCE, ASKS, budget)
            yield f"| {name} | {budget} | {100 * cell.regret:.1f} | {_saved(cell)} | {100 * cell.lost:.2f} |"


def _rule_line(
    searches: Sequence[Search],
    lands: Sequence[str],
    least: float,
    in_a_row: int,
    budget: int,
    *,
    by_gain: bool = False,
) -> str:
    cell = judged(searches, least, in_a_row, budget, by_gain=by_gain)
    own = {name: [s for s in searches if s.land == name] for name in lands}
    lost = {name: judged(own[name], least, in_a_row, budget, by_gain=by_gain).lost for name in lands}
    worst = max(lands, key=lambda name: lost[name])
    rule = f"{100 * least:.2f} % a minute" if by_gain else f"{least:.0%} chance"
    named = f"{worst} {100 * lost[worst]:.2f}"
    return f"| {budget} | {rule} | {in_a_row} | {_saved(cell)} | {100 * cell.lost:.2f} | {named} |"


def _saved(cell: Cell) -> str:
    return f"{100 * cell.trials_saved:.0f} | {100 * cell.minutes_saved:.0f}"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.early_stop", description=__doc__)
    parser.add_argument("--lands", nargs="+", default=LANDS, choices=LANDS)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    parser.add_argument("--served", action="store_true", help="AllServed instead, at the first budget")
    given = parser.parse_args(arguments)
    if given.served:
        print("\n".join(served_table(given.lands, given.seeds, given.budgets[0])))
        return
    searches = [search(land(name), seed, max(given.budgets)) for name in given.lands for seed in range(given.seeds)]
    print("\n".join(tables(searches, given.budgets)))


if __name__ == "__main__":
    main(sys.argv[1:])
