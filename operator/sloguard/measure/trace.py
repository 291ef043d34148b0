"""A trace replayed: which recorded requests fall into a window, and when each is due. Pure.

Times scale in two ways, and the rate in a third. `timePercent` and a rate of the sweep squeeze or stretch the recorded
times: bursts become steeper with the rate. `ratePercent` leaves the times as they are: below 100 a random share of the
requests is kept, of exactly that size (thinned so, a Poisson process stays one); above, each request comes that many
times, its copies anywhere between it and the next one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from sloguard.api.v1alpha1 import Replay, TraceEntry, Workload

Prefix = tuple[tuple[str, int], ...]
"""How a prompt begins: parts with an equal name hold the same tokens, so many of them."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request of a trace, `at_seconds` after its start."""

    at_seconds: float
    prompt_tokens: int
    output_tokens: int
    prefix: Prefix = ()


def recorded(entries: Iterable[TraceEntry]) -> list[RecordedRequest]:
    """What stands in the study itself, in order of time."""
    return [
        RecordedRequest(
            entry.at_milliseconds / 1000,
            entry.prompt_tokens,
            entry.output_tokens,
            () if group is None else group_prefix(str(group), entry.prefix_tokens or entry.prompt_tokens),
        )
        for entry in sorted(entries, key=lambda entry: entry.at_milliseconds)
        for group in (entry.prefix_group,)
    ]


def group_prefix(group: str, tokens: int) -> Prefix:
    """The beginning that a group's prompts share."""
    return ((f"group-{group}", tokens),)


def replayed(
    trace: Sequence[RecordedRequest], workload: Workload, percent: int, duration_seconds: int, seed: str
) -> list[RecordedRequest]:
    """The requests of one window, each with the second after its start at which it is due, in that order."""
    replay = workload.arrival.replay or Replay()
    due = (_due(request, replay, percent) for request in trace)
    within = [each for each in due if 0 <= each.at_seconds < duration_seconds]
    fitted = [_fitted(each, workload) for each in within]
    return _scaled(fitted, replay.rate_percent, duration_seconds, Random(seed))


def needed_seconds(workload: Workload) -> float:
    """So much of a trace, from its start, is seen by some window of the workload."""
    replay = workload.arrival.replay or Replay()
    percents = workload.sweep_percent
    longest = max(workload.duration_seconds * max(percents), workload.warmup_seconds * min(percents))
    return replay.from_seconds + longest / replay.time_percent


def _due(request: RecordedRequest, replay: Replay, percent: int) -> RecordedRequest:
    return replace(request, at_seconds=(request.at_seconds - replay.from_seconds) * replay.time_percent / percent)


def _fitted(request: RecordedRequest, workload: Workload) -> RecordedRequest:
    prompt, output = workload.prompt_tokens, workload.output_tokens
    return replace(
        request,
        prompt_tokens=prompt.clipped(request.prompt_tokens) if prompt else request.prompt_tokens,
        output_tokens=output.clipped(request.output_tokens) if output else request.output_tokens,
    )


def _scaled(
    requests: list[RecordedRequest], rate_percent: int, duration_seconds: int, rng: Random
) -> list[RecordedRequest]:
    whole, rest = divmod(len(requests) * rate_percent, 100)
    if not requests or rate_percent == 100:
        return requests
    copies, more = divmod(whole + (rest >= 50), len(requests))
    favoured = set(rng.sample(range(len(requests)), more))
    ends = [each.at_seconds for each in requests[1:]] + [float(duration_seconds)]
    scaled = [
        # The first stays where it was recorded.
        replace(request, at_seconds=rng.uniform(request.at_seconds, end)) if copy else request
        for index, (request, end) in enumerate(zip(requests, ends, strict=True))
        for copy in range(copies + (index in favoured))
    ]
    return sorted(scaled, key=lambda each: each.at_seconds)
