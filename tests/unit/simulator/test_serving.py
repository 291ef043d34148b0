import asyncio
import signal
import time

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

PROMPT = list(range(100, 164))


async def test_streams_as_vllm_does_and_says_that_it_is_a_simulator(start, session):
    server = start("--served-model-name", "served")
    await server.wait_ready(session)
    answer = await server.stream(
        session, prompt=PROMPT, max_tokens=7, ignore_eos=True, model="served", stream_options={"include_usage": True}
    )
    assert (answer.status, answer.done) == (200, True)
    assert len(answer.texts) == 7
    *tokens, usage = answer.chunks
    assert [chunk["choices"][0]["finish_reason"] for chunk in tokens] == [None] * 6 + ["length"]
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"], usage["choices"]) == (64, 7, [])
    assert answer.headers["Server"] == "sloguard-simulator"
    assert server.log.splitlines()[0].count("SLO-Guard's simulator") == 1
    async with session.get(f"{server.url}/version") as version:
        assert (await version.json())["simulator"] == "sloguard"
    async with session.get(f"{server.url}/v1/models") as models:
        model = (await models.json())["data"][0]
    assert (model["id"], model["max_model_len"]) == ("served", 4096)


async def test_other_forms_of_requests(start, session):
    server = start("--stream-interval", "4")
    await server.wait_ready(session)
    plain = {"max_tokens": 3, "ignore_eos": True}
    async with session.post(f"{server.url}/v1/completions", json={"prompt": "three short words", **plain}) as answer:
        whole = await answer.json()
    assert whole["usage"] == {
        "prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6, "prompt_tokens_details": None,
    }  # fmt: skip
    async with session.post(
        f"{server.url}/v1/completions", json={"prompt": [[1, 2], [3, 4]], "n": 2, **plain}
    ) as answer:
        batch = await answer.json()
    assert [choice["index"] for choice in batch["choices"]] == [0, 1, 2, 3]
    assert batch["usage"]["prompt_tokens"] == 4
    chat = await server.stream(
        session, "/v1/chat/completions", messages=[{"role": "user", "content": "hi"}], max_completion_tokens=9,
        ignore_eos=True, stream_options={"continuous_usage_stats": True},
    )  # fmt: skip
    assert chat.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chat.chunks[-1]["usage"]["completion_tokens"] == 9
    # One token at once, then four a chunk, then the rest.
    assert [chunk["usage"]["completion_tokens"] for chunk in chat.chunks] == [0, 1, 5, 9]
    stopping = await server.stream(session, prompt="a b", max_tokens=4000, min_tokens=5)
    assert stopping.chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert len("".join(stopping.texts).split()) >= 5


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"prompt": [1] * 4090, "max_tokens": 10}, 400, "the model's context length is only 4096 tokens"),
        ({"prompt": [1], "max_tokens": 5000}, 400, "cannot be greater than"),
        ({"prompt": [1], "max_tokens": 0}, 400, "max_tokens must be at least 1"),
        ({"prompt": [1], "min_tokens": 30}, 400, "min_tokens must be less than"),
        ({"prompt": ""}, 400, "prompt cannot be empty"),
        ({"prompt": [1, "x", 2.5]}, 400, "prompt"),
        ({}, 400, "prompt"),
        ({"prompt": "x", "model": "another"}, 404, "The model `another` does not exist."),
    ],
)
def test_refuses_what_vllm_refuses(body, status, message):
    import random

    from sloguard.simulator.protocol import RequestError, parse_generation

    with pytest.raises(RequestError, match=message) as refused:
        parse_generation(body, chat=False, models=["m"], max_model_len=4096, random_source=random.Random(1))
    assert refused.value.status == status
    assert refused.value.body["error"]["code"] == status


async def test_metrics_agree_with_what_was_served(start, session):
    server = start()
    await server.wait_ready(session)
    for _ in range(2):
        await server.stream(session, prompt=PROMPT, max_tokens=5, ignore_eos=True)
    async with session.post(f"{server.url}/v1/completions", data=b"nonsense") as answer:
        assert answer.status == 400
    samples = await server.samples(session)
    assert samples["vllm:prompt_tokens_total"] == 128
    assert samples["vllm:generation_tokens_total"] == 10
    assert samples["vllm:request_success_total"] == 2
    assert samples["vllm:time_to_first_token_seconds_count"] == 2
    assert samples["vllm:inter_token_latency_seconds_count"] == 8
    assert samples["vllm:prefix_cache_queries_total"] == 128
    assert samples["vllm:prefix_cache_hits_total"] == 48  # the block of the last prompt token is computed again
    assert samples["vllm:iteration_tokens_total_sum"] == 128 - 48 + 8
    assert samples["vllm:num_requests_running"] == 0
    assert samples["vllm:cache_config_info"] == 1


async def test_the_cache_is_described_by_labels(start, session):
    server = start()
    await server.wait_ready(session)
    async with session.get(f"{server.url}/metrics") as answer:
        families = {family.name: family for family in text_string_to_metric_families(await answer.text())}
    info = families["vllm:cache_config_info"].samples[0].labels
    assert int(info["num_gpu_blocks"]) * int(info["block_size"]) >= int(info["kv_cache_size_tokens"])


async def test_a_client_that_leaves_is_aborted(start, session):
    server = start()
    await server.wait_ready(session)
    body = {"prompt": PROMPT, "max_tokens": 4000, "ignore_eos": True, "stream": True}
    async with session.post(f"{server.url}/v1/completions", json=body) as answer:
        await answer.content.readline()
    samples: dict[str, float] = {}
    for _ in range(100):
        samples = await server.samples(session)
        if samples["vllm:num_requests_running"] == 0:
            break
        await asyncio.sleep(0.05)
    assert samples["vllm:num_requests_running"] == 0
    assert samples["vllm:kv_cache_usage_perc"] == 0
    assert samples["vllm:request_success_total"] == 1


async def test_the_api_key_guards_v1_only(start, session):
    server = start("--api-key", "secret")
    await server.wait_ready(session)
    assert (await server.stream(session, prompt="x")).status == 401
    async with session.get(f"{server.url}/v1/models", headers={"Authorization": "Bearer secret"}) as answer:
        assert answer.status == 200


async def test_refuses_connections_while_it_starts(start, session):
    server = start("--startup-scale", "0.05")
    deadline = time.monotonic() + 10
    while "Resolved architecture" not in server.log and time.monotonic() < deadline:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{server.url}/health")
        await asyncio.sleep(0.02)
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.get(f"{server.url}/health")
    await server.wait_ready(session)


async def test_sigterm_refuses_new_requests_finishes_open_streams_and_exits_0(start, session):
    server = start()
    await server.wait_ready(session)
    stream = asyncio.create_task(server.stream(session, prompt=PROMPT, max_tokens=150, ignore_eos=True))
    await server.wait_running(session)
    server.process.send_signal(signal.SIGTERM)
    for _ in range(200):
        await asyncio.sleep(0.02)
        try:
            async with session.get(f"{server.url}/health"):
                continue
        except aiohttp.ClientConnectionError:
            break
    else:
        raise AssertionError("still takes connections")
    answer = await stream
    assert (len(answer.texts), answer.done) == (150, True)
    assert await server.wait_end() == 0


async def test_open_streams_are_cut_after_the_drain_time(start, session):
    server = start("--drain-seconds", "0.1")
    await server.wait_ready(session)
    stream = asyncio.create_task(server.stream(session, prompt=PROMPT, max_tokens=4000, ignore_eos=True))
    await server.wait_running(session)
    server.process.send_signal(signal.SIGTERM)
    with pytest.raises(aiohttp.ClientError):
        await stream
    assert await server.wait_end() == 0


def test_sigterm_while_starting_ends_it(start):
    server = start("--fault", "stuck-start")
    deadline = time.monotonic() + 10
    while "Starting to load" not in server.log and time.monotonic() < deadline:
        time.sleep(0.02)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(10) == 0
