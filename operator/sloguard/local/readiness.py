"""Whether a server is ready: it says so, and one whole request goes through it."""

import asyncio
import contextlib
import json
from typing import Any

import aiohttp

POLL_SECONDS = 0.1
ANSWER_SECONDS = 5.0
REQUEST_SECONDS = 120.0
"""A server's first request may compile kernels."""

FIRST_TOKEN_ID = 100
"""As in the load's prompts: above special tokens, within any vocabulary."""


async def until_ready(session: aiohttp.ClientSession, url: str) -> None:
    """Returns when the server is ready; cancel it when the server ends or takes too long."""
    while not await _is_ready(session, url):  # noqa: ASYNC110 - another process becomes ready
        await asyncio.sleep(POLL_SECONDS)


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    """Nothing but an answer that is no server's error counts; a model that refuses the request is the load's matter."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError, TypeError):
        async with session.get(f"{url}/health", timeout=_limit(ANSWER_SECONDS)) as answer:
            if answer.status != 200:
                return False
        async with session.get(f"{url}/v1/models", timeout=_limit(ANSWER_SECONDS)) as answer:
            models: dict[str, list[dict[str, Any]]] = json.loads(await answer.text())
        body = {"model": models["data"][0]["id"], "prompt": [FIRST_TOKEN_ID], "max_tokens": 1}
        async with session.post(f"{url}/v1/completions", json=body, timeout=_limit(REQUEST_SECONDS)) as answer:
            await answer.read()
            return answer.status < 500
    return False


def _limit(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=seconds)
