"""When requests come."""

from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from .base import Model
from .rules import Rule, cluster_only
from .trace import Replay, TraceEntry


class ArrivalPattern(StrEnum):
    """How requests arrive: evenly, as a Poisson process, with gamma-distributed gaps, in bursts, or as recorded.

    ClosedLoop: when a user's last request has ended. Its figures do not compare with those of the others.
    FromProduction: as a Poisson process at the rate that Prometheus saw at the production pods, with their lengths.
    Live: nothing is sent; others' requests come (measurement Prometheus), so nothing that shapes requests may be given.
    """

    CONSTANT = "Constant"
    POISSON = "Poisson"
    GAMMA = "Gamma"
    BURST = "Burst"
    TRACE = "Trace"
    CLOSED_LOOP = "ClosedLoop"
    FROM_PRODUCTION = "FromProduction"
    LIVE = "Live"


WITHOUT_RATE = frozenset(
    {ArrivalPattern.TRACE, ArrivalPattern.CLOSED_LOOP, ArrivalPattern.FROM_PRODUCTION, ArrivalPattern.LIVE}
)


def _production_unused(arrival: "Arrival") -> tuple[object, ...] | None:
    unused = arrival.pattern is not ArrivalPattern.FROM_PRODUCTION and arrival.production_minutes is not None
    return (arrival.pattern.value,) if unused else None


class Burst(Model):
    """Within each period, the first `dutyPercent` arrive at this rate, the rest at the arrival's own rate."""

    requests_per_minute: int = Field(ge=1, le=1_000_000)
    period_seconds: int = Field(default=30, ge=1, le=3600)
    duty_percent: int = Field(default=20, ge=1, le=99)


class ClosedLoop(Model):
    """So many users, each of whom waits for an answer, then thinks, then sends the next request."""

    users: int = Field(ge=1, le=10_000, description="At 100 % of the sweep, which scales them.")
    think_milliseconds: int = Field(default=0, ge=0, le=3_600_000)


def _trace_missing(arrival: "Arrival") -> tuple[object, ...] | None:
    missing = arrival.pattern is ArrivalPattern.TRACE and not arrival.trace and arrival.trace_file is None
    return () if missing else None


def _trace_twice(arrival: "Arrival") -> tuple[object, ...] | None:
    return () if arrival.trace and arrival.trace_file is not None else None


def _trace_unused(arrival: "Arrival") -> tuple[object, ...] | None:
    given = [
        name
        for name, value in (("trace", arrival.trace), ("traceFile", arrival.trace_file), ("replay", arrival.replay))
        if value
    ]
    return (given[0], arrival.pattern.value) if given and arrival.pattern is not ArrivalPattern.TRACE else None


def _rate_missing(arrival: "Arrival") -> tuple[object, ...] | None:
    missing = arrival.pattern not in WITHOUT_RATE and arrival.requests_per_minute is None
    return (arrival.pattern.value,) if missing else None


def _rate_unused(arrival: "Arrival") -> tuple[object, ...] | None:
    unused = arrival.pattern in WITHOUT_RATE and arrival.requests_per_minute is not None
    return (arrival.pattern.value,) if unused else None


def _users_missing(arrival: "Arrival") -> tuple[object, ...] | None:
    return () if arrival.pattern is ArrivalPattern.CLOSED_LOOP and arrival.closed_loop is None else None


def _users_unused(arrival: "Arrival") -> tuple[object, ...] | None:
    unused = arrival.pattern is not ArrivalPattern.CLOSED_LOOP and arrival.closed_loop is not None
    return (arrival.pattern.value,) if unused else None


def _burst_missing(arrival: "Arrival") -> tuple[object, ...] | None:
    return () if arrival.pattern is ArrivalPattern.BURST and arrival.burst is None else None


def _burst_unused(arrival: "Arrival") -> tuple[object, ...] | None:
    return (arrival.pattern.value,) if arrival.pattern is not ArrivalPattern.BURST and arrival.burst else None


def _burst_no_burst(arrival: "Arrival") -> tuple[object, ...] | None:
    if arrival.burst is None or arrival.requests_per_minute is None:
        return None
    burst, base = arrival.burst.requests_per_minute, arrival.requests_per_minute
    return (burst, base) if burst <= base else None


def _burstiness_missing(arrival: "Arrival") -> tuple[object, ...] | None:
    return () if arrival.pattern is ArrivalPattern.GAMMA and arrival.burstiness_percent is None else None


def _burstiness_unused(arrival: "Arrival") -> tuple[object, ...] | None:
    unused = arrival.pattern is not ArrivalPattern.GAMMA and arrival.burstiness_percent is not None
    return (arrival.pattern.value,) if unused else None


_TRACE_GIVEN = "(has(self.trace) && self.trace.size() > 0)"


class Arrival(Model):
    """When requests are due."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.pattern != 'Trace' || has(self.traceFile) || (has(self.trace) && self.trace.size() > 0)",
            message="pattern Trace needs at least one entry in trace; add entries or choose another pattern",
            broken=_trace_missing,
            path=".trace",
        ),
        Rule(
            cel="!has(self.traceFile) || !has(self.trace) || self.trace.size() == 0",
            message="trace and traceFile are both given; keep one",
            broken=_trace_twice,
            path=".traceFile",
        ),
        Rule(
            cel=f"self.pattern == 'Trace' || !({_TRACE_GIVEN} || has(self.traceFile) || has(self.replay))",
            message="%s is given but pattern is %s; set pattern to Trace or remove it",
            values=(
                f"{_TRACE_GIVEN} ? 'trace' : has(self.traceFile) ? 'traceFile' : 'replay'",
                "self.pattern",
            ),
            broken=_trace_unused,
            path=".pattern",
        ),
        cluster_only(
            cel="!has(self.traceFile)",
            message="traceFile is for local files; a cluster cannot read it. Give up to 1000 entries in trace",
            path=".traceFile",
        ),
        Rule(
            cel="self.pattern in ['Trace', 'ClosedLoop', 'FromProduction', 'Live'] || has(self.requestsPerMinute)",
            message="pattern %s needs requestsPerMinute; set it to the rate that production has to serve",
            values=("self.pattern",),
            broken=_rate_missing,
            path=".requestsPerMinute",
        ),
        Rule(
            cel="!(self.pattern in ['Trace', 'ClosedLoop', 'FromProduction', 'Live']) || !has(self.requestsPerMinute)",
            message="requestsPerMinute has no effect with pattern %s; remove it: a trace is scaled by replay, "
            "a closed loop by its users, and production and live traffic are what they are",
            values=("self.pattern",),
            broken=_rate_unused,
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
        Rule(
            cel="self.pattern != 'ClosedLoop' || has(self.closedLoop)",
            message="pattern ClosedLoop needs closedLoop; add closedLoop.users",
            broken=_users_missing,
            path=".closedLoop",
        ),
        Rule(
            cel="self.pattern == 'ClosedLoop' || !has(self.closedLoop)",
            message="closedLoop is given but pattern is %s; set pattern to ClosedLoop or remove closedLoop",
            values=("self.pattern",),
            broken=_users_unused,
            path=".closedLoop",
        ),
        Rule(
            cel="self.pattern == 'FromProduction' || !has(self.productionMinutes)",
            message="productionMinutes has no effect with pattern %s; remove it, or set pattern to FromProduction",
            values=("self.pattern",),
            broken=_production_unused,
            path=".productionMinutes",
        ),
        Rule(
            cel="self.pattern != 'Gamma' || has(self.burstinessPercent)",
            message="pattern Gamma needs burstinessPercent; 100 is as Poisson, less comes in bursts, more is steadier",
            broken=_burstiness_missing,
            path=".burstinessPercent",
        ),
        Rule(
            cel="self.pattern == 'Gamma' || !has(self.burstinessPercent)",
            message="burstinessPercent is given but pattern is %s; set pattern to Gamma or remove burstinessPercent",
            values=("self.pattern",),
            broken=_burstiness_unused,
            path=".burstinessPercent",
        ),
    )

    pattern: ArrivalPattern = ArrivalPattern.POISSON
    requests_per_minute: int | None = Field(default=None, ge=1, le=1_000_000)
    burst: Burst | None = None
    burstiness_percent: int | None = Field(
        default=None,
        ge=1,
        le=100_000,
        description="Shape of the gaps' gamma distribution in %: 50 is --burstiness 0.5 of vllm bench serve.",
    )
    trace: list[TraceEntry] | None = Field(default=None, max_length=1000)
    trace_file: str | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="Local files only: JSONL or CSV, such as the Azure LLM inference and Mooncake traces.",
    )
    replay: Replay | None = None
    closed_loop: ClosedLoop | None = None
    production_minutes: int | None = Field(
        default=None,
        ge=1,
        le=1440,
        description="FromProduction: the time before the study's start from which rate and lengths are taken; 60 if "
        "absent. promptTokens and outputTokens bound the lengths.",
    )
