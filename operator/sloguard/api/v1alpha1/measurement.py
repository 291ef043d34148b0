"""What a load found out about one server: the result of a load Job, and the measurements of a trial."""

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field

from .base import ObservedModel


class Metric(StrEnum):
    """Latencies that an SLO can bound; each is measured per request from the moment that it was due.

    TTFT: to the first token. ITL: each gap between tokens. TPOT: mean gap of one request. E2E: to the last token.
    QueueTime: in the server's own queue. Only the server knows it, as a histogram: such an SLO is no part of which
    requests are good, and it is met only where the histogram leaves no doubt.
    """

    TTFT = "TTFT"
    ITL = "ITL"
    TPOT = "TPOT"
    E2E = "E2E"
    QUEUE_TIME = "QueueTime"


class Interval(ObservedModel):
    """Both ends of a two-sided 95 % confidence interval, in the unit that the field is named after."""

    low: int
    high: int


class LatencySummary(ObservedModel):
    """Percentiles over the requests that completed; None where none did."""

    metric: Metric
    count: int = Field(default=0, description="Values: requests, for ITL gaps; for TPOT requests of several tokens.")
    sum_microseconds: int = Field(default=0, description="Of all values; over count it is their mean.")
    p50_microseconds: int | None = None
    p95_microseconds: int | None = None
    p99_microseconds: int | None = None
    error_basis_points: int = Field(
        default=0,
        description="How far a percentile may be off, in hundredths of a percent of itself; "
        "0 where it is exact, more where parts of several generators were merged.",
    )


class SLOResult(ObservedModel):
    """One SLO held against what was measured. A request without a result counts as slower than any limit.

    It is met by counts: at least `percentile` percent of `of` are `within` the limit. Counts of several generators add
    up, so a verdict on merged parts is exact.
    """

    metric: Metric
    percentile: int
    limit_milliseconds: int
    measured_microseconds: int | None = Field(
        default=None, description="The percentile; absent where it falls on requests that failed."
    )
    error_basis_points: int = Field(
        default=0, description="How far the percentile may be off, as in latencies; whether it is met is exact."
    )
    met: bool
    undecided: bool = Field(
        default=False,
        description="QueueTime, and all of live traffic: the server's histogram leaves open whether it was met, so it "
        "counts as not.",
    )
    within: int = Field(default=0, description="Requests, for ITL gaps, within the limit.")
    of: int = Field(default=0, description="All requests that were sent, for ITL all gaps that they owed.")
    share_interval_basis_points: Interval | None = Field(
        default=None, description="95 % confidence for the share within the limit, in hundredths of a percent."
    )


class Violations(ObservedModel):
    """Requests that do not count as good, each in the first kind that applies."""

    slow: int = Field(default=0, description="Completed, but over a latency limit.")
    refused: int = Field(default=0, description="No connection.")
    client_error: int = Field(default=0, description="HTTP 4xx.")
    server_error: int = Field(default=0, description="HTTP 5xx, or an error within the stream.")
    cut_off: int = Field(default=0, description="The stream broke or ended without its end mark.")
    timed_out: int = Field(default=0, description="Not complete within the workload's requestTimeoutSeconds.")
    stalled: int = Field(default=0, description="Nothing came for streamStallSeconds in the middle of the answer.")
    unfinished: int = Field(default=0, description="Still open when the drain limit passed.")
    spared: int = Field(default=0, description="Not sent or cut off by the generator, since the rate was hopeless.")

    @property
    def total(self) -> int:
        """Everything that was sent, or planned, and is not good."""
        return self.slow + self.failed + self.spared

    @property
    def failed(self) -> int:
        """Requests that got no complete answer."""
        answered_badly = self.client_error + self.server_error + self.cut_off
        return self.refused + answered_badly + self.timed_out + self.stalled + self.unfinished


class ServerCounters(ObservedModel):
    """Differences of the server's own counters over the measured window, and gauges at its end."""

    preemptions: int | None = None
    prompt_tokens: int | None = None
    generation_tokens: int | None = None
    prefix_cache_queries_tokens: int | None = None
    prefix_cache_hits_tokens: int | None = None


class SLOBounds(ObservedModel):
    """What the server's histogram says of one SLO: between two edges it knows only that values lie there."""

    metric: Metric
    percentile: int
    count: int = Field(description="Requests that it holds; gaps for ITL.")
    within_low: int = Field(description="At least so many of them are within the limit.")
    within_high: int
    low_microseconds: int = Field(description="The percentile is at least this.")
    high_microseconds: int | None = Field(default=None, description="Absent where no edge bounds it.")


class DisagreementPart(StrEnum):
    """In what client and server disagree, beyond what the histograms' edges and usual delays explain.

    Restart: the counters began anew. OtherTraffic: the server served requests that are not the load's. Missing: it
    served fewer. Tokens: it counted other numbers. Queue: time passes before the server takes a request.
    Network: tokens are late on their way. Clock: the client is faster than the server says it was.
    GoodRequests: the numbers of good requests differ although nothing above does.
    """

    RESTART = "Restart"
    OTHER_TRAFFIC = "OtherTraffic"
    MISSING = "Missing"
    TOKENS = "Tokens"
    QUEUE = "Queue"
    NETWORK = "Network"
    CLOCK = "Clock"
    GOOD_REQUESTS = "GoodRequests"


class Disagreement(ObservedModel):
    """One figure as the client has it, and the bounds that the server's counters allow: in the figure's own unit.

    Latencies are in microseconds and have a metric and a percentile, or none where they are means (of ITL, over the
    client's gaps); everything else is counted.
    """

    part: DisagreementPart
    metric: Metric | None = None
    percentile: int | None = None
    client: int = 0
    server_low: int = 0
    server_high: int | None = None


class ServerSource(StrEnum):
    """Where the server's counters were read: from its own /metrics, or from Prometheus."""

    SCRAPE = "Scrape"
    PROMETHEUS = "Prometheus"


class ServerView(ObservedModel):
    """The same window by the server's own histograms, as bounds on what the client measures exactly."""

    source: ServerSource = ServerSource.SCRAPE
    requests: int = Field(description="That the server finished.")
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    good_low: int | None = Field(default=None, description="At least so many requests were within every limit.")
    good_high: int | None = None
    good_tokens_low: int | None = None
    good_tokens_high: int | None = None
    restarts: int = Field(default=0, description="Of the counters; with one, only `requests` is known, at the least.")
    slos: list[SLOBounds] = Field(default=[], max_length=8)
    disagreements: list[Disagreement] = Field(default=[], max_length=8)


class RateMeasurement(ObservedModel):
    """One rate of the sweep. sent = good + all violations, always."""

    rate_percent: int
    requests_per_minute: int = Field(description="What was offered.")
    users: int | None = Field(
        default=None,
        description="Of a closed loop: each request was due when one of so many users was free to send it, and the "
        "rate is what came of that. Not comparable with figures that have no users here.",
    )
    duration_milliseconds: int = Field(
        description="The window in which requests were due, of a closed loop until the last answer; goodput is over "
        "this time."
    )
    sent: int
    completed: int
    good: int = Field(description="Completed within every SLO's limit.")
    prompt_tokens: int
    output_tokens: int = Field(description="Of completed requests.")
    good_tokens: int = Field(description="Output tokens of good requests.")
    good_tokens_interval: Interval | None = Field(
        default=None,
        description="95 % confidence for goodTokens, for these very requests: a bootstrap over blocks of time.",
    )
    good_tokens_at_most: int | None = Field(
        default=None,
        description="What goodTokens could have become if all the requests that were spared had been good.",
    )
    violations: Violations = Violations()
    latencies: list[LatencySummary] = Field(default=[], max_length=8)
    slos: list[SLOResult] = Field(default=[], max_length=8)
    dispatch_lag_p99_microseconds: int = Field(default=0, description="How late the generator itself was.")
    server: ServerCounters | None = None
    server_view: ServerView | None = None
    began_milliseconds: int | None = Field(default=None, description="After the load's start, until the first request.")
    ended_milliseconds: int | None = Field(default=None, description="From the load's start to the last request's end.")
    lower_bounds: bool = Field(
        default=False,
        description="Of live traffic, by Prometheus alone: good, goodTokens and the SLOs' within are the least that "
        "the histograms allow; serverView has both ends. Percentiles are the most that they allow.",
    )

    @property
    def goodput_tokens_per_second(self) -> float:
        """Tokens of good requests over the window."""
        return self.good_tokens * 1000 / self.duration_milliseconds if self.duration_milliseconds else 0.0

    @property
    def goodput_margin_tokens_per_second(self) -> float | None:
        """How far the wider end of the 95 % confidence is from the goodput; None where that is not known."""
        interval = self.good_tokens_interval
        if interval is None or not self.duration_milliseconds:
            return None
        furthest = max(interval.high - self.good_tokens, self.good_tokens - interval.low)
        return furthest * 1000 / self.duration_milliseconds

    @property
    def censored(self) -> bool:
        """Ended early, because it was certain to overwhelm the server: good and good tokens are lower bounds."""
        return self.violations.spared > 0

    @property
    def slos_met(self) -> bool:
        """All percentiles within their limits; never true where nothing was sent."""
        return self.sent > 0 and all(slo.met for slo in self.slos)


class ServerFaultKind(StrEnum):
    """What the load saw of a server that stopped serving."""

    SERVER_GONE = "ServerGone"
    ENGINE_DEAD = "EngineDead"
    GENERATION_STALLED = "GenerationStalled"


class ServerActivity(ObservedModel):
    """What a server had to do when it last said so before its end, by its log or by its metrics."""

    requests_running: int = Field(ge=0)
    requests_waiting: int = Field(default=0, ge=0)
    kv_cache_usage_percent: int | None = Field(default=None, ge=0, le=100)
    preemptions: int | None = Field(default=None, ge=0, description="In the last ten seconds or so.")

    @property
    def in_words(self) -> str:
        """A sentence for people."""
        if not self.requests_running and not self.requests_waiting:
            return "it had no requests"
        said = [f"{self.requests_running} requests running"]
        said += [f"{self.requests_waiting} waiting"] if self.requests_waiting else []
        said += [] if self.kv_cache_usage_percent is None else [f"KV cache {self.kv_cache_usage_percent} % full"]
        said += [f"{self.preemptions} preempted"] if self.preemptions else []
        return ", ".join(said)


class ServerFault(ObservedModel):
    """The moment at which a server that had answered no longer did, or at which its last token came."""

    kind: ServerFaultKind
    at: AwareDatetime
    detail: str = Field(max_length=256)
    activity: ServerActivity | None = Field(default=None, description="By its /metrics, some seconds before.")


class LatencySketch(ObservedModel):
    """How one latency of one rate is distributed: `sloguard.domain.sketch` says what the buckets are and how exact.

    A sketch is for merging and drawing. It stays in the load's result and is not kept in a trial's status: a study
    lists all its trials at each reconcile, and what is judged or shown is in the figures already.
    """

    rate_percent: int
    metric: Metric
    scale: int = Field(ge=-4, le=20, description="2^scale buckets each time that a value doubles.")
    zero: int = Field(default=0, ge=0, description="Values of 0 microseconds.")
    infinite: int = Field(default=0, ge=0, description="Of requests that failed: above all others.")
    offset: int = Field(default=0, ge=-100_000_000, le=100_000_000, description="Index of the first bucket.")
    counts: list[Annotated[int, Field(ge=0)]] = Field(default=[], max_length=65_536)


class TimeBlocks(ObservedModel):
    """Sums over each tenth of one rate's window; those of several generators add up, so intervals can be merged.

    Columns: tokens asked for, tokens of good requests, then for each SLO how many were within it and of how many.
    """

    rate_percent: int
    columns: list[Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=10)]] = Field(default=[], max_length=18)


class LoadResult(ObservedModel):
    """All rates of one start, in the order in which they ran. Fits a termination message (4 KiB)."""

    started_at: AwareDatetime
    finished_at: AwareDatetime
    generator: int | None = Field(default=None, description="From 0; absent where the load is whole.")
    rates: list[RateMeasurement] = Field(default=[], max_length=8)
    sketches: list[LatencySketch] = Field(default=[], max_length=40)
    blocks: list[TimeBlocks] = Field(default=[], max_length=8, description="Of one generator among several only.")
    warmup_requests: int = Field(default=0, description="Sent before the first rate; in no figure but the server's.")
    worst_case: str | None = Field(default=None, max_length=256, description="Of a soak: what was sent, in words.")
    fault: ServerFault | None = None
    saved_seconds: int = Field(default=0, description="Of planned load, not run because it was hopeless.")
    invalid: str | None = Field(
        default=None, description="Why the figures cannot be trusted for a reason that is not the server's."
    )
