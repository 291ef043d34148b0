"""Ends what a program was still iterating over, outermost first.

kopf's watcher leaves its stream open when it is cancelled between two events (SIGTERM). asyncio then closes all open
generators at the same time: one whose inner generator is being closed already fails, and its traceback is logged as
"an error occurred during closing of asynchronous generator infinite_watch". Closed in the order in which they were
begun, each closes what is within it.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, Coroutine
from typing import Any
from weakref import WeakKeyDictionary

MOST_SECONDS = 5.0
"""A generator may wait for the network once more."""


async def ending_in_order(work: Coroutine[Any, Any, None]) -> None:
    """The work, and then the end of each asynchronous generator that it leaves open."""
    hooks = sys.get_asyncgen_hooks()
    begun: WeakKeyDictionary[AsyncGenerator[Any, Any], None] = WeakKeyDictionary()

    def note(generator: AsyncGenerator[Any, Any]) -> None:
        begun[generator] = None
        if hooks.firstiter is not None:
            hooks.firstiter(generator)

    sys.set_asyncgen_hooks(firstiter=note)
    try:
        await work
    finally:
        sys.set_asyncgen_hooks(firstiter=hooks.firstiter)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MOST_SECONDS):
                for reference in begun.keyrefs():
                    await _close(reference())


async def _close(generator: AsyncGenerator[Any, Any] | None) -> None:
    if generator is not None:
        # Where somebody else closes it at this moment, it is closed.
        with contextlib.suppress(RuntimeError):
            await generator.aclose()
    # What it iterated over is closed by asyncio as soon as nothing refers to it.
    await asyncio.sleep(0)
