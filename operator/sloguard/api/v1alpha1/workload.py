"""The load under which a configuration is judged."""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import Model, Rule


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


def _trace_belongs_to_pattern(arrival: "Arrival") -> str | None:
    if arrival.pattern is ArrivalPattern.TRACE and not arrival.trace:
        return "pattern Trace needs at least one entry in trace; add entries or choose another pattern"
    if arrival.pattern is not ArrivalPattern.TRACE and arrival.trace:
        return f"trace is given but pattern is {arrival.pattern}; set pattern to Trace or remove trace"
    return None


def _rate_belongs_to_pattern(arrival: "Arrival") -> str | None:
    if arrival.pattern is not ArrivalPattern.TRACE and arrival.requests_per_minute is None:
        return f"pattern {arrival.pattern} needs requestsPerMinute; set it to the rate that production has to serve"
    return None


def _burst_belongs_to_pattern(arrival: "Arrival") -> str | None:
    if arrival.pattern is ArrivalPattern.BURST and arrival.burst is None:
        return "pattern Burst needs burst; add burst.requestsPerMinute"
    if arrival.pattern is not ArrivalPattern.BURST and arrival.burst is not None:
        return f"burst is given but pattern is {arrival.pattern}; set pattern to Burst or remove burst"
    return None


class Arrival(Model):
    """When requests are due."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="(self.pattern == 'Trace') == (has(self.trace) && self.trace.size() > 0)",
            message=(
                "self.pattern == 'Trace' ? "
                "'pattern Trace needs at least one entry in trace; add entries or choose another pattern' : "
                "'trace is given but pattern is ' + self.pattern + '; set pattern to Trace or remove trace'"
            ),
            check=_trace_belongs_to_pattern,
        ),
        Rule(
            cel="self.pattern == 'Trace' || has(self.requestsPerMinute)",
            message=(
                "'pattern ' + self.pattern + "
                "' needs requestsPerMinute; set it to the rate that production has to serve'"
            ),
            check=_rate_belongs_to_pattern,
        ),
        Rule(
            cel="(self.pattern == 'Burst') == has(self.burst)",
            message=(
                "self.pattern == 'Burst' ? 'pattern Burst needs burst; add burst.requestsPerMinute' : "
                "'burst is given but pattern is ' + self.pattern + '; set pattern to Burst or remove burst'"
            ),
            check=_burst_belongs_to_pattern,
        ),
    )

    pattern: ArrivalPattern = ArrivalPattern.POISSON
    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    burst: Burst | None = None
    trace: list[TraceEntry] | None = Field(default=None, max_length=1000)


def _ordered_lengths(lengths: "TokenLengths") -> str | None:
    if lengths.min <= lengths.mean <= lengths.max:
        return None
    return f"min {lengths.min}, mean {lengths.mean}, max {lengths.max} are out of order; make them min <= mean <= max"


class TokenLengths(Model):
    """A normal distribution of token counts, clipped to [min, max]."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.min <= self.mean && self.mean <= self.max",
            message=(
                "'min ' + string(self.min) + ', mean ' + string(self.mean) + ', max ' + string(self.max) + "
                "' are out of order; make them min <= mean <= max'"
            ),
            check=_ordered_lengths,
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


def _prefix_fits(workload: "Workload") -> str | None:
    prefix, prompt = workload.shared_prefix, workload.prompt_tokens
    if prefix is None or prefix.tokens <= prompt.max:
        return None
    return (
        f"sharedPrefix.tokens {prefix.tokens} is more than promptTokens.max {prompt.max}; "
        "shorten the prefix or allow longer prompts"
    )


def _sweep_holds_100(workload: "Workload") -> str | None:
    if 100 in workload.sweep_percent:
        return None
    return f"sweepPercent {workload.sweep_percent} lacks 100, the rate at which goodput is compared; add 100"


def _sweep_is_distinct(workload: "Workload") -> str | None:
    if len(set(workload.sweep_percent)) == len(workload.sweep_percent):
        return None
    return f"sweepPercent {workload.sweep_percent} holds a rate twice; name each rate once"


class Workload(Model):
    """What is sent to a candidate. The same seed gives the same requests to every trial."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.sharedPrefix) || self.sharedPrefix.tokens <= self.promptTokens.max",
            message=(
                "'sharedPrefix.tokens ' + string(self.sharedPrefix.tokens) + ' is more than promptTokens.max ' + "
                "string(self.promptTokens.max) + '; shorten the prefix or allow longer prompts'"
            ),
            check=_prefix_fits,
        ),
        Rule(
            cel="100 in self.sweepPercent",
            message=(
                "'sweepPercent [' + self.sweepPercent.map(p, string(p)).join(', ') + "
                "'] lacks 100, the rate at which goodput is compared; add 100'"
            ),
            check=_sweep_holds_100,
        ),
        Rule(
            cel="self.sweepPercent.all(p, self.sweepPercent.exists_one(q, q == p))",
            message=(
                "'sweepPercent [' + self.sweepPercent.map(p, string(p)).join(', ') + "
                "'] holds a rate twice; name each rate once'"
            ),
            check=_sweep_is_distinct,
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
