"""How long an ask takes, and what the asking process holds, with a long history known: python -m tests.bench.ask --help

The history is production, the defaults and configurations drawn at random, all measured on a land, so that every
optimizer answers the same questions: one with the whole history, and one with each of its latest beginnings. Each runs
in a process of its own. Milliseconds are of CPU, and are put against the reference's in the same run.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from random import Random
from statistics import median

from sloguard.domain.result import Result
from tests.bench.lands.land import Land, noise_seed
from tests.bench.optimizers import LANDS, ONE_THREAD, land, make, peak_mib

GOALS = "goals: 40 ms in the median, 100 at the most, 200 MiB"


@dataclass(frozen=True, slots=True)
class Asked:
    """Milliseconds of each ask, and MiB of the process at its peak."""

    milliseconds: tuple[float, ...]
    peak_mib: float


def measured(name: str, optimizer: str, known: int, asks: int) -> Asked:
    """In a process of its own, where nothing else has been imported."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(asked, name, optimizer, known, asks).result()


def asked(name: str, optimizer: str, known: int, asks: int) -> Asked:
    """The first ask of all imports what it needs, and is not counted."""
    where = land(name)
    history = drawn(where, known)
    ours = make(optimizer)(where.space, noise_seed(name))
    ours.ask(history, [])
    times: list[float] = []
    for left_out in range(asks):
        began = time.process_time()
        ours.ask(history[: known - left_out], [])
        times.append(1000 * (time.process_time() - began))
    return Asked(tuple(times), peak_mib())


def drawn(where: Land, known: int) -> list[Result]:
    """So many trials, of configurations that break no rule."""
    rng = Random(f"ask {where.name}")
    wanted = [where.production, {}, *filter(None, (where.space.sample(rng) for _ in range(known - 2)))]
    return [where.measure(number, values, 0) for number, values in enumerate(wanted)]


def table(lands: Sequence[str], optimizers: Sequence[str], histories: Sequence[int], asks: int) -> str:
    """Markdown; the last optimizer is the reference."""
    lines = [
        "| land | trials known | optimizer | ms an ask (most) | of the reference's | MiB at the peak |",
        "|---" * 6 + "|",
    ]
    for name in lands:
        for known in histories:
            found = {optimizer: measured(name, optimizer, known, asks) for optimizer in optimizers}
            reference = median(found[optimizers[-1]].milliseconds)
            lines += [_line(name, known, optimizer, told, reference) for optimizer, told in found.items()]
    return "\n".join(lines)


def _line(name: str, known: int, optimizer: str, told: Asked, reference: float) -> str:
    usual, most = median(told.milliseconds), max(told.milliseconds)
    ratio = f"{usual / reference:.2f}" if reference else "-"
    return f"| {name} | {known} | {optimizer} | {usual:.0f} ({most:.0f}) | {ratio} | {told.peak_mib:.0f} |"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ask", description=__doc__)
    parser.add_argument("--lands", nargs="+", default=("quant", "recorded"), choices=LANDS)
    parser.add_argument("--optimizers", nargs="+", default=("margin-bo", "constrained-bo", "tpe"), metavar="NAME")
    parser.add_argument("--known", type=int, nargs="+", default=(30, 100, 500))
    parser.add_argument("--asks", type=int, default=15)
    given = parser.parse_args(arguments)
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    print(table(given.lands, given.optimizers, given.known, given.asks))
    print(f"\n{GOALS}")


if __name__ == "__main__":
    main(sys.argv[1:])
