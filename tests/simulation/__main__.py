"""`python -m tests.simulation --schedules 10000 --jobs 2`, or `--seed N -v` for one of them, told line by line."""

import argparse
import contextlib
import signal
import sys
import threading
import time

from tests.simulation.batch import attempts
from tests.simulation.invariants import ViolationError
from tests.simulation.world import run

TOLD_EACH = 1000
"""Schedules, of a long run's progress."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--schedules", type=int, default=1000, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("-v", "--verbose", action="store_true", help="tell what happens")
    options = parser.parse_args()
    if options.seed is not None:
        return _one(options.seed, verbose=options.verbose)
    return _many(range(options.first, options.first + options.schedules), options.jobs)


def _one(seed: int, *, verbose: bool) -> int:
    try:
        world = run(seed)
    except ViolationError as error:
        print(error.world.story() if verbose else "")
        print(f"seed {seed}: {error}")
        return 1
    print(world.story() if verbose else "")
    print(f"seed {seed}: well, after {world.loop.time() / 60:.0f} minutes of its time")
    return 0


def _many(seeds: range, jobs: int) -> int:
    begun, done, failed, worked = time.monotonic(), 0, 0, 0.0
    ended = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        # In this process a schedule goes on to its end, for less than a second; others may be gone by then.
        signal.signal(sign, signal.default_int_handler if jobs > 1 else lambda *_: ended.set())
    with contextlib.suppress(KeyboardInterrupt):
        for done, (seed, problem, seconds) in enumerate(attempts(seeds, jobs), 1):
            worked += seconds
            if problem:
                failed += 1
                print(f"seed {seed}: {problem}", flush=True)
            if done % TOLD_EACH == 0:
                print(f"{done} of {len(seeds)}, {failed} failed", file=sys.stderr, flush=True)
            if ended.is_set():
                break
    took, of_all = time.monotonic() - begun, "" if done == len(seeds) else f" of {len(seeds)}"
    each = 1000 * worked / max(done, 1)
    print(f"{done}{of_all} schedules, {failed} failed, {took:.0f} s; {each:.0f} ms of a core each")
    if done < len(seeds):
        return 130
    print("one of them again: python -m tests.simulation --seed N -v")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
