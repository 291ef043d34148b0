"""The OpenAI request bodies as vLLM reads them, and its refusals."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from sloguard.simulator.text import tokenize

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

COMPLETION_MAX_TOKENS = 16  # OpenAI's default of /v1/completions
NATURAL_OUTPUT_TOKENS = 200  # mean length of an answer that may stop by itself (geometric)


class RequestError(Exception):
    """A 4xx answer."""

    def __init__(self, message: str, *, parameter: str | None = None, status: int = 400, kind: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.body = {
            "error": {
                "message": message,
                "type": kind or ("NotFoundError" if status == 404 else "BadRequestError"),
                "param": parameter,
                "code": status,
            }
        }


@dataclass(frozen=True)
class Generation:
    """One validated request: prompts as token ids, lengths in tokens."""

    request_id: str
    model: str
    created: int
    chat: bool
    prompts: tuple[Sequence[int], ...]
    max_tokens: int
    output_tokens: tuple[int, ...]
    finish_reasons: tuple[str, ...]
    n: int
    stream: bool
    include_usage: bool
    continuous_usage: bool
    priority: int


def parse_generation(
    body: object, *, chat: bool, models: Sequence[str], max_model_len: int, random_source: random.Random
) -> Generation:
    """RequestError where vLLM answers 400 or 404."""
    if not isinstance(body, dict):
        raise RequestError("Input should be a valid dictionary")
    fields = cast("Mapping[str, Any]", body)
    model = fields.get("model") or models[0]
    if model not in models:
        raise RequestError(f"The model `{model}` does not exist.", parameter="model", status=404)
    prompts = (_chat_tokens(fields),) if chat else _prompts(fields.get("prompt"))
    n = _integer(fields, "n", 1, minimum=1) or 1
    max_tokens = _check_lengths(fields, prompts, max_model_len, chat)
    lengths = [_output_length(fields, limit, random_source) for limit in (max_tokens,) * (len(prompts) * n)]
    options: dict[str, Any] = fields.get("stream_options") or {}
    if options and not fields.get("stream"):
        raise RequestError("Stream options can only be defined when `stream=True`.", parameter="stream_options")
    return Generation(
        request_id=f"{'chatcmpl' if chat else 'cmpl'}-{random_source.getrandbits(64):016x}",
        model=model,
        created=int(time.time()),
        chat=chat,
        prompts=tuple(prompt for prompt in prompts for _ in range(n)),
        max_tokens=max_tokens,
        output_tokens=tuple(length for length, _ in lengths),
        finish_reasons=tuple(reason for _, reason in lengths),
        n=n,
        stream=bool(fields.get("stream")),
        include_usage=bool(options.get("include_usage")),
        continuous_usage=bool(options.get("continuous_usage_stats")),
        priority=_integer(fields, "priority", 0) or 0,
    )


def _prompts(prompt: object) -> tuple[Sequence[int], ...]:
    """A text, a list of texts, a list of token ids or a list of such lists."""
    if isinstance(prompt, str):
        prompts: tuple[Sequence[int], ...] = (tokenize(prompt),)
    elif isinstance(prompt, list) and prompt:
        items = cast("list[Any]", prompt)
        if all(type(item) is int for item in items):
            prompts = (_token_ids(items),)
        else:
            prompts = tuple(tokenize(item) if isinstance(item, str) else _token_ids(item) for item in items)
    else:
        raise RequestError("Either prompt or prompt_embeds must be provided and non-empty.", parameter="prompt")
    if not all(prompts):
        raise RequestError("The decoder prompt cannot be empty", parameter="prompt")
    return prompts


def _token_ids(value: object) -> list[int]:
    if not isinstance(value, list) or not all(type(item) is int and item >= 0 for item in cast("list[Any]", value)):
        raise RequestError(
            "prompt: Input should be a string, a list of integers, or a list of these", parameter="prompt"
        )
    return cast("list[int]", value)


def _chat_tokens(fields: Mapping[str, Any]) -> list[int]:
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError("messages: Field required", parameter="messages")
    tokens: list[int] = []
    for message in cast("list[Any]", messages):
        if not isinstance(message, dict):
            raise RequestError("messages: Input should be a valid dictionary", parameter="messages")
        content = cast("dict[str, Any]", message).get("content") or ""
        if isinstance(content, list):
            parts = cast("list[dict[str, Any]]", content)
            content = " ".join(str(part.get("text", "")) for part in parts)
        role = tokenize(str(cast("dict[str, Any]", message).get("role", "user")))
        tokens += [*role, *tokenize(str(content)), 1]  # the template's marks
    return tokens


def _check_lengths(fields: Mapping[str, Any], prompts: Sequence[Sequence[int]], max_model_len: int, chat: bool) -> int:
    given = _integer(fields, "max_completion_tokens", None, minimum=1) if chat else None
    if given is None:
        given = _integer(fields, "max_tokens", None if chat else COMPLETION_MAX_TOKENS, minimum=1)
    longest = max(len(prompt) for prompt in prompts)
    output = given or 0
    if output > max_model_len:
        raise RequestError(
            f"max_tokens={output}cannot be greater than max_model_len=max_total_tokens={max_model_len}. Please request "
            "fewer output tokens.",
            parameter="max_tokens",
        )
    if longest > max_model_len - max(output, 1 if chat else output):
        raise RequestError(
            f"You passed {longest} input tokens and requested {output} output tokens. However, the model's context "
            f"length is only {max_model_len} tokens, resulting in a maximum input length of {max_model_len - output} "
            "tokens. Please reduce the length of the input prompt.",
            parameter="input_tokens",
        )
    return given if given is not None else max_model_len - longest


def _output_length(fields: Mapping[str, Any], max_tokens: int, random_source: random.Random) -> tuple[int, str]:
    """How many tokens will come, and why they will stop."""
    minimum = _integer(fields, "min_tokens", 0) or 0
    if minimum > max_tokens:
        text = f"min_tokens must be less than or equal to max_tokens={max_tokens}, got {minimum}."
        raise RequestError(text, parameter="min_tokens")
    if fields.get("ignore_eos"):
        return max_tokens, "length"
    natural = max(1, minimum, int(random_source.expovariate(1 / NATURAL_OUTPUT_TOKENS)))
    return (natural, "stop") if natural < max_tokens else (max_tokens, "length")


def _integer(fields: Mapping[str, Any], name: str, default: int | None, *, minimum: int = 0) -> int | None:
    value = fields.get(name)
    if value is None:
        return default
    if type(value) is not int:
        raise RequestError(f"{name}: Input should be a valid integer", parameter=name)
    if value < minimum:
        raise RequestError(f"{name} must be at least {minimum}, got {value}.", parameter=name)
    return value
