"""What the ledger of another study is worth to margin-bo: `python -m tests.bench.transfer --help`.

An earlier study of 15 trials leaves its records: on the same card (the same land with another seed), or on a related
one (the same physics and model on a larger card). The study itself then runs with and without them, seed by seed
against the same noise. Both know their card. Same command, same table.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from statistics import fmean, stdev
from types import ModuleType

from sloguard.api.v1alpha1 import OptimizerName, Outcome
from sloguard.domain.ledger import Ledger, LedgerRecord, Setup
from sloguard.domain.result import Result
from sloguard.optimizer import Optimizer, make_optimizer
from tests.bench.lands.land import GIB, Land, noise_seed
from tests.bench.optimizers import LANDS, land, recommended_worths

EARLIER_TRIALS = 15
EARLIER_SEEDS = 10_000
"""An earlier study has the seed of the later one and so much more."""

RELATED_CARDS_GIB = {
    "tight": 32,
    "quant": 32,
    "serving_death": 94,
    "benign": 94,
    "noisy": 32,
    "misleading": 40,
    "recorded": 32,
}
LEDGERS = ("none", "same", "related")
BUDGETS = (15, 30)

COLUMNS = (
    *("land", "trials", "ledger from", "regret %, mean ± sd", "crash %", "crashes against without"),
    *("regret less by (points)", "t", "seeds won / lost"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One study with a budget."""

    land: str
    ledger: str
    seed: int
    budget: int
    regret_percent: float
    crash_percent: float


def setup(name: str, card_gib: float) -> Setup:
    """The model is the land's."""
    return Setup(gpu_memory_bytes=round(card_gib * GIB), model=name, vllm_version="0.33.0")


def card_of(name: str) -> float:
    """Of the land as it is, in GiB."""
    module = _loaded("tight" if name == "noisy" else name)
    return getattr(module, _card_name(module)).vram_gib


def related(name: str, card_gib: float) -> Land:
    """The same land on another card: its module once more, with that card."""
    module = _loaded("tight" if name == "noisy" else name)
    setattr(module, _card_name(module), replace(getattr(module, _card_name(module)), vram_gib=card_gib))
    return replace(land(name), truth=module.truth)


def _loaded(name: str) -> ModuleType:
    spec = spec_from_file_location(f"related_{name}", Path(__file__).parent / "lands" / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _card_name(module: ModuleType) -> str:
    return "LARGER" if hasattr(module, "LARGER") else "CARD"


def margin_bo(where: Land, seed: int, ledger: Ledger) -> Optimizer:
    return make_optimizer(OptimizerName.MARGIN_BO, where.space, noise_seed(where.name, seed), ledger)


def studied(where: Land, search: Optimizer, seed: int, trials: int) -> list[Result]:
    """Production, defaults, then what is asked for."""
    history = [where.measure(0, where.production, seed), where.measure(1, {}, seed)]
    while len(history) < trials:
        suggestion = search.ask(history, [])
        if suggestion is None:
            break
        history.append(where.measure(len(history), suggestion.parameters, seed))
    return history


def left_by(name: str, kind: str, seed: int) -> Ledger:
    """What the study of this land starts with."""
    here = setup(name, card_of(name))
    if kind == "none":
        return Ledger(here)
    card = card_of(name) if kind == "same" else RELATED_CARDS_GIB[name]
    before = land(name) if kind == "same" else related(name, card)
    there = setup(name, card)
    earlier = seed + EARLIER_SEEDS
    history = studied(before, margin_bo(before, earlier, Ledger(there)), earlier, EARLIER_TRIALS)
    records = (
        LedgerRecord.of(result, before.space.context, study="earlier", run=str(seed), setup=there) for result in history
    )
    return Ledger(here, tuple(records))


def run(name: str, kind: str, seed: int, budgets: Sequence[int] = BUDGETS) -> list[Row]:
    """One study as long as the largest budget; smaller ones are its beginnings."""
    where = land(name)
    search = margin_bo(where, seed, left_by(name, kind, seed))
    history = studied(where, search, seed, max(budgets))
    worths = recommended_worths(where, history, search)
    return [
        Row(
            where.name,
            kind,
            seed,
            budget,
            100 * max(0.0, 1 - worths[min(budget, len(worths)) - 1] / where.oracle),
            100 * fmean(result.outcome is Outcome.CRASHED for result in history[:budget]),
        )
        for budget in budgets
    ]


def table(rows: Iterable[Row]) -> str:
    """Markdown: one line for each land, budget and ledger, compared seed by seed with the study without."""
    groups: dict[tuple[str, int, str], dict[int, Row]] = {}
    for row in rows:
        groups.setdefault((row.land, row.budget, row.ledger), {})[row.seed] = row
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    return "\n".join([*lines, *(_line(key, group, groups) for key, group in sorted(groups.items(), key=_place))])


def _place(group: tuple[tuple[str, int, str], object]) -> tuple[int, int, int]:
    name, budget, ledger = group[0]
    return LANDS.index(name.replace("-", "_")), budget, LEDGERS.index(ledger)


def _line(key: tuple[str, int, str], rows: dict[int, Row], groups: dict[tuple[str, int, str], dict[int, Row]]) -> str:
    regrets = [row.regret_percent for row in rows.values()]
    crash = fmean(row.crash_percent for row in rows.values())
    cells = [*map(str, key), f"{fmean(regrets):.1f} ± {stdev(regrets) if len(regrets) > 1 else 0:.1f}", f"{crash:.1f}"]
    without = groups.get((*key[:2], "none"), {})
    seeds = sorted(set(rows) & set(without)) if key[2] != "none" else []
    if len(seeds) < 2:
        return f"| {' | '.join([*cells, *'----'])} |"
    before = fmean(without[seed].crash_percent for seed in seeds)
    gains = [without[seed].regret_percent - rows[seed].regret_percent for seed in seeds]
    t = fmean(gains) / (stdev(gains) or math.inf) * math.sqrt(len(gains))
    won, lost = (sum(sign * gain > 0.1 for gain in gains) for sign in (1, -1))
    cells += [f"{crash / before:.2f}" if before else "-", f"{fmean(gains):+.1f}", f"{t:.1f}", f"{won} / {lost}"]
    return f"| {' | '.join(cells)} |"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.transfer", description=__doc__)
    parser.add_argument("--lands", nargs="+", default=LANDS, choices=LANDS)
    parser.add_argument("--ledgers", nargs="+", default=LEDGERS, choices=LEDGERS)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=500)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    given = parser.parse_args(arguments)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    print(
        table(
            row
            for name in given.lands
            for seed in seeds
            for kind in given.ledgers
            for row in run(name, kind, seed, given.budgets)
        )
    )


if __name__ == "__main__":
    main(sys.argv[1:])
