"""Requests as one run would have them, and from the same requests what the client counts and what the server counts."""

from array import array
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from random import Random

from sloguard.api.v1alpha1 import SLO, Metric
from sloguard.domain.goodput import Ending, RequestRecord
from sloguard.domain.increments import Series, between
from sloguard.domain.measured_rate import measured_rate
from sloguard.domain.server_view import (
    HISTOGRAMS,
    OPEN_GAUGES,
    OUTPUT_LENGTHS,
    PROMPT_LENGTHS,
    QUEUE_TIME,
    under_way,
    window_of,
)
from sloguard.simulator.metrics import REQUEST_EDGES, TOKEN_EDGES, TTFT_EDGES, one_two_five_edges

EDGES = {
    HISTOGRAMS[Metric.TTFT]: TTFT_EDGES,
    HISTOGRAMS[Metric.ITL]: TOKEN_EDGES,
    HISTOGRAMS[Metric.TPOT]: TOKEN_EDGES,
    HISTOGRAMS[Metric.E2E]: REQUEST_EDGES,
    QUEUE_TIME: REQUEST_EDGES,
    PROMPT_LENGTHS: one_two_five_edges(4096),
    OUTPUT_LENGTHS: one_two_five_edges(4096),
}
SERVER_MAY_FINISH = {Ending.CUT_OFF, Ending.SERVER_ERROR, Ending.STALLED}
SERVER_MAY_BEGIN = {*SERVER_MAY_FINISH, Ending.TIMED_OUT, Ending.UNFINISHED}


@dataclass
class Page:
    """One engine's /metrics as it goes on counting."""

    labels: tuple[tuple[str, str], ...]
    counts: dict[str, list[int]] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)
    open: int = 0

    def observe(self, family, value):
        counts = self.counts.setdefault(family, [0] * (len(EDGES[family]) + 1))
        counts[bisect_left(EDGES[family], value)] += 1
        self.sums[family] = self.sums.get(family, 0.0) + value

    def begin(self, record):
        self.observe(HISTOGRAMS[Metric.TTFT], record.ttft_microseconds / 1e6)
        for gap in record.gaps_microseconds:
            self.observe(HISTOGRAMS[Metric.ITL], gap / 1e6)

    def finish(self, record, queue_microseconds=0):
        ttft, e2e = record.ttft_microseconds, record.e2e_microseconds
        if record.wanted_tokens > 1:
            self.observe(HISTOGRAMS[Metric.TPOT], (e2e - ttft) / 1e6 / (record.wanted_tokens - 1))
        self.observe(HISTOGRAMS[Metric.E2E], e2e / 1e6)
        self.observe(QUEUE_TIME, queue_microseconds / 1e6)
        self.observe(PROMPT_LENGTHS, record.prompt_tokens)
        self.observe(OUTPUT_LENGTHS, record.wanted_tokens)

    def samples(self):
        told = {Series(OPEN_GAUGES[0], self.labels): float(self.open)}
        for family, counts in self.counts.items():
            below = 0
            for edge, count in zip([*EDGES[family], "+Inf"], counts, strict=True):
                below += count
                told[Series(f"{family}_bucket", (*self.labels, ("le", str(edge))))] = float(below)
            told[Series(f"{family}_sum", self.labels)] = self.sums[family]
        return told


def a_request(random, scale):
    tokens = random.choice([1, 2, random.randrange(1, 6), random.randrange(1, 30)])
    # on an edge or a limit now and then, where everything is decided
    gaps = array("I", [random.choice([10_000, 25_000, int(random.expovariate(1 / scale))]) for _ in range(tokens - 1)])
    ttft = random.choice([250_000, int(random.lognormvariate(0, 1.5) * scale * 10)])
    return RequestRecord(
        due_microseconds=0,
        prompt_tokens=random.randrange(1, 300),
        wanted_tokens=tokens,
        ending=Ending.COMPLETED,
        ttft_microseconds=ttft,
        gaps_microseconds=gaps,
        e2e_microseconds=ttft + sum(gaps),
    )


LIMITS = {
    Metric.TTFT: (10, 60, 100, 250, 333, 700, 2500),
    Metric.ITL: (10, 17, 25, 60, 100, 450),
    Metric.TPOT: (10, 17, 25, 60, 100, 450),
    Metric.E2E: (100, 300, 450, 1000, 3000, 9000),
}


def some_slos(random):
    metrics = random.sample(sorted(LIMITS), random.randrange(1, 5))
    return [
        SLO(metric=m, percentile=random.choice([50, 90, 99, 100]), milliseconds=random.choice(LIMITS[m]))
        for m in metrics
    ]


@dataclass
class Case:
    """`finished` are the requests that the server ended within the window; `records` what the client saw of its own."""

    slos: list[SLO]
    records: list[RequestRecord]
    finished: list[RequestRecord]
    before: dict
    after: dict
    queues: list = field(default_factory=list)

    @property
    def window(self):
        return window_of(between(self.before, self.after), under_way(self.before))

    @property
    def client(self):
        return measured(self.records, self.slos)


def measured(records, slos, **more):
    """As the load makes it of its records."""
    whole = measured_rate(records, slos, rate_percent=100, requests_per_minute=60, duration_milliseconds=10_000)
    return whole.model_copy(update=more)


def a_case(seed, *, failures=True, others=True):
    """Several engines that have served before; requests that fail; others' requests still open at the beginning."""
    random = Random(seed)
    scale = random.choice([2_000, 20_000, 60_000, 300_000])
    pages = [Page((("engine", str(number)),)) for number in range(random.choice([1, 1, 2, 3]))]
    for _ in range(random.randrange(4)):
        earlier, page = a_request(random, scale), random.choice(pages)
        page.begin(earlier)
        page.finish(earlier)
    open_before = [a_request(random, scale) for _ in range(random.randrange(3))] if others else []
    for one in open_before:
        pages[0].begin(one)
        pages[0].open += 1
    before = {series: value for page in pages for series, value in page.samples().items()}
    records, finished, queues = [], [], []
    for one in open_before:
        if random.random() < 0.8:
            pages[0].finish(one)
            pages[0].open -= 1
            finished.append(one)
    for _ in range(random.choice([0, 1, 3, random.randrange(40)])):
        record, page = a_request(random, scale), random.choice(pages)
        ending = random.choice(list(Ending)) if failures and random.random() < 0.2 else Ending.COMPLETED
        records.append(replace(record, ending=ending) if ending is Ending.COMPLETED else _failed(record, ending))
        if ending is Ending.COMPLETED or (ending in SERVER_MAY_FINISH and random.random() < 0.5):
            page.begin(record)
            queued = random.choice([0, 0, random.randrange(record.ttft_microseconds + 1)])
            page.finish(record, queued)
            queues.append((ending, queued))
            finished.append(record)
        elif ending in SERVER_MAY_BEGIN and random.random() < 0.5:
            page.begin(record)
    after = {series: value for page in pages for series, value in page.samples().items()}
    return Case(some_slos(random), records, finished, before, after, queues)


def _failed(record, ending):
    return RequestRecord(0, record.prompt_tokens, record.wanted_tokens, ending)
