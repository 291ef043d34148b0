"""How often the 95 % interval of a share within an SLO holds the truth, where requests share a queue.

One server serves 600 requests of a minute in turn (Poisson arrivals, lognormal service: M/G/1), so a long queue spoils
many neighbours at once. The truth is the mean share over many runs, of the same arrivals (as a trial that is repeated)
or of fresh ones. Beside it stands Wilson's interval, which takes requests as independent.

    python -m tests.bench.intervals [--runs 200]
"""

import argparse
from random import Random
from statistics import mean

from sloguard.api.v1alpha1 import SLO, Metric, RateMeasurement
from sloguard.domain.confidence import sum_blocks, wilson, with_intervals
from sloguard.domain.goodput import Ending, RequestRecord, hold_slos

REQUESTS = 600
SECONDS = 60
CASES = ((0.5, 100), (0.8, 200), (0.8, 800), (0.95, 500))
"""How busy the server is, and the limit for the wait, in milliseconds."""


def arrivals(random):
    return sorted(random.random() * SECONDS for _ in range(REQUESTS))


def waits_seconds(random, due, load):
    free, mean_seconds = 0.0, load * SECONDS / REQUESTS
    for at in due:
        begun = max(free, at)
        free = begun + mean_seconds * random.lognormvariate(-0.5, 1.0)
        yield begun - at


def one_run(seed, load, *, fixed):
    random = Random(seed)
    due = arrivals(Random("arrivals") if fixed else random)
    return due, list(waits_seconds(random, due, load))


def intervals(due, waits, limit_milliseconds):
    """Ours, and Wilson's."""
    limits = [SLO(metric=Metric.TTFT, milliseconds=limit_milliseconds)]
    records = [a_record(at, wait) for at, wait in zip(due, waits, strict=True)]
    held = hold_slos(records, limits)
    measurement = RateMeasurement(
        rate_percent=100,
        requests_per_minute=REQUESTS,
        duration_milliseconds=SECONDS * 1000,
        sent=len(records),
        completed=len(records),
        good=held[0].within,
        prompt_tokens=0,
        output_tokens=len(records),
        good_tokens=held[0].within,
        slos=held,
    )
    found = with_intervals(measurement, sum_blocks(records, limits, SECONDS, 100)).slos[0].share_interval_basis_points
    return (found.low / 10_000, found.high / 10_000), wilson(held[0].within / len(records), len(records))


def a_record(at, wait):
    microseconds = int(wait * 1e6)
    return RequestRecord(
        due_microseconds=int(at * 1e6),
        prompt_tokens=1,
        wanted_tokens=1,
        ending=Ending.COMPLETED,
        ttft_microseconds=microseconds,
        e2e_microseconds=microseconds,
    )


def coverage(load, limit_milliseconds, *, fixed, runs):
    """The truth, and of both intervals the share that holds it and the mean width."""
    truths = (one_run(f"truth {seed}", load, fixed=fixed)[1] for seed in range(2 * runs))
    truth = mean(mean(wait * 1000 <= limit_milliseconds for wait in waits) for waits in truths)
    found = [intervals(*one_run(seed, load, fixed=fixed), limit_milliseconds) for seed in range(runs)]
    pairs = list(zip(*found, strict=True))
    covered = [mean(low <= truth <= high for low, high in kind) for kind in pairs]
    return truth, covered, [mean(high - low for low, high in kind) for kind in pairs]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args(arguments).runs
    print("| server busy | limit | arrivals | true share | covered: block bootstrap | independent | width | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for load, limit in CASES:
        for fixed in (True, False):
            truth, (ours, wilsons), (width, narrow) = coverage(load, limit, fixed=fixed, runs=runs)
            print(
                f"| {load:.0%} | {limit} ms | {'the same' if fixed else 'fresh'} | {truth:.1%} "
                f"| {ours:.1%} | {wilsons:.1%} | {width:.1%} | {width / narrow:.1f} |"
            )


if __name__ == "__main__":
    main()
