"""Prompts that are text, to both endpoints: words that are a token each, counted by the server."""

import asyncio
import json

import pytest

from sloguard.api.v1alpha1 import Arrival, PromptFormat, Prompts, SharedPrefix, TokenLengths
from sloguard.measure.load import run_load
from sloguard.measure.request import LoadInputError
from sloguard.measure.requests import RequestFactory
from sloguard.measure.sse import CompletionStream
from sloguard.measure.words import COMMON, COUNT, read_words
from sloguard.simulator.text import tokenize
from tests.unit.measure.fake_server import a_workload
from tests.unit.measure.test_against_simulator import a_request, simulate  # noqa: F401 - a fixture


def text_workload(form, **changes):
    lengths = {"prompt_tokens": TokenLengths(mean=40, stddev=20, min=1, max=90)}
    arrival = Arrival(requests_per_minute=600)
    return a_workload(**lengths | changes, arrival=arrival, prompts=Prompts(format=form))


def sent(workload, **options):
    stream = RequestFactory(workload, model="m", **options).stream("100", percent=100, duration_seconds=10)
    return [(request.prompt_tokens, json.loads(request.body())) for request in stream]


def content(body):
    return body["prompt"] if "prompt" in body else body["messages"][0]["content"]


@pytest.mark.parametrize("form", [PromptFormat.TEXT, PromptFormat.CHAT])
def test_a_word_for_each_token(form):
    for tokens, body in sent(text_workload(form)):
        assert len(content(body).split(" ")) == len(tokenize(content(body))) == tokens
        assert body["min_tokens"] == body["max_tokens"]
        assert body["ignore_eos"] is True
        assert ("messages" in body) == (form is PromptFormat.CHAT)
    if form is PromptFormat.CHAT:
        assert [message["role"] for message in body["messages"]] == ["user"]


def test_shared_prefixes_are_shared_words():
    bodies = sent(text_workload(PromptFormat.TEXT, shared_prefix=SharedPrefix(tokens=5, percent=100)))
    texts = [content(body).split(" ") for tokens, body in bodies if tokens > 8]
    assert len({tuple(text[:5]) for text in texts}) == 1
    assert len({tuple(text[5:8]) for text in texts}) > len(texts) / 2


def test_the_common_words_need_no_escape_and_are_distinct():
    assert len(set(COMMON)) == len(COMMON) == COUNT
    assert all(word.isascii() and word.isalpha() and word.islower() and len(word) <= 6 for word in COMMON)


def a_tokenizer(path, tokens, unigram=False):
    vocabulary = (
        [[token, -1.0] for token in tokens] if unigram else {token: index for index, token in enumerate(tokens)}
    )
    path.write_text(json.dumps({"model": {"type": "x", "vocab": vocabulary}}))
    return path


def names(count):
    return ["".join(chr(97 + index // 26**place % 26) for place in range(3)) for index in range(count)]


@pytest.mark.parametrize(("mark", "unigram"), [("\u0120", False), ("\u2581", False), ("\u2581", True)])
def test_words_are_those_that_are_a_token_both_in_front_and_after_a_space(tmp_path, mark, unigram):
    both = names(300)
    only_front, only_after, odd = ["front"], [mark + "after"], ["Upper", mark + "Upper", "x1", mark + "x1", "<s>"]
    tokens = [*both, *(mark + name for name in both), *only_front, *only_after, *odd]
    path = a_tokenizer(tmp_path / "tokenizer.json", tokens, unigram)
    found = read_words(path)
    assert len(set(found)) == COUNT
    assert set(found) < set(both)
    assert found == read_words(path)
    for tokens_, body in sent(text_workload(PromptFormat.TEXT), words=found):
        assert len(content(body).split(" ")) == tokens_
        assert set(content(body).split(" ")) <= set(found)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file or directory; check the path"),
        ("{", "is not JSON"),
        ("[]", "has no model.vocab; name the model's tokenizer.json"),
        ('{"model": {"vocab": 7}}', "has no model.vocab"),
        ('{"model": {"vocab": {"a": 1, "\u2581a": 2}}}', "only 1 words of small letters are one token"),
        ('{"model": {"vocab": [[], 7, ["a", 1]]}}', "only 0 words of small letters are one token"),
    ],
)
def test_a_file_without_such_words(tmp_path, text, message):
    path = tmp_path / "tokenizer.json"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(LoadInputError) as caught:
        read_words(path)
    assert message in str(caught.value)


@pytest.mark.parametrize("form", [PromptFormat.TEXT, PromptFormat.CHAT])
async def test_the_servers_count_of_prompt_tokens_is_reported(simulate, form):  # noqa: F811 - the fixture
    """A chat's template adds tokens that only the server knows."""
    _, url = await simulate()
    request = a_request(url, prompts=Prompts(format=form), warmup_seconds=0, shared_prefix=None)
    result = await asyncio.wait_for(run_load(request), 60)
    (rate,) = result.rates
    stream = RequestFactory(request.workload, model="m").stream("100", percent=100, duration_seconds=1)
    ours = sum(planned.prompt_tokens for planned in stream)
    assert rate.good == rate.sent == 30
    assert rate.server.prompt_tokens == rate.prompt_tokens
    assert rate.server.generation_tokens == rate.output_tokens
    assert (rate.prompt_tokens - ours) / rate.sent == (0 if form is PromptFormat.TEXT else 2)


def test_a_chunk_that_only_names_the_role_is_no_token():
    stream = CompletionStream(2)
    role = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
    token = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    stream.feed(role, 1_000)
    assert stream.first_ns == 0
    stream.feed(token, 5_000_000)
    stream.feed(token, 9_000_000)
    assert stream.first_ns == 5_000_000
    assert list(stream.gaps_microseconds) == [4000]
