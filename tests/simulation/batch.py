"""Many schedules in several processes."""

import gc
import multiprocessing
import signal
import time
import traceback
from collections.abc import Iterable, Iterator

from tests.simulation.invariants import ViolationError
from tests.simulation.world import run

CHUNK = 10

SELDOM = (50_000, 20, 100)
"""Python's thresholds of garbage collection, by which it costs a tenth less; 700, 10 and 10 are its own."""


def attempt(seed: int) -> tuple[int, str, float]:
    """The seed, what is wrong with it, and the processor's seconds that it took."""
    begun = time.process_time()
    problem = ""
    try:
        run(seed)
    except ViolationError as error:
        problem = str(error)
    except Exception:  # noqa: BLE001 - whatever it is, the others go on
        problem = traceback.format_exc()
    return seed, problem, time.process_time() - begun


def attempts(seeds: Iterable[int], jobs: int) -> Iterator[tuple[int, str, float]]:
    """Of all seeds, as they end."""
    if jobs == 1:
        collect_seldom()
        yield from map(attempt, seeds)
        return
    with multiprocessing.get_context("forkserver").Pool(jobs, _begin) as pool:
        yield from pool.imap_unordered(attempt, seeds, chunksize=CHUNK)


def _begin() -> None:
    """Ctrl-C is the first process's business, which ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_seldom()


def collect_seldom() -> None:
    """Of this process, from now on."""
    gc.freeze()
    gc.set_threshold(*SELDOM)
