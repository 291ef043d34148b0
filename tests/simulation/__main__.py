"""`python -m tests.simulation --schedules 10000 --jobs 2`, or `--seed N -v` for one of them, told line by line."""

import argparse
import sys
import time

from tests.simulation.batch import attempts
from tests.simulation.invariants import ViolationError
from tests.simulation.world import run


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
    begun, failed, worked = time.monotonic(), 0, 0.0
    for seed, problem, seconds in attempts(seeds, jobs):
        worked += seconds
        if problem:
            failed += 1
            print(f"seed {seed}: {problem}", flush=True)
    took = time.monotonic() - begun
    print(f"{len(seeds)} schedules, {failed} failed, {took:.0f} s; {1000 * worked / len(seeds):.0f} ms of a core each")
    print("one of them again: python -m tests.simulation --seed N -v")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
