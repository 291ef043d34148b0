"""A soak's load: the longest requests that a workload can send, as many at once as the server's batch holds."""

import json

import pytest

from sloguard.api.v1alpha1 import (
    Arrival,
    ArrivalPattern,
    ClosedLoop,
    LengthBucket,
    LengthDistribution,
    PromptFormat,
    Prompts,
    SharedPrefix,
    TokenLengths,
    TraceEntry,
    Workload,
)
from sloguard.measure.load import run_load
from sloguard.measure.request import LoadInputError, LoadRequest, Soak
from sloguard.measure.requests import RequestFactory
from sloguard.measure.trace import RecordedRequest
from sloguard.measure.worst_case import MOST_REQUESTS, TEMPLATE_TOKENS, worst_case
from tests.unit.measure.fake_server import a_request, replies

NORMAL = TokenLengths(mean=1000, stddev=250, min=16, max=4096)
ANSWERS = TokenLengths(mean=100, stddev=25, max=150)


def a_workload(prompt=NORMAL, output=ANSWERS, **more):
    arrival = more.pop("arrival", Arrival(requests_per_minute=600))
    return Workload(arrival=arrival, prompt_tokens=prompt, output_tokens=output, **more)


def lengths(found):
    """Of a workload in which all requests are alike."""
    workload = found.workload
    assert workload.prompt_tokens.min == workload.prompt_tokens.max == workload.prompt_tokens.mean
    assert workload.output_tokens.min == workload.output_tokens.max == workload.output_tokens.mean
    return workload.prompt_tokens.mean, workload.output_tokens.mean


def longest(workload, length=None, trace=None):
    return lengths(worst_case(workload, Soak(seconds=60, max_num_seqs=8), trace, length))


def users(soak, workload=None, length=None):
    return worst_case(workload or a_workload(), soak, None, length).workload.arrival.closed_loop.users


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        (NORMAL, 2000),
        (TokenLengths(mean=1000, stddev=250), 2000),
        (TokenLengths(mean=1000, stddev=250, max=1200), 1200),
        (TokenLengths(mean=37), 37),
        (TokenLengths(distribution=LengthDistribution.LOG_NORMAL, mean=1000, stddev=0), 1000),
        (TokenLengths(distribution=LengthDistribution.LOG_NORMAL, mean=1000, stddev=1000, max=9000), 9000),
        (TokenLengths(distribution=LengthDistribution.UNIFORM, min=5, max=800), 800),
        (
            TokenLengths(
                distribution=LengthDistribution.EMPIRICAL, buckets=[LengthBucket(min=10, max=900), LengthBucket(min=5)]
            ),
            900,
        ),
    ],
)
def test_the_longest_of_each_distribution(prompt, tokens):
    assert longest(a_workload(prompt)) == (tokens, 150)


@pytest.mark.parametrize("distribution", [LengthDistribution.NORMAL, LengthDistribution.LOG_NORMAL])
def test_hardly_any_drawn_length_is_longer_than_what_is_reckoned_with(distribution):
    drawn = a_workload(TokenLengths(distribution=distribution, mean=1000, stddev=500))
    most, _ = longest(drawn)
    stream = RequestFactory(drawn, model="m").stream("x", percent=100, duration_seconds=3600)
    prompts = [request.prompt_tokens for request in stream]
    assert sum(tokens > most for tokens in prompts) <= 5
    assert max(prompts) > 0.6 * most, "and not one that is never drawn either"


def test_of_a_trace_the_request_that_is_longest_as_a_whole():
    entries = [
        TraceEntry(at_milliseconds=0, prompt_tokens=900, output_tokens=10),
        TraceEntry(at_milliseconds=5, prompt_tokens=700, output_tokens=400),
        TraceEntry(at_milliseconds=9, prompt_tokens=5, output_tokens=800),
    ]
    traced = Workload(arrival=Arrival(pattern=ArrivalPattern.TRACE, trace=entries))
    assert longest(traced) == (700, 400)
    bounded = traced.model_copy(update={"output_tokens": TokenLengths(mean=1, max=20)})
    assert longest(bounded) == (900, 10), "lengths are clipped as when the trace is replayed"


def test_of_a_trace_in_a_file():
    traced = Workload(arrival=Arrival(pattern=ArrivalPattern.TRACE, trace_file="x.jsonl"))
    assert longest(traced, trace=[RecordedRequest(0.0, 70, 7), RecordedRequest(1.0, 60, 30)]) == (60, 30)


@pytest.mark.parametrize(
    ("length", "fitting"),
    [
        (None, (2000, 150)),
        (4096, (2000, 150)),
        (2100, (1950, 150)),
        (2001, (1851, 150)),
        (1000, (875, 125)),
        (8, (7, 1)),
        (1, (1, 1)),
    ],
)
def test_a_request_is_no_longer_than_the_model_takes_and_keeps_an_answer(length, fitting):
    assert longest(a_workload(), length) == fitting


def test_a_template_needs_room_beside_the_prompt():
    chat = a_workload(prompts=Prompts(format=PromptFormat.CHAT))
    assert sum(longest(chat, 1000)) == 1000 - TEMPLATE_TOKENS


def test_live_traffic_may_send_whatever_the_model_takes():
    live = Workload(arrival=Arrival(pattern=ArrivalPattern.LIVE))
    assert longest(live, 8192) == (7168, 1024)
    with pytest.raises(LoadInputError, match="how long a request may be"):
        worst_case(live, Soak(seconds=60))


def test_as_many_as_the_batch_holds():
    assert users(Soak(seconds=60, max_num_seqs=48)) == 48
    assert worst_case(a_workload(), Soak(seconds=60, max_num_seqs=48)).in_words == (
        "48 requests at once (max_num_seqs), each a prompt of 2000 and an answer of 150 tokens"
    )


def test_no_more_than_one_generator_can_hold():
    assert users(Soak(seconds=60)) == MOST_REQUESTS
    assert users(Soak(seconds=60, max_num_seqs=100_000)) == MOST_REQUESTS
    assert "one generator" in worst_case(a_workload(), Soak(seconds=60, max_num_seqs=100_000)).in_words


def test_no_more_than_fill_the_kv_cache_twice_over_with_prompts():
    found = worst_case(a_workload(), Soak(seconds=60, max_num_seqs=256, kv_cache_tokens=50_000))
    assert found.workload.arrival.closed_loop.users == 50
    assert "KV cache of 50000 tokens" in found.in_words
    assert users(Soak(seconds=60, max_num_seqs=8, kv_cache_tokens=50_000)) == 8
    assert users(Soak(seconds=60, max_num_seqs=8, kv_cache_tokens=1)) == 1


def test_short_prompts_fill_the_batch_whatever_their_answers_will_need():
    long_answers = a_workload(TokenLengths(mean=16), TokenLengths(mean=4000))
    assert users(Soak(seconds=60, max_num_seqs=256, kv_cache_tokens=100_000), long_answers) == 256


def test_no_rate_no_warm_up_no_sweep_and_one_generator():
    workload = a_workload(sweep_percent=[50, 100], warmup_seconds=30, generators=4, duration_seconds=10)
    worst = worst_case(workload, Soak(seconds=300, max_num_seqs=8)).workload
    assert worst.arrival == Arrival(pattern=ArrivalPattern.CLOSED_LOOP, closed_loop=ClosedLoop(users=8))
    assert (worst.sweep_percent, worst.warmup_seconds, worst.duration_seconds) == ([100], 0, 300)
    assert worst.generators == 1
    assert Workload.model_validate(worst.dump()) == worst, "as anybody could have written it"


def test_prompts_share_nothing_unless_all_of_the_workloads_do():
    soak = Soak(seconds=60, max_num_seqs=8)
    half = a_workload(shared_prefix=SharedPrefix(tokens=512, percent=50))
    assert worst_case(half, soak).workload.shared_prefix is None
    whole = a_workload(shared_prefix=SharedPrefix(tokens=512, percent=100))
    assert worst_case(whole, soak).workload.shared_prefix == SharedPrefix(tokens=512, percent=100)
    assert worst_case(whole, soak, None, 200).workload.shared_prefix.tokens == 175


async def test_a_load_sends_the_worst_case_that_the_server_can_take(server):
    server.models = replies(200, b'{"data": [{"id": "tiny", "max_model_len": 24}]}')
    request = a_request(server).model_copy(update={"soak": Soak(seconds=1, max_num_seqs=3)})
    result = await run_load(request)
    (rate,) = result.rates
    assert rate.users == 3
    sent = {(len(body["prompt"]), body["max_tokens"]) for body in map(json.loads, server.bodies)}
    assert sent == {(8, 4)}, "all of the workload's requests are alike"
    assert result.worst_case.startswith("3 requests at once")
    assert result.invalid is None


async def test_the_servers_word_on_its_length_counts_also_where_its_name_is_given(server):
    server.models = replies(200, b'{"data": [{"id": "tiny", "max_model_len": 8}]}')
    request = a_request(server, model="tiny").model_copy(update={"soak": Soak(seconds=1, max_num_seqs=1)})
    await run_load(request)
    assert {len(json.loads(body)["prompt"]) for body in server.bodies} == {7}


@pytest.mark.parametrize("length", [b'"8"', b"null", b"0", b"true", b"-1", b"1.5"])
async def test_an_odd_length_is_none(server, length):
    server.models = replies(200, b'{"data": [{"id": "tiny", "max_model_len": %s}]}' % length)
    request = a_request(server).model_copy(update={"soak": Soak(seconds=1, max_num_seqs=1)})
    assert "a prompt of 8 " in (await run_load(request)).worst_case


def test_a_request_may_soak_with_a_workload_that_has_no_rate():
    fields = {"url": "http://x", "slos": [{"metric": "TTFT", "milliseconds": 1}]}
    live = {"workload": {"arrival": {"pattern": "Live"}}}
    assert LoadRequest.model_validate(fields | live | {"soak": {"seconds": 5}})
    with pytest.raises(ValueError, match="pattern Live sends nothing"):
        LoadRequest.model_validate(fields | live)
