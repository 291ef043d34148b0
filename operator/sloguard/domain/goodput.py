"""Which requests were good, and whether each SLO held: the one definition that every figure rests on.

Times are whole microseconds from the moment that a request was due. Latencies are taken as `vllm bench serve` takes
them (vllm/benchmarks/lib/endpoint_request_func.py and serve.py), except for that start:

* TTFT ends with the first chunk that holds a choice, E2E with the last one; usage chunk and end mark do not count.
* ITL is one gap for each chunk after the first, however many tokens it holds. Past saturation vLLM packs several
  tokens into a chunk; ITL then measures packing, and TPOT is the steadier figure.
* TPOT is (E2E - TTFT) / (tokens - 1), rounded up; 0 for a single token, which is left out of latency summaries.

A request is **good** when it completed and is within every SLO's limit: TTFT, TPOT and E2E directly, ITL at the SLO's
percentile of the request's own gaps (nearest rank). The percentile of the other metrics plays no part here.

An **SLO is met** when at least its percentile of what was sent is within the limit: of the requests, or, for ITL, of
all gaps pooled. A request that failed in any way counts as slower than any limit; for ITL it counts with every gap that
it owed (wanted tokens - 1, at least one), so that many good gaps cannot hide a failure.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sloguard.api.v1alpha1 import SLO, LatencySketch, LatencySummary, Metric, SLOResult, Violations

from .distribution import Distribution, nearest_rank
from .sketch import Sketch, stored

CLIENT_METRICS = (Metric.TTFT, Metric.ITL, Metric.TPOT, Metric.E2E)
"""What a client can time. ITL has many values a request, the others have one."""


class Ending(StrEnum):
    """How a request ended. All but the first name a field of Violations."""

    COMPLETED = "completed"
    REFUSED = "refused"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    CUT_OFF = "cut_off"
    TIMED_OUT = "timed_out"
    STALLED = "stalled"
    UNFINISHED = "unfinished"
    SPARED = "spared"


def _no_gaps() -> "array[int]":
    return array("I")


@dataclass(slots=True)
class RequestRecord:
    """One request that was due. It is unfinished until something else is known.

    `lag_microseconds` is how late the generator sent it, None where it never did.
    """

    due_microseconds: int
    prompt_tokens: int
    wanted_tokens: int
    ending: Ending = Ending.UNFINISHED
    ttft_microseconds: int = 0
    e2e_microseconds: int = 0
    gaps_microseconds: "array[int]" = field(default_factory=_no_gaps)
    lag_microseconds: int | None = None
    detail: str = ""

    @property
    def completed(self) -> bool:
        return self.ending is Ending.COMPLETED

    @property
    def tpot_microseconds(self) -> int:
        """Mean gap between tokens, rounded up so that comparing it with a whole limit is exact."""
        if self.wanted_tokens < 2:
            return 0
        return -(-(self.e2e_microseconds - self.ttft_microseconds) // (self.wanted_tokens - 1))

    def latency_microseconds(self, metric: Metric, percentile: int) -> int:
        """Of a completed request; the percentile is of its own gaps and matters for ITL alone."""
        if metric is Metric.TTFT:
            return self.ttft_microseconds
        if metric is Metric.TPOT:
            return self.tpot_microseconds
        if metric is Metric.E2E:
            return self.e2e_microseconds
        if metric is Metric.QUEUE_TIME:
            return 0  # the client does not know it: domain.queue_time holds such an SLO, and no request misses it
        gaps = sorted(self.gaps_microseconds)
        return gaps[nearest_rank(len(gaps), percentile) - 1] if gaps else 0

    def keeps(self, slo: SLO) -> bool:
        """Completed, and within this one limit."""
        return self.completed and self.latency_microseconds(slo.metric, slo.percentile) <= slo.milliseconds * 1000


@dataclass(frozen=True, slots=True)
class Tally:
    """All requests of one rate, counted. sent = good + violations."""

    sent: int
    completed: int
    good: int
    prompt_tokens: int
    output_tokens: int
    good_tokens: int
    spared_tokens: int
    violations: Violations


def tally(records: Sequence[RequestRecord], slos: Sequence[SLO]) -> Tally:
    """Counts good requests and every violation by kind. Tokens are those of completed requests."""
    completed = [record for record in records if record.completed]
    good = [record for record in completed if all(record.keeps(slo) for slo in slos)]
    kinds = Counter(record.ending.value for record in records if not record.completed)
    return Tally(
        sent=len(records),
        completed=len(completed),
        good=len(good),
        prompt_tokens=sum(record.prompt_tokens for record in completed),
        output_tokens=sum(record.wanted_tokens for record in completed),
        good_tokens=sum(record.wanted_tokens for record in good),
        spared_tokens=sum(record.wanted_tokens for record in records if record.ending is Ending.SPARED),
        violations=Violations(slow=len(completed) - len(good), **kinds),
    )


Gaps = Mapping[int, int]
"""How often each gap between chunks was seen; of a long run it takes a second to count them, so it is done once."""


def hold_slos(records: Sequence[RequestRecord], slos: Sequence[SLO], gaps: Gaps | None = None) -> list[SLOResult]:
    """Each SLO held against all that was sent; none is met where nothing was. `gaps` is `pool_gaps`, if it is known.

    What was spared says nothing about the server: the rate was lost without it.
    """
    records = [record for record in records if record.ending is not Ending.SPARED]
    measured = {metric: _over_all_sent(records, metric, gaps) for metric in {slo.metric for slo in slos}}
    return [_hold(slo, measured[slo.metric], sent=len(records)) for slo in slos]


def _hold(slo: SLO, distribution: Distribution, *, sent: int) -> SLOResult:
    within, of = distribution.within(slo.milliseconds * 1000), distribution.finite + distribution.infinite
    met = holds(slo.percentile, within=within, of=of, sent=sent)
    return SLOResult(
        metric=slo.metric,
        percentile=slo.percentile,
        limit_milliseconds=slo.milliseconds,
        measured_microseconds=0 if met and not of else distribution.at_percentile(slo.percentile),
        met=met,
        within=within,
        of=of,
    )


def holds(percentile: int, *, within: int, of: int, sent: int) -> bool:
    """Whether that share is within a limit. Of no gaps (each request had a single token) none was over it."""
    return sent > 0 and 100 * within >= percentile * of


def _over_all_sent(records: Sequence[RequestRecord], metric: Metric, gaps: Gaps | None) -> Distribution:
    completed = [record for record in records if record.completed]
    if metric is Metric.ITL:
        owed = sum(max(1, record.wanted_tokens - 1) for record in records if not record.completed)
        return Distribution(pool_gaps(completed) if gaps is None else gaps, infinite=owed)
    values = (record.latency_microseconds(metric, 100) for record in completed)
    return Distribution.of(values, infinite=len(records) - len(completed))


def pool_gaps(records: Iterable[RequestRecord]) -> Gaps:
    """Of all requests that completed."""
    pooled: Counter[int] = Counter()
    for record in records:
        if record.completed:
            pooled.update(record.gaps_microseconds)
    return pooled


def summarise(records: Sequence[RequestRecord], gaps: Gaps | None = None) -> list[LatencySummary]:
    """Percentiles of what completed, as `vllm bench serve` prints them. Nothing is judged by these."""
    return [
        LatencySummary(
            metric=metric,
            count=distribution.finite,
            sum_microseconds=distribution.total,
            p50_microseconds=distribution.interpolated(50),
            p95_microseconds=distribution.interpolated(95),
            p99_microseconds=distribution.interpolated(99),
        )
        for metric, distribution in _distributions(records, gaps).items()
    ]


def sketch(records: Sequence[RequestRecord], rate_percent: int, gaps: Gaps | None = None) -> list[LatencySketch]:
    """The values that are summarised, and above them those that requests failed to give, at the finest scale."""
    return [
        stored(Sketch.of(distribution.counts, distribution.infinite), rate_percent, metric)
        for metric, distribution in _distributions(records, gaps).items()
    ]


def _distributions(records: Sequence[RequestRecord], gaps: Gaps | None) -> Mapping[Metric, Distribution]:
    """As `_over_all_sent`, but a TPOT has only who got several tokens."""
    records = [record for record in records if record.ending is not Ending.SPARED]
    several = [record for record in records if record.wanted_tokens > 1 or not record.completed]
    sent = {metric: several if metric is Metric.TPOT else records for metric in CLIENT_METRICS}
    return {metric: _over_all_sent(of, metric, gaps) for metric, of in sent.items()}


def is_overwhelmed(records: Sequence[RequestRecord], slos: Sequence[SLO]) -> bool:
    """Whether a higher rate cannot teach anything: under half of the requests were good, and it is not decoding alone.

    Where there is a TTFT SLO, more than half of the requests must also have missed it or failed: a queue that grows
    shows there first, while a tight ITL limit alone may be missed at any rate.
    """
    sent = len(records)
    if not sent or 2 * sum(all(record.keeps(slo) for slo in slos) for record in records) >= sent:
        return False
    first_token = [slo for slo in slos if slo.metric is Metric.TTFT]
    return all(2 * sum(not record.keeps(slo) for record in records) > sent for slo in first_token)


def lag_p99_microseconds(records: Iterable[RequestRecord]) -> int:
    """How late the generator itself was, nearest rank over the requests that it sent."""
    lags = [record.lag_microseconds for record in records if record.lag_microseconds is not None]
    return Distribution.of(lags).at_percentile(99) or 0
