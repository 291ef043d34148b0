"""What the optimizers are worth on lands whose truth is known.

    python -m tests.bench.optimizers                                  # random and tpe, 7 lands, 30 seeds
    python -m tests.bench.optimizers --optimizers random tpe margin-bo optuna-tpe --against margin-bo --jobs 2
    python -m tests.bench.optimizers --read rows.jsonl --against margin-bo      # tables of rows kept with --rows

Each run is a study: production, vLLM's defaults, then what the optimizer asks for. All optimizers meet the same noise
(it depends on land, seed and configuration only), so that differences are paired. Figures follow the study as a user
would: what is recommended is the feasible configuration that the optimizer's model believes in, or the best measured
one where it has no model, and its worth is its true goodput, nothing where it truly breaks an SLO. Same command, same
table, but for the column of times.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean, median

from sloguard.api.v1alpha1 import OptimizerName, Outcome
from sloguard.domain.result import Result
from sloguard.optimizer import Optimizer, Space, believed, make_optimizer
from tests.bench.lands.land import Land, noise_seed
from tests.bench.optimizer_tables import Row, brief, comparison, memory_table, table
from tests.bench.references import NEEDS_TORCH, REFERENCES, reference
from tests.bench.torch_cache import MISSING, has_torch, install_torch

LANDS = ("tight", "quant", "serving_death", "benign", "noisy", "misleading", "recorded")
CURVES = ("tight_curve", "quant_curve", "serving_death_curve")
"""The same lands, of which a trial measures several rates; not in the table unless asked for."""

BUDGETS = (15, 30, 60)
NEAR_ORACLE = 0.95

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Of linear algebra: an ask is to take one core, and two studies run beside each other."""

Task = tuple[str, str, int, tuple[int, ...]]
"""Land, optimizer, seed, budgets."""


def land(name: str) -> Land:
    return import_module(f"tests.bench.lands.{name}").LAND


def make(name: str) -> Callable[[Space, int], Optimizer]:
    """One of sloguard's optimizers, or a reference of `tests/bench/references.py`."""
    if name in REFERENCES:
        return reference(name)
    return lambda space, seed: make_optimizer(OptimizerName(name), space, seed)


def search(where: Land, optimizer: str, seed: int, trials: int) -> tuple[list[Result], list[float]]:
    """The trials of one study, and the seconds of CPU that each ask took."""
    asked = make(optimizer)(where.space, noise_seed(where.name, seed))
    history: list[Result] = []
    if not getattr(asked, "starts_cold", False):
        history = [where.measure(0, where.production, seed), where.measure(1, {}, seed)]
    ask_seconds: list[float] = []
    while len(history) < trials:
        began = time.process_time()
        suggestion = asked.ask(history, [])
        ask_seconds.append(time.process_time() - began)
        if suggestion is None:
            break
        history.append(where.measure(len(history), suggestion.parameters, seed))
    return history, ask_seconds


def run(where: Land, optimizer: str, seed: int, budgets: Sequence[int] = BUDGETS) -> list[Row]:
    """One study as long as the largest budget; smaller ones are its beginnings."""
    history, ask_seconds = search(where, optimizer, seed, max(budgets))
    known = len(history) - len(ask_seconds)
    worths = recommended_worths(where, history, make(optimizer)(where.space, noise_seed(where.name, seed)))
    return [
        _row(where, optimizer, seed, budget, history[:budget], ask_seconds[: budget - known], worths[:budget])
        for budget in budgets
    ]


def _row(
    where: Land,
    optimizer: str,
    seed: int,
    budget: int,
    history: Sequence[Result],
    ask_seconds: Sequence[float],
    worths: Sequence[float],
) -> Row:
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
        ask_ms=1000 * median(ask_seconds),
        ask_peak_ms=1000 * max(ask_seconds),
    )


def recommended_worths(where: Land, history: Sequence[Result], optimizer: Optimizer) -> list[float]:
    """After each trial, what the configuration that would be recommended then is truly worth."""
    found = (recommended(history[: known + 1], optimizer) for known in range(len(history)))
    return [0.0 if best is None else where.truth_of(best.parameters).worth for best in found]


def recommended(history: Sequence[Result], optimizer: Optimizer) -> Result | None:
    """Of those that held the SLOs, the one that the optimizer's model believes in, or the one with the best figure."""
    held = [r for r in history if r.outcome is Outcome.FEASIBLE and r.objective is not None]
    worths = believed(optimizer, history) if held else {}
    if not {result.number for result in held} <= worths.keys():
        worths = {result.number: result.objective for result in held}
    return max(held, key=lambda result: worths[result.number], default=None)


def run_task(task: Task) -> list[Row]:
    """In whatever process; lands are cheap to load, their oracle takes a second."""
    where, optimizer, seed, budgets = task
    return run(land(where), optimizer, seed, budgets)


def run_all(tasks: Sequence[Task], jobs: int) -> Iterator[list[Row]]:
    """As they end; seeds, not processes, decide what comes out."""
    if jobs == 1:
        yield from map(run_task, tasks)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for done in as_completed([pool.submit(run_task, task) for task in tasks]):
            yield done.result()


def memory_mib(where: str, optimizer: str, trials: int) -> tuple[float, float]:
    """Of a process that does nothing but ask: when its first ask is due, and at its peak."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_asked_alone, where, optimizer, trials).result()


def _asked_alone(where: str, optimizer: str, trials: int) -> tuple[float, float]:
    start = peak_mib()
    search(land(where), optimizer, 0, trials)
    return start, peak_mib()


def peak_mib() -> float:
    """Of this program since it began; `getrusage` would count what its parent held when it was forked."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024


def rank(row: Row) -> tuple[int, int]:
    """Lands in their order, then budgets; optimizers as they were given."""
    return (*LANDS, *CURVES).index(row.land.replace("-", "_")), row.budget


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.optimizers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lands", nargs="+", default=LANDS, choices=(*LANDS, *CURVES))
    names = [*REFERENCES, *(name.value for name in OptimizerName)]
    parser.add_argument("--optimizers", nargs="+", default=["random", "tpe"], choices=names, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS)
    parser.add_argument("--jobs", type=int, default=1, help="studies beside each other, each in a process of its own")
    parser.add_argument("--rows", type=Path, help="one JSON line for each study and budget, added to this file")
    parser.add_argument("--read", type=Path, nargs="+", help="run nothing: tables of rows that --rows kept")
    parser.add_argument("--against", metavar="NAME", help="also compare this optimizer with the others, paired by seed")
    parser.add_argument("--brief", action="store_true", help="one line for each optimizer: regret / crash")
    parser.add_argument("--memory", action="store_true", help="also what the asking process holds")
    parser.add_argument("--install", action="store_true", help="torch for optuna-gp, into the tests' cache: 3 GB, once")
    return parser


def main(arguments: Sequence[str]) -> None:
    given = _parser().parse_args(arguments)
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    if given.install:
        install_torch()
    optimizers = list(given.optimizers)
    if not given.read and NEEDS_TORCH in optimizers and not has_torch():
        optimizers.remove(NEEDS_TORCH)
        print(f"{MISSING}.\n")
    rows = _read(given.read) if given.read else _measured(given, optimizers)
    rows.sort(key=rank)
    print(brief(rows, given.budgets) if given.brief else table(rows))
    if given.against:
        print(f"\n{comparison(rows, given.against)}")
    if given.memory:
        trials = max(given.budgets)
        print(f"\n{memory_table({name: memory_mib(given.lands[0], name, trials) for name in optimizers}, trials)}")


def _read(files: Sequence[Path]) -> list[Row]:
    rows = [Row(**json.loads(line)) for file in files for line in file.read_text().splitlines()]
    order = list(dict.fromkeys(row.optimizer for row in rows))
    return sorted(rows, key=lambda row: (order.index(row.optimizer), row.seed))


def _measured(given: argparse.Namespace, optimizers: Sequence[str]) -> list[Row]:
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    # Seed by seed, so that what was kept of a run that was stopped compares as it is.
    tasks = [
        (name, optimizer, seed, tuple(given.budgets))
        for seed in seeds
        for name in given.lands
        for optimizer in optimizers
    ]
    rows: list[Row] = []
    for found in run_all(tasks, given.jobs):
        rows += found
        if given.rows:
            with given.rows.open("a") as file:
                file.writelines(json.dumps(asdict(row)) + "\n" for row in found)
    rows.sort(key=lambda row: (optimizers.index(row.optimizer), row.seed))
    return rows


if __name__ == "__main__":
    main(sys.argv[1:])
