"""What a workload asks of a server, before anything was measured: how long requests are, and how many at once. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from sloguard.api.v1alpha1 import SLO, ArrivalPattern, LengthDistribution, Metric, TokenLengths, Workload
from sloguard.api.v1alpha1.trace import Replay

USUAL_TOKEN_SECONDS = 0.05
"""Between two tokens, where no SLO bounds it: four times as fast as people read."""

_PER_TOKEN = frozenset({Metric.ITL, Metric.TPOT})


@dataclass(frozen=True, slots=True)
class Demand:
    """`request_tokens`: prompt and answer of the mean request. `concurrency`: requests that run at once when the
    offered rate is served with every answer just as slow as the SLOs allow (Little's law).

    None where only time or a file will tell.
    """

    request_tokens: float | None = None
    concurrency: float | None = None


def demand_of(workload: Workload, slos: Sequence[SLO]) -> Demand:
    """At 100 % of the rate."""
    lengths = _lengths(workload)
    if lengths is None:
        return Demand()
    prompt, output = lengths
    seconds = output * _token_seconds(slos, output)
    return Demand(prompt + output, _concurrency(workload, seconds))


def mean_tokens(lengths: TokenLengths) -> float:
    """Of a distribution, whose tails are clipped little enough to leave the mean where it is."""
    match lengths.distribution:
        case LengthDistribution.UNIFORM:
            return (lengths.min + lengths.max) / 2
        case LengthDistribution.EMPIRICAL:
            buckets = lengths.buckets or []
            total = sum(bucket.weight for bucket in buckets)
            ends = ((b.weight, lengths.clipped(b.min), lengths.clipped(b.max or b.min)) for b in buckets)
            return sum(weight * (low + high) / 2 for weight, low, high in ends) / max(total, 1)
        case _:
            return float(lengths.mean or lengths.min)


def _lengths(workload: Workload) -> tuple[float, float] | None:
    prompt, output = workload.prompt_tokens, workload.output_tokens
    if workload.arrival.pattern is not ArrivalPattern.TRACE:
        return None if prompt is None or output is None else (mean_tokens(prompt), mean_tokens(output))
    entries = workload.arrival.trace
    if not entries:
        return None
    return (
        fmean(prompt.clipped(e.prompt_tokens) if prompt else e.prompt_tokens for e in entries),
        fmean(output.clipped(e.output_tokens) if output else e.output_tokens for e in entries),
    )


def _token_seconds(slos: Sequence[SLO], output_tokens: float) -> float:
    """The most that a token may take."""
    per_token = [slo.milliseconds / 1000 for slo in slos if slo.metric in _PER_TOKEN]
    whole = [slo.milliseconds / 1000 / output_tokens for slo in slos if slo.metric is Metric.E2E]
    return min([*per_token, *whole], default=USUAL_TOKEN_SECONDS)


def _concurrency(workload: Workload, seconds: float) -> float | None:
    """`seconds` is how long one request runs."""
    loop = workload.arrival.closed_loop
    if loop is not None:
        return loop.users * seconds / (seconds + loop.think_milliseconds / 1000)
    rate = _requests_per_second(workload)
    return None if rate is None else rate * seconds


def _requests_per_second(workload: Workload) -> float | None:
    arrival = workload.arrival
    if arrival.pattern is ArrivalPattern.TRACE:
        return _trace_requests_per_second(workload)
    if arrival.requests_per_minute is None:
        return None
    burst = arrival.burst
    share = burst.duty_percent / 100 if burst else 0.0
    peak = burst.requests_per_minute if burst else 0
    return (share * peak + (1 - share) * arrival.requests_per_minute) / 60


def _trace_requests_per_second(workload: Workload) -> float | None:
    """Of what is replayed while a rate is measured; a trace that ends sooner is not stretched."""
    replay = workload.arrival.replay or Replay()
    begin, scale = 1000 * replay.from_seconds, replay.time_percent / 100_000
    due = [(entry.at_milliseconds - begin) * scale for entry in workload.arrival.trace or []]
    played = [seconds for seconds in due if 0 <= seconds < workload.duration_seconds]
    span = min(max(played, default=0.0), workload.duration_seconds)
    return len(played) / span * replay.rate_percent / 100 if span > 0 else None
