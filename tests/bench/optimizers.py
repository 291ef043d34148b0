"""What the optimizers are worth on lands whose truth is known: `python -m tests.bench.optimizers --help`.

Each run is a study: production, vLLM's defaults, then what the optimizer asks for. All optimizers meet the same noise
(it depends on land, seed and configuration only), so that differences are paired. Figures follow the study as a user
would: what is recommended is the best measured feasible configuration, and its worth is its true goodput, nothing where
it truly breaks an SLO. Same command, same table, but for the column of times.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from statistics import fmean, median, stdev

from sloguard.api.v1alpha1 import OptimizerName, Outcome
from sloguard.domain.result import Result
from sloguard.optimizer import Optimizer, Space, make_optimizer
from tests.bench.lands.land import Land, noise_seed
from tests.bench.references import REFERENCES

LANDS = ("tight", "quant", "serving_death", "benign", "noisy", "misleading", "recorded")
BUDGETS = (15, 30, 60)
NEAR_ORACLE = 0.95

COLUMNS = (
    *("land", "trials", "optimizer", "regret %, mean ± sd", "crash %", "GPU-min"),
    *("trials to 95 % (share)", "GPU-min to 95 %", "duplicates %", "ms an ask"),
)

Make = Callable[[Space, int], Optimizer]


@dataclass(frozen=True, slots=True)
class Row:
    """One study, looked at when its budget was `budget` trials."""

    land: str
    optimizer: str
    seed: int
    budget: int
    regret_percent: float
    crash_percent: float
    gpu_minutes: float
    duplicate_percent: float
    trials_to_near: float
    minutes_to_near: float
    ask_ms: float


def land(name: str) -> Land:
    return import_module(f"tests.bench.lands.{name}").LAND


def make(name: str) -> Make:
    """One of sloguard's optimizers, or a reference of `tests/bench/references.py`."""
    if name in REFERENCES:
        return REFERENCES[name]
    return lambda space, seed: make_optimizer(OptimizerName(name), space, seed)


def run(where: Land, optimizer: str, seed: int, budgets: Sequence[int] = BUDGETS) -> list[Row]:
    """One study as long as the largest budget; smaller ones are its beginnings."""
    search = make(optimizer)(where.space, noise_seed(where.name, seed))
    history = [where.measure(0, where.production, seed), where.measure(1, {}, seed)]
    ask_seconds: list[float] = []
    while len(history) < max(budgets):
        began = time.process_time()
        suggestion = search.ask(history, [])
        ask_seconds.append(time.process_time() - began)
        if suggestion is None:
            break
        history.append(where.measure(len(history), suggestion.parameters, seed))
    return [_row(where, optimizer, seed, budget, history[:budget], ask_seconds) for budget in budgets]


def _row(
    where: Land, optimizer: str, seed: int, budget: int, history: Sequence[Result], ask_seconds: Sequence[float]
) -> Row:
    worths = recommended_worths(where, history)
    near = next((i + 1 for i, worth in enumerate(worths) if worth >= NEAR_ORACLE * where.oracle), math.inf)
    spent = [sum(r.gpu_seconds for r in history[: i + 1]) / 60 for i in range(len(history))]
    keys = {where.space.key(result.parameters) for result in history}
    return Row(
        land=where.name,
        optimizer=optimizer,
        seed=seed,
        budget=budget,
        regret_percent=100 * max(0.0, 1 - worths[-1] / where.oracle),
        crash_percent=100 * fmean(result.outcome is Outcome.CRASHED for result in history),
        gpu_minutes=spent[-1],
        duplicate_percent=100 * (1 - len(keys) / len(history)),
        trials_to_near=near,
        minutes_to_near=math.inf if math.isinf(near) else spent[int(near) - 1],
        ask_ms=1000 * median(ask_seconds[: budget - 2]),
    )


def recommended_worths(where: Land, history: Sequence[Result]) -> list[float]:
    """After each trial, what the best measured feasible configuration so far is truly worth."""
    worths: list[float] = []
    best = -math.inf
    worth = 0.0
    for result in history:
        if result.outcome is Outcome.FEASIBLE and result.objective is not None and result.objective > best:
            best = result.objective
            worth = where.truth_of(result.parameters).worth
        worths.append(worth)
    return worths


def table(rows: Iterable[Row]) -> str:
    """Markdown: one line for each land, budget and optimizer."""
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.land, row.budget, row.optimizer), []).append(row)
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    return "\n".join([*lines, *(_line(key, group) for key, group in groups.items())])


def _line(key: tuple[str, int, str], rows: Sequence[Row]) -> str:
    regrets = [row.regret_percent for row in rows]
    reached = [row.trials_to_near for row in rows]
    share = fmean(not math.isinf(trials) for trials in reached)
    return (
        f"| {key[0]} | {key[1]} | {key[2]} | {fmean(regrets):.1f} ± {stdev(regrets) if len(rows) > 1 else 0:.1f} "
        f"| {fmean(row.crash_percent for row in rows):.0f} | {fmean(row.gpu_minutes for row in rows):.0f} "
        f"| {_or_dash(median(reached))} ({share:.0%}) | {_or_dash(median(row.minutes_to_near for row in rows))} "
        f"| {fmean(row.duplicate_percent for row in rows):.0f} | {median(row.ask_ms for row in rows):.0f} |"
    )


def _or_dash(figure: float) -> str:
    return "-" if math.isinf(figure) else f"{figure:.0f}"


def comparison(rows: Sequence[Row], ours: str) -> str:
    """Paired by seed: how much less regret `ours` has than each other, with t and the share of seeds it wins."""
    regret = {(row.land, row.budget, row.optimizer, row.seed): row.regret_percent for row in rows}
    lines = [
        f"| land | trials | {ours} against | regret less by (points) | t | effect size d | seeds won / lost |",
        "|---|---|---|---|---|---|---|",
    ]
    for where, budget, other in dict.fromkeys((row.land, row.budget, row.optimizer) for row in rows):
        if other == ours:
            continue
        seeds = [key[3] for key in regret if key[:3] == (where, budget, ours)]
        gains = [regret[where, budget, other, seed] - regret[where, budget, ours, seed] for seed in seeds]
        if len(gains) < 2:
            continue
        spread = stdev(gains) or math.inf
        effect = fmean(gains) / spread
        won, lost = (sum(sign * gain > 0.1 for gain in gains) for sign in (1, -1))
        lines.append(
            f"| {where} | {budget} | {other} | {fmean(gains):+.1f} | {effect * math.sqrt(len(gains)):.1f} "
            f"| {effect:.2f} | {won} / {lost} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.optimizers", description=__doc__)
    parser.add_argument("--lands", nargs="+", default=LANDS, choices=LANDS)
    parser.add_argument("--optimizers", nargs="+", default=["random", "tpe"])
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    parser.add_argument("--rows", type=Path, help="one JSON line for each study and budget, added to this file")
    parser.add_argument("--against", metavar="NAME", help="also compare this optimizer with the others, paired by seed")
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    for name in given.lands:
        where = land(name)
        for optimizer in given.optimizers:
            for seed in range(given.first_seed, given.first_seed + given.seeds):
                rows += run(where, optimizer, seed, given.budgets)
    if given.rows:
        with given.rows.open("a") as file:
            file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)
    rows.sort(key=lambda row: (LANDS.index(row.land.replace("-", "_")), row.budget))
    print(table(rows))
    if given.against:
        print(f"\n{comparison(rows, given.against)}")


if __name__ == "__main__":
    main(sys.argv[1:])
