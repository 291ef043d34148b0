"""95 % confidence intervals for goodput and for the share within each SLO, by a block bootstrap over time.

Requests that are due at the same time meet the same queue and the same batch, so they are not independent; blocks of
time are resampled instead of requests (Carlstein, 1986; Lahiri, "Resampling Methods for Dependent Data", 2003). What is
assumed: requests more than a block apart do not depend on each other, and the window is of one kind throughout. Where
a queue grows over the window, the trend is taken for noise and the interval is too wide rather than too narrow; where
a queue lasts for longer than a block, it is too narrow: tests/bench/intervals.py has how often it covers the truth.

When requests arrived and how many tokens they asked for is taken as it was: the interval is of the share of the
offered tokens that was good, times all offered tokens. So it says what another run of these very requests on this
server could give, not what another start of the server would: that is for repeats to say.

Two mends for small samples, both towards wider intervals. With n blocks, percentiles are taken further out by
sqrt(n / (n - 1)) and Student's t (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015). And no interval
is narrower than Wilson's for as many independent requests, since a bootstrap of requests that were all good would
claim certainty.
"""

from collections.abc import Sequence
from functools import cache
from math import ceil, erf, floor, sqrt
from random import Random

from sloguard.api.v1alpha1 import SLO, Interval, Metric, RateMeasurement, TimeBlocks

from .goodput import RequestRecord

BLOCKS = 10
"""Of a window; with more and shorter ones, requests of different blocks would share a queue too often."""

RESAMPLES = 1000
SEED = 0
"""The same sums always have the same interval."""

Z = 1.959964
"""97.5 % of a normal distribution lie below."""

T = 2.262157
"""97.5 % of Student's distribution with BLOCKS - 1 degrees of freedom lie below."""

TAIL = (1 - erf(T * sqrt(BLOCKS / (BLOCKS - 1)) / sqrt(2))) / 2
"""How much to leave out at each end: 0.86 %, where 2.5 % would do for endless blocks."""


def sum_blocks(
    records: Sequence[RequestRecord], slos: Sequence[SLO], duration_seconds: int, rate_percent: int
) -> TimeBlocks:
    """Of each tenth of the window in which requests were due."""
    columns = [[0] * BLOCKS for _ in range(2 + 2 * len(slos))]
    for record in records:
        block = min(record.due_microseconds * BLOCKS // (duration_seconds * 1_000_000), BLOCKS - 1)
        columns[0][block] += record.wanted_tokens
        if all(record.keeps(slo) for slo in slos):
            columns[1][block] += record.wanted_tokens
        for place, slo in enumerate(slos):
            within, of = _held(record, slo)
            columns[2 + 2 * place][block] += within
            columns[3 + 2 * place][block] += of
    return TimeBlocks(rate_percent=rate_percent, columns=columns)


def _held(record: RequestRecord, slo: SLO) -> tuple[int, int]:
    """How many of a request's values are within the limit, and how many there are: as `hold_slos` counts them."""
    if slo.metric is not Metric.ITL:
        return int(record.keeps(slo)), 1
    if not record.completed:
        return 0, max(1, record.wanted_tokens - 1)
    return _within(record.gaps_microseconds, slo.milliseconds * 1000), len(record.gaps_microseconds)


def _within(gaps: Sequence[int], limit: int) -> int:
    if not gaps or max(gaps) <= limit:
        return len(gaps)
    return sum(gap <= limit for gap in gaps)


def with_intervals(measurement: RateMeasurement, blocks: TimeBlocks) -> RateMeasurement:
    """The measurement with what the blocks say about its error.

    Unchanged where nothing was sent, where the blocks are of something else, and where the rate was ended early: its
    figures are bounds already.
    """
    columns = blocks.columns
    fitting = len(columns) == 2 + 2 * len(measurement.slos) and all(len(column) == BLOCKS for column in columns)
    if not measurement.sent or measurement.censored or not fitting or not sum(columns[0]):
        return measurement
    draws = _draws()
    offered, sent = sum(columns[0]), measurement.sent
    low, high = _interval(columns[1], columns[0], draws, sent)
    tokens = Interval(low=floor(low * offered), high=ceil(high * offered))
    slos = [
        slo.model_copy(update={"share_interval_basis_points": _share(columns[at], columns[at + 1], draws, sent)})
        for at, slo in zip(range(2, len(columns), 2), measurement.slos, strict=True)
    ]
    return measurement.model_copy(update={"good_tokens_interval": tokens, "slos": slos})


def _share(within: Sequence[int], of: Sequence[int], draws: Sequence[Sequence[int]], sent: int) -> Interval | None:
    if not sum(of):
        return None
    low, high = _interval(within, of, draws, sent)
    return Interval(low=floor(low * 10_000), high=ceil(high * 10_000))


@cache
def _draws() -> list[list[int]]:
    random, places = Random(SEED), range(BLOCKS)
    return [random.choices(places, k=BLOCKS) for _ in range(RESAMPLES)]


def _interval(
    part: Sequence[int], whole: Sequence[int], draws: Sequence[Sequence[int]], requests: int
) -> tuple[float, float]:
    """Of the share that a part has of the whole, from 0 to 1."""
    low, high = wilson(sum(part) / sum(whole), requests)
    shares = sorted(_shares(part, whole, draws))
    if not shares:
        return low, high
    last = len(shares) - 1
    return min(low, shares[floor(TAIL * last)]), max(high, shares[ceil((1 - TAIL) * last)])


def _shares(part: Sequence[int], whole: Sequence[int], draws: Sequence[Sequence[int]]) -> list[float]:
    """Of each resample; one that drew only empty blocks says nothing."""
    sums = ((sum(map(part.__getitem__, draw)), sum(map(whole.__getitem__, draw))) for draw in draws)
    return [some / every for some, every in sums if every]


def wilson(share: float, count: int, z: float = Z) -> tuple[float, float]:
    """Confidence for a share that was seen among so many independent trials (Wilson, 1927); 95 %, or what `z` says."""
    centre = share + z**2 / (2 * count)
    half = z * sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    scale = 1 + z**2 / count
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)
