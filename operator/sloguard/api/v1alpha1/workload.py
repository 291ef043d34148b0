"""The load under which a configuration is judged."""

from collections.abc import Callable
from typing import Annotated, ClassVar

from pydantic import Field

from .arrival import Arrival, ArrivalPattern
from .base import Model
from .lengths import UNBOUNDED_TOKENS, TokenLengths
from .prompts import PromptFormat, Prompts
from .rules import Rule
from .trace import Replay


class SharedPrefix(Model):
    """A share of the prompts begins with the same tokens, as with a system prompt."""

    tokens: int = Field(ge=1, le=1_000_000)
    percent: int = Field(ge=0, le=100)


def _lengths_missing(workload: "Workload") -> tuple[object, ...] | None:
    given = workload.prompt_tokens is not None and workload.output_tokens is not None
    return None if given or workload.arrival.pattern in {ArrivalPattern.TRACE, ArrivalPattern.LIVE} else ()


def _prefix_too_long(workload: "Workload") -> tuple[object, ...] | None:
    prefix, prompt = workload.shared_prefix, workload.prompt_tokens
    if prefix is None or prompt is None or prefix.tokens <= prompt.max:
        return None
    return prefix.tokens, prompt.max


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
    trace, replay = workload.arrival.trace or [], workload.arrival.replay or Replay()
    after = (entry.at_milliseconds - replay.from_seconds * 1000 for entry in trace)
    seen = any(each >= 0 and each * replay.time_percent < workload.duration_seconds * 100_000 for each in after)
    return None if seen or not trace else (workload.duration_seconds,)


_REPLAY_FROM = "(has(self.arrival.replay) ? self.arrival.replay.fromSeconds : 0)"
_REPLAY_TIME = "(has(self.arrival.replay) ? self.arrival.replay.timePercent : 100)"


def _loop_shared(workload: "Workload") -> tuple[object, ...] | None:
    shared = workload.generators > 1 and workload.arrival.closed_loop is not None
    return (workload.generators,) if shared else None


def _live(workload: "Workload") -> bool:
    return workload.arrival.pattern is ArrivalPattern.LIVE


def _live_shaped(workload: "Workload") -> tuple[object, ...] | None:
    shaping = (
        ("promptTokens", workload.prompt_tokens is not None),
        ("outputTokens", workload.output_tokens is not None),
        ("sharedPrefix", workload.shared_prefix is not None),
        ("prompts.format", workload.prompts.format is not PromptFormat.TOKEN_IDS),
    )
    given = next((name for name, there in shaping if there), None)
    return (given,) if given and _live(workload) else None


_LIVE_SHAPED = (
    "has(self.promptTokens) ? 'promptTokens' : has(self.outputTokens) ? 'outputTokens' : "
    "has(self.sharedPrefix) ? 'sharedPrefix' : 'prompts.format'"
)


def _live_swept(workload: "Workload") -> tuple[object, ...] | None:
    return (workload.sweep_percent,) if _live(workload) and workload.sweep_percent != [100] else None


def _live_generated(workload: "Workload") -> tuple[object, ...] | None:
    return (workload.generators,) if _live(workload) and workload.generators > 1 else None


class Workload(Model):
    """What is sent to a candidate. The same seed gives the same requests to every trial."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.arrival.pattern in ['Trace', 'Live'] || (has(self.promptTokens) && has(self.outputTokens))",
            message="promptTokens and outputTokens are needed; only a trace has lengths of its own. "
            "Add them, such as {mean: 1024, stddev: 256, max: 4096}",
            broken=_lengths_missing,
        ),
        Rule(
            cel="!has(self.sharedPrefix) || !has(self.promptTokens) || "
            "self.sharedPrefix.tokens <= self.promptTokens.max",
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
            cel="!has(self.arrival.trace) || self.arrival.trace.size() == 0 || self.arrival.trace.exists(e, "
            f"e.atMilliseconds >= {_REPLAY_FROM} * 1000 && "
            f"(e.atMilliseconds - {_REPLAY_FROM} * 1000) * {_REPLAY_TIME} < self.durationSeconds * 100000)",
            message="no entry of trace is due within durationSeconds %s; measure longer, or let the trace begin at 0 "
            "or replay.fromSeconds where it has entries",
            values=("self.durationSeconds",),
            broken=_trace_never_begins,
            path=".arrival.trace",
        ),
        Rule(
            cel="!has(self.arrival.closedLoop) || !has(self.generators) || self.generators == 1",
            message="generators %s cannot share a closed loop, whose requests wait for each other; set generators to 1",
            values=("self.generators",),
            broken=_loop_shared,
            path=".generators",
        ),
        Rule(
            cel="self.arrival.pattern != 'Live' || !(has(self.promptTokens) || has(self.outputTokens) || "
            "has(self.sharedPrefix) || has(self.prompts) && has(self.prompts.format) && "
            "self.prompts.format != 'TokenIds')",
            message="%s has no effect with pattern Live, whose requests are others'; remove it",
            values=(_LIVE_SHAPED,),
            broken=_live_shaped,
            path=".arrival.pattern",
        ),
        Rule(
            cel="self.arrival.pattern != 'Live' || !has(self.sweepPercent) || self.sweepPercent == [100]",
            message="sweepPercent %s has no effect with pattern Live, whose rate nobody sets; remove it",
            values=("self.sweepPercent",),
            broken=_live_swept,
            path=".sweepPercent",
        ),
        Rule(
            cel="self.arrival.pattern != 'Live' || !has(self.generators) || self.generators == 1",
            message="generators %s have nothing to send with pattern Live; set generators to 1",
            values=("self.generators",),
            broken=_live_generated,
            path=".generators",
        ),
    )

    arrival: Arrival
    sweep_percent: list[Annotated[int, Field(ge=1, le=1000)]] = Field(
        default=[100], min_length=1, max_length=8, description="Rates to measure on one start, in % of the arrival's."
    )
    prompt_tokens: TokenLengths | None = Field(
        default=None, description="Of a trace, which has its own, only min and max hold: lengths are clipped to them."
    )
    output_tokens: TokenLengths | None = None
    prompts: Prompts = Prompts()
    shared_prefix: SharedPrefix | None = None
    warmup_seconds: int = Field(default=20, ge=0, le=3600)
    duration_seconds: int = Field(
        default=120,
        ge=1,
        le=3600,
        description="Of each rate, without warm-up and drain; of pattern Live how long a trial is watched.",
    )
    drain_seconds: int = Field(
        default=30, ge=1, le=600, description="Requests still open this long after the last was due are unfinished."
    )
    request_timeout_seconds: int = Field(
        default=300, ge=1, le=3600, description="A request that is not complete so long after it was due is given up."
    )
    dispatch_lag_floor_milliseconds: int = Field(
        default=5,
        ge=1,
        le=60_000,
        description="How late the load generator may be (p99) where 1 % of the tightest TTFT or E2E limit is less.",
    )
    stream_stall_seconds: int = Field(
        default=60, ge=1, le=3600, description="An answer that has begun and then says nothing for so long is given up."
    )
    generators: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Processes that share the requests, where one cannot send them in time. They follow a fixed "
        "timetable: each rate takes its whole drain limit, and a sweep is not ended early.",
    )
    seed: int = Field(default=7, ge=0, le=2_147_483_647)

    @property
    def closed_loop_mark(self) -> str:
        """Put beside every figure of a closed loop, which must not pass for an open loop's; else empty."""
        loop = self.arrival.closed_loop
        return "" if loop is None else f"closed loop of {loop.users} users"

    @property
    def longest_request_tokens(self) -> int | None:
        """Prompt and answer of the longest request that can come; None where only a trace's file or time will tell."""
        if _live(self):
            return None
        prompt, output = self.prompt_tokens or TokenLengths(mean=1), self.output_tokens or TokenLengths(mean=1)
        if self.arrival.pattern is not ArrivalPattern.TRACE:
            return prompt.longest + output.longest
        recorded = self.arrival.trace or []
        both = (prompt.clipped(entry.prompt_tokens) + output.clipped(entry.output_tokens) for entry in recorded)
        limits = prompt.max + output.max if max(prompt.max, output.max) < UNBOUNDED_TOKENS else None
        return max(both, default=limits)

    def with_files(self, moved: Callable[[str], str]) -> "Workload":
        """The same with its files in other places."""
        trace, tokenizer = self.arrival.trace_file, self.prompts.tokenizer_file
        arrival = self.arrival.model_copy(update={"trace_file": trace and moved(trace)})
        prompts = self.prompts.model_copy(update={"tokenizer_file": tokenizer and moved(tokenizer)})
        return self.model_copy(update={"arrival": arrival, "prompts": prompts})
