"""The load under which a configuration is judged."""

from typing import Annotated, ClassVar

from pydantic import Field

from .arrival import Arrival
from .base import Model
from .lengths import TokenLengths
from .rules import Rule


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
    request_timeout_seconds: int = Field(
        default=300, ge=1, le=3600, description="A request that is not complete so long after it was due is given up."
    )
    stream_stall_seconds: int = Field(
        default=60, ge=1, le=3600, description="An answer that has begun and then says nothing for so long is given up."
    )
    seed: int = Field(default=7, ge=0, le=2_147_483_647)

    @property
    def longest_request_tokens(self) -> int:
        """Prompt and answer of the longest request that can come."""
        return self.prompt_tokens.longest + self.output_tokens.longest
