"""What stopping early saves and what it loses, on lands whose truth is known: python -m tests.bench.early_stop --help

Each study is searched to the end of its budget once; every rule then says where it would have stopped. Saved are the
trials after that, lost is what recommending the best of those before it, not of all, gives away (points of the
oracle). The rule is the engine's own (sloguard/engine/early_stop.py), with other figures.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
IN_A_ROW = (2, 3, 5)
BUDGETS = (19, 49)
"""Trials of a search in a study of 30 and of 60, the others being kept for repeats."""


@dataclass(frozen=True, slots=True)
class Search:
    """One study. `chances` of each ask, from the third trial on; `worths` (of the oracle) and minutes after each."""

    land: str
    chances: Sequence[float | None]
    worths: Sequence[float]
    minutes: Sequence[float]

    def stops(self, chance: float, in_a_row: int, budget: int) -> int:
        """After how many trials."""
        low = 0
        for known, promised in enumerate(self.chances[: budget - 2], start=2):
            low = low + 1 if promised is not None and promised <= chance else 0
            if low >= in_a_row and known >= LEAST_KNOWN:
                return known
        return min(budget, len(self.worths))


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
    while len(history) < trials:
        suggestion = asked.ask(history, [])
        if suggestion is None:
            break
        lacking = baseline * (1 + MINIMUM) / _best(history) - 1 if baseline and _best(history) else MINIMUM
        chances.append(chance_of(prediction_of(suggestion), lacking if lacking > 0 else MINIMUM))
        history.append(where.measure(len(history), suggestion.parameters, seed))
    worths = [worth / where.oracle for worth in recommended_worths(where, history, asked)]
    minutes = [sum(r.gpu_seconds for r in history[: i + 1]) / 60 for i in range(len(history))]
    return Search(where.name, chances, worths, minutes)


def _best(history: Sequence[Result]) -> float:
    return max((r.objective or 0.0 for r in history if r.outcome is Outcome.FEASIBLE), default=0.0)


def judged(searches: Sequence[Search], chance: float, in_a_row: int, budget: int) -> Cell:
    """A rule's worth over these studies."""
    ends = [(s, s.stops(chance, in_a_row, budget), min(budget, len(s.worths))) for s in searches]
    return Cell(
        trials_saved=fmean(1 - end / most for _, end, most in ends),
        minutes_saved=fmean(1 - s.minutes[end - 1] / s.minutes[most - 1] for s, end, most in ends),
        regret=fmean(1 - s.worths[most - 1] for s, _, most in ends),
        lost=fmean(s.worths[most - 1] - s.worths[end - 1] for s, end, most in ends),
    )


def tables(searches: Sequence[Search], budgets: Sequence[int]) -> Iterator[str]:
    """Rules over all lands, then the engine's own for each land."""
    yield "| trials | chance at most | in a row | trials saved % | GPU-minutes saved % | lost (points) | worst land |"
    yield "|---|---|---|---|---|---|---|"
    lands = list(dict.fromkeys(s.land for s in searches))
    for budget in budgets:
        for chance in CHANCES:
            for in_a_row in IN_A_ROW:
                yield _rule_line(searches, lands, chance, in_a_row, budget)
    yield ""
    yield "| land | trials | regret without % | trials saved % | GPU-minutes saved % | lost (points) |"
    yield "|---|---|---|---|---|---|"
    for name in lands:
        own = [s for s in searches if s.land == name]
        for budget in budgets:
            cell = judged(own, LEAST_CHANCE, ASKS, budget)
            yield f"| {name} | {budget} | {100 * cell.regret:.1f} | {_saved(cell)} | {100 * cell.lost:.2f} |"


def _rule_line(searches: Sequence[Search], lands: Sequence[str], chance: float, in_a_row: int, budget: int) -> str:
    cell = judged(searches, chance, in_a_row, budget)
    each = {name: judged([s for s in searches if s.land == name], chance, in_a_row, budget) for name in lands}
    worst = max(lands, key=lambda name: each[name].lost)
    named = f"{worst} {100 * each[worst].lost:.2f}"
    return f"| {budget} | {chance:.0%} | {in_a_row} | {_saved(cell)} | {100 * cell.lost:.2f} | {named} |"


def _saved(cell: Cell) -> str:
    return f"{100 * cell.trials_saved:.0f} | {100 * cell.minutes_saved:.0f}"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.early_stop", description=__doc__)
    parser.add_argument("--lands", nargs="+", default=LANDS, choices=LANDS)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    given = parser.parse_args(arguments)
    searches = [search(land(name), seed, max(given.budgets)) for name in given.lands for seed in range(given.seeds)]
    print("\n".join(tables(searches, given.budgets)))


if __name__ == "__main__":
    main(sys.argv[1:])
