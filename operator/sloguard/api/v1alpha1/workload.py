"""The load under which a configuration is judged."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import Model
from .rules import Rule


class ArrivalPattern(StrEnum):
    """How requests arrive: evenly, as a Poisson process, in bursts, or as recorded."""

    CONSTANT = "Constant"
    POISSON = "Poisson"
    BURST = "Burst"
    TRACE = "Trace"


class Burst(Model):
    """Within each period, the first `dutyPercent` arrive at this rate, the rest at the arrival's own rate."""

    requests_per_minute: int = Field(ge=1, le=1_000_000)
    period_seconds: int = Field(default=30, ge=1, le=3600)
    duty_percent: int = Field(default=20, ge=1, le=99)


class TraceEntry(Model):
    """One recorded request."""

    at_milliseconds: int = Field(ge=0, le=86_400_000, description="After the start of the trace.")
    prompt_tokens: int = Field(ge=1, le=1_000_000)
    output_tokens: int = Field(ge=1, le=1_000_000)


def _trace_missing(arrival: "Arrival") -> tuple[object, ...] | None:
    return () if arrival.pattern is ArrivalPattern.TRACE and not arrival.trace else None


def _trace_unused(arrival: "Arrival") -> tuple[object, ...] | None:
    return (arrival.pattern.value,) if arrival.pattern is not ArrivalPattern.TRACE and arrival.trace else None


def _rate_missing(arrival: "Arrival") -> tuple[object, ...] | None:
    missing = arrival.pattern is not ArrivalPattern.TRACE and arrival.requests_per_minute is None
    return (arrival.pattern.value,) if missing else None


def _burst_missing(arrival: "Arrival") -> tuple[object, ...] | None:
    return () if arrival.pattern is ArrivalPattern.BURST and arrival.burst is None else None


def _burst_unused(arrival: "Arrival") -> tuple[object, ...] | None:
    return (arrival.pattern.value,) if arrival.pattern is not ArrivalPattern.BURST and arrival.burst else None


def _burst_no_burst(arrival: "Arrival") -> tuple[object, ...] | None:
    if arrival.burst is None or arrival.requests_per_minute is None:
        return None
    burst, base = arrival.burst.requests_per_minute, arrival.requests_per_minute
    return (burst, base) if burst <= base else None


class Arrival(Model):
    """When requests are due."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.pattern != 'Trace' || (has(self.trace) && self.trace.size() > 0)",
            message="pattern Trace needs at least one entry in trace; add entries or choose another pattern",
            broken=_trace_missing,
            path=".trace",
        ),
        Rule(
            cel="self.pattern == 'Trace' || !has(self.trace) || self.trace.size() == 0",
            message="trace is given but pattern is %s; set pattern to Trace or remove trace",
            values=("self.pattern",),
            broken=_trace_unused,
            path=".trace",
        ),
        Rule(
            cel="self.pattern == 'Trace' || has(self.requestsPerMinute)",
            message="pattern %s needs requestsPerMinute; set it to the rate that production has to serve",
            values=("self.pattern",),
            broken=_rate_missing,
            path=".requestsPerMinute",
        ),
        Rule(
            cel="self.pattern != 'Burst' || has(self.burst)",
            message="pattern Burst needs burst; add burst.requestsPerMinute",
            broken=_burst_missing,
            path=".burst",
        ),
        Rule(
            cel="self.pattern == 'Burst' || !has(self.burst)",
            message="burst is given but pattern is %s; set pattern to Burst or remove burst",
            values=("self.pattern",),
            broken=_burst_unused,
            path=".burst",
        ),
        Rule(
            cel="!has(self.burst) || !has(self.requestsPerMinute) || "
            "self.burst.requestsPerMinute > self.requestsPerMinute",
            message="burst.requestsPerMinute %s is no burst above requestsPerMinute %s; raise it or lower the latter",
            values=("self.burst.requestsPerMinute", "self.requestsPerMinute"),
            broken=_burst_no_burst,
            path=".burst.requestsPerMinute",
        ),
    )

    pattern: ArrivalPattern = ArrivalPattern.POISSON
    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    burst: Burst | None = None
    trace: list[TraceEntry] | None = Field(default=None, max_length=1000)


def _lengths_out_of_order(lengths: "TokenLengths") -> tuple[object, ...] | None:
    ordered = lengths.min <= lengths.mean <= lengths.max
    return None if ordered else (lengths.min, lengths.mean, lengths.max)


class TokenLengths(Model):
    """A normal distribution of token counts, clipped to [min, max]."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.min <= self.mean && self.mean <= self.max",
            message="min %s, mean %s, max %s are out of order; make them min <= mean <= max",
            values=("self.min", "self.mean", "self.max"),
            broken=_lengths_out_of_order,
        ),
    )

    mean: int = Field(ge=1, le=1_000_000)
    stddev: int = Field(default=0, ge=0, le=1_000_000)
    min: int = Field(default=1, ge=1, le=1_000_000)
    max: int = Field(default=1_000_000, ge=1, le=1_000_000)


class SharedPrefix(Model):
    """A share of the prompts begins with the same tokens, as with a system prompt."""

    tokens: int = Field(ge=1, le=1_000_000)
    percent: int = Field(ge=0, le=100)


def _prefix_too_long(workload: "Workload") -> tuple[object, ...] | None:
    prefix, prompt = workload.shared_prefix, workload.prompt_tokens
    return None if prefix is None or prefix.tokens <= prompt.max else (prefix.tokens, prompt.max)


def _sweep_lacks_100(workload: "Workload") -> tuple[object, ...] | None:
    return None if 100 in workload.sweep_percent else (workload.sweep_percent,)


def _sweep_repeats(workload: "Workload") -> tuple[object, ...] | None:
    distinct = len(set(workload.sweep_percent)) == len(workload.sweep_percent)
    return None if distinct else (workload.sweep_percent,)


def _period_too_long(workload: "Workload") -> tuple[object, ...] | None:
    burst = workload.arrival.burst
    if burst is None or burst.period_seconds <= workload.duration_seconds:
        return None
    return burst.period_seconds, workload.duration_seconds


def _trace_never_begins(workload: "Workload") -> tuple[object, ...] | None:
    trace = workload.arrival.trace
    late = trace and all(entry.at_milliseconds >= workload.duration_seconds * 1000 for entry in trace)
    return (workload.duration_seconds,) if late else None


class Workload(Model):
    """What is sent to a candidate. The same seed gives the same requests to every trial."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.sharedPrefix) || self.sharedPrefix.tokens <= self.promptTokens.max",
            message="sharedPrefix.tokens %s is more than promptTokens.max %s; "
            "shorten the prefix or allow longer prompts",
            values=("self.sharedPrefix.tokens", "self.promptTokens.max"),
            broken=_prefix_too_long,
            path=".sharedPrefix.tokens",
        ),
        Rule(
            cel="100 in self.sweepPercent",
            message="sweepPercent %s lacks 100, the rate at which goodput is compared; add 100",
            values=("self.sweepPercent",),
            broken=_sweep_lacks_100,
            path=".sweepPercent",
        ),
        Rule(
            cel="self.sweepPercent.all(p, self.sweepPercent.exists_one(q, q == p))",
            message="sweepPercent %s holds a rate twice; name each rate once",
            values=("self.sweepPercent",),
            broken=_sweep_repeats,
            path=".sweepPercent",
        ),
        Rule(
            cel="!has(self.arrival.burst) || self.arrival.burst.periodSeconds <= self.durationSeconds",
            message="burst.periodSeconds %s is more than durationSeconds %s, so no period is seen whole; "
            "shorten it or measure longer",
            values=("self.arrival.burst.periodSeconds", "self.durationSeconds"),
            broken=_period_too_long,
            path=".arrival.burst.periodSeconds",
        ),
        Rule(
            cel="!has(self.arrival.trace) || self.arrival.trace.size() == 0 || "
            "self.arrival.trace.exists(e, e.atMilliseconds < self.durationSeconds * 1000)",
            message="no entry of trace is due within durationSeconds %s; measure longer or let the trace begin at 0",
            values=("self.durationSeconds",),
            broken=_trace_never_begins,
            path=".arrival.trace",
        ),
    )

    arrival: Arrival
    sweep_percent: list[Annotated[int, Field(ge=1, le=1000)]] = Field(
        default=[100], min_length=1, max_length=8, description="Rates to measure on one start, in % of the arrival's."
    )
    prompt_tokens: TokenLengths
    output_tokens: TokenLengths
    shared_prefix: SharedPrefix | None = None
    warmup_seconds: int = Field(default=20, ge=0, le=3600)
    duration_seconds: int = Field(default=120, ge=1, le=3600, description="Of each rate, without warm-up and drain.")
    drain_seconds: int = Field(
        default=30, ge=1, le=600, description="Requests still open this long after the last was due are unfinished."
    )
    seed: int = Field(default=7, ge=0, le=2_147_483_647)
