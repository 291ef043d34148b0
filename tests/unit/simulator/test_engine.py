import asyncio

import pytest

from sloguard.simulator.arguments import parse_arguments
from sloguard.simulator.engine import Engine, EngineDeadError
from sloguard.simulator.metrics import Metrics
from sloguard.simulator.serving import ServingFault
from sloguard.simulator.startup import Ready, script


def engine_of(*arguments, **options):
    *_, ready = script(parse_arguments(["m", "--profile", "tiny", *arguments]))
    assert isinstance(ready, Ready)
    return Engine(ready, Metrics("m", ready.cache.max_model_len), **options)


async def collect(stream):
    chunks = []
    while number := await stream.take():
        chunks.append(number)
    return chunks


def submit(engine, number, *, prompt=32, output=20):
    return [
        engine.submit(str(i), [i] * prompt, output, finish_reason="length", max_tokens=output) for i in range(number)
    ]


async def test_a_quiet_server_sends_a_chunk_for_every_token():
    engine = engine_of()
    task = asyncio.create_task(engine.run())
    assert [await collect(stream) for stream in submit(engine, 1)] == [[1] * 20]
    task.cancel()


async def test_past_saturation_a_chunk_carries_several_tokens_and_none_is_lost():
    engine = engine_of("--max-num-seqs", "200")
    task = asyncio.create_task(engine.run())
    chunks = await asyncio.gather(*(collect(stream) for stream in submit(engine, 150)))
    assert {sum(sizes) for sizes in chunks} == {20}
    assert sum(len(sizes) for sizes in chunks) < 150 * 20
    task.cancel()


async def test_a_step_that_times_out_kills_the_engine(monkeypatch):
    monkeypatch.setattr("sloguard.simulator.serving.RPC_TIMEOUT_SECONDS", 0.01)
    engine = engine_of(faults=[ServingFault("rpc-timeout", 0.0)])
    causes = []
    engine.on_death = causes.append
    (stream,) = submit(engine, 1)
    await asyncio.wait_for(engine.run(), 5)
    assert causes == ["TimeoutError: RPC call to sample_tokens timed out."]
    with pytest.raises(EngineDeadError):
        await stream.take()


async def test_requests_to_a_dead_engine_are_refused():
    engine = engine_of()
    engine._serving.die(None)
    with pytest.raises(EngineDeadError):
        submit(engine, 1)


async def test_waiting_streams_learn_of_the_death():
    engine = engine_of()
    (stream,) = submit(engine, 1)
    taking = asyncio.create_task(stream.take())
    await asyncio.sleep(0)
    engine._serving.die("torch.OutOfMemoryError: CUDA out of memory.")
    with pytest.raises(EngineDeadError):
        await taking
