"""A watcher that is cancelled between two events leaves generators open, as kopf's does; their end is no error."""

import asyncio
import contextlib
import gc

import pytest

from sloguard.cluster.orderly_end import ending_in_order

WATCHERS = 60
"""In which order asyncio closes what is left open is luck; of so many some are mostly closed in the wrong one."""

DRAWS = 20
"""Once in a few hundred times all are closed in the right order."""


@contextlib.asynccontextmanager
async def streaming_block():
    waiter = asyncio.create_task(asyncio.sleep(3600))
    try:
        yield waiter
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            waiter.cancel()
            await waiter


async def continuous_watch(ended):
    try:
        while True:
            await asyncio.sleep(0)
            yield "event"
    finally:
        await asyncio.sleep(0)
        ended.append("inner")


async def infinite_watch(ended):
    try:
        async with streaming_block():
            async for event in continuous_watch(ended):
                yield event
    finally:
        ended.append("outer")


async def watcher(ended):
    stream = infinite_watch(ended)
    try:
        async for _ in stream:
            await asyncio.sleep(3600)
    except asyncio.CancelledError as error:
        # It keeps this frame, and the stream with it, until memory is tidied.
        error.kept = error
        raise


async def cancelled_watchers(ended):
    tasks = [asyncio.create_task(watcher(ended)) for _ in range(WATCHERS)]
    await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


@pytest.fixture
def untidied():
    gc.disable()
    yield
    gc.enable()
    gc.collect()


@pytest.mark.usefixtures("untidied")
def test_generators_end_without_an_error_where_asyncio_alone_would_log_some(caplog):
    def logged(run) -> bool:
        caplog.clear()
        asyncio.run(run(cancelled_watchers([])))
        return "an error occurred during closing of asynchronous generator" in caplog.text

    assert any(logged(lambda work: work) for _ in range(DRAWS))
    assert not any(logged(ending_in_order) for _ in range(DRAWS))


@pytest.mark.usefixtures("untidied")
def test_each_generator_is_ended():
    ended = []
    asyncio.run(ending_in_order(cancelled_watchers(ended)))
    assert ended.count("outer") == ended.count("inner") == WATCHERS


def test_what_the_work_raises_is_raised_and_generators_end_all_the_same():
    ended = []

    async def work():
        opened.append(infinite_watch(ended))
        await anext(opened[0])
        raise KeyError("work")

    opened = []
    with pytest.raises(KeyError, match="work"):
        asyncio.run(ending_in_order(work()))
    assert ended == ["outer", "inner"]
