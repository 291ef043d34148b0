"""The worst load that a study's workload can put on one server, for a soak. Pure.

High use of memory dies late: not at the start, when vLLM measures itself, but when its batch is full of the longest
requests for the first time, or for the hundredth, with a heap that has fragmented since. A trial's load seldom comes
there: it draws lengths around a mean and sends at a rate that a good configuration keeps up with. So a soak sends
nothing but the longest request, as many at once as the server's batch holds, and the next one as soon as one has ended.
How fast they are answered means nothing then.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sloguard.api.v1alpha1 import (
    Arrival,
    ArrivalPattern,
    ClosedLoop,
    LengthDistribution,
    PromptFormat,
    SharedPrefix,
    TokenLengths,
    Workload,
)

from .lengths import longest_drawn
from .request import LoadInputError, Soak
from .trace import RecordedRequest, recorded

MOST_REQUESTS = 1024
"""At once: the largest batch that vLLM chooses by itself, and what it is taken for where nobody knows it. One generator
with more of the longest prompts in its hands would test its own memory."""

KV_CACHES_OF_PROMPTS = 2
"""Prompts that fill the KV cache so many times over keep it full. Any more would only wait in the queue until their
client gives them up, whatever max_num_seqs allows."""

LEAST_ANSWER_SHARE = 8
"""Where the model is too short for prompt and answer, the answer keeps this part of it, if it wants so much: prompts
alone would never make a batch that decodes."""

TEMPLATE_TOKENS = 64
"""That a text's beginning mark or a chat's template may add to a prompt, which the model's length has to hold too."""

NO_LATENESS_MILLISECONDS = 60_000
"""Latencies are not judged, so no lateness of the generator's own makes a soak invalid."""


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The load, and what it is in words: how many requests, why so many, and how long."""

    workload: Workload
    in_words: str


def worst_case(
    workload: Workload,
    soak: Soak,
    trace: Sequence[RecordedRequest] | None = None,
    max_model_len_tokens: int | None = None,
) -> WorstCase:
    """Of any kind of workload. `trace` is what its file holds; `max_model_len_tokens` what the server says of itself.

    Prompts are all different, so that none is served from another's blocks, unless every prompt of the workload begins
    alike.

    Raises:
        LoadInputError: neither workload nor server says how long a request may be.

    """
    prompt, output = _fitting(_longest(workload, trace), workload, max_model_len_tokens)
    users, why = _at_once(soak, prompt)
    update = {
        "arrival": Arrival(pattern=ArrivalPattern.CLOSED_LOOP, closed_loop=ClosedLoop(users=users)),
        "sweep_percent": [100],
        "prompt_tokens": _always(prompt),
        "output_tokens": _always(output),
        "shared_prefix": _of_all_prompts(workload.shared_prefix, prompt),
        "warmup_seconds": 0,
        "duration_seconds": soak.seconds,
        "generators": 1,
        "dispatch_lag_floor_milliseconds": NO_LATENESS_MILLISECONDS,
    }
    told = f"{users} requests at once ({why}), each a prompt of {prompt} and an answer of {output} tokens"
    return WorstCase(workload.model_copy(update=update), told)


def _longest(workload: Workload, trace: Sequence[RecordedRequest] | None) -> tuple[int, int] | None:
    """Prompt and answer of the longest request; None where the workload does not say."""
    prompt, output = workload.prompt_tokens, workload.output_tokens
    if workload.arrival.pattern is not ArrivalPattern.TRACE:
        return None if prompt is None or output is None else (longest_drawn(prompt), longest_drawn(output))
    requests = recorded(workload.arrival.trace or []) if trace is None else trace
    both = [
        (
            prompt.clipped(request.prompt_tokens) if prompt else request.prompt_tokens,
            output.clipped(request.output_tokens) if output else request.output_tokens,
        )
        for request in requests
    ]
    return max(both, key=lambda each: (sum(each), each), default=None)


def _fitting(longest: tuple[int, int] | None, workload: Workload, length: int | None) -> tuple[int, int]:
    """As much of it as the model can take: a longer one would be refused, and refusals try nothing."""
    room = None if length is None else max(length - _added_tokens(workload), 2)
    if longest is None and room is None:
        raise LoadInputError("neither the workload nor the server's /v1/models says how long a request may be")
    if room is None:
        assert longest is not None, "one of the two is known"
        return longest
    prompt, output = longest or (room, room)
    output = min(output, max(room - prompt, room // LEAST_ANSWER_SHARE, 1))
    return min(prompt, room - output), output


def _added_tokens(workload: Workload) -> int:
    return 0 if workload.prompts.format is PromptFormat.TOKEN_IDS else TEMPLATE_TOKENS


def _at_once(soak: Soak, prompt_tokens: int) -> tuple[int, str]:
    """The full batch, or fewer, and why so many."""
    bounds = [(MOST_REQUESTS, "as many as one generator sends")]
    if soak.max_num_seqs is not None:
        bounds.insert(0, (soak.max_num_seqs, "max_num_seqs"))
    if soak.kv_cache_tokens is not None:
        fill = -(-KV_CACHES_OF_PROMPTS * soak.kv_cache_tokens // prompt_tokens)
        bounds.append((max(fill, 1), f"which fill the KV cache of {soak.kv_cache_tokens} tokens twice over"))
    return min(bounds, key=lambda bound: bound[0])


def _always(tokens: int) -> TokenLengths:
    return TokenLengths(distribution=LengthDistribution.NORMAL, mean=tokens, min=tokens, max=tokens)


def _of_all_prompts(prefix: SharedPrefix | None, prompt_tokens: int) -> SharedPrefix | None:
    if prefix is None or prefix.percent < 100:
        return None
    return prefix.model_copy(update={"tokens": min(prefix.tokens, prompt_tokens)})
