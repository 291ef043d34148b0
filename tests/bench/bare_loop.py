"""The reference: the least that a client can do with aiohttp and uvloop, at a constant rate.

One task a request, one timestamp a read, no parsing, no checks, and the loop's own timers.

    python -m tests.bench.bare_loop URL MODEL REQUESTS_PER_SECOND REQUESTS TOKENS PROMPT_TOKENS FILE
"""

import asyncio
import json
import sys
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import aiohttp
import uvloop

HEADERS = {"Content-Type": "application/json"}


async def send(session, url, body, due, seen):
    async with session.post(url, data=body, headers=HEADERS) as response:
        reads = [perf_counter() async for _ in response.content.iter_any()]
    seen.append((reads[0] - due, [after - before for before, after in pairwise(reads)]))


async def run(url, rate, requests, body):
    seen, tasks = [], []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        start = perf_counter() + 0.02
        for number in range(requests):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - perf_counter()))
            tasks.append(asyncio.create_task(send(session, url + "/v1/completions", body, due, seen)))
        await asyncio.gather(*tasks)
    return seen


if __name__ == "__main__":
    url, model, rate, requests, tokens, prompt_tokens, file = sys.argv[1:]
    body = {"model": model, "prompt": [7] * int(prompt_tokens), "max_tokens": int(tokens), "stream": True}
    body |= {"ignore_eos": True, "min_tokens": int(tokens), "stream_options": {"include_usage": True}}
    seen = uvloop.run(run(url, float(rate), int(requests), json.dumps(body).encode()))
    Path(file).write_text(json.dumps(seen))
