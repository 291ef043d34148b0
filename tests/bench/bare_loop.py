"""The reference: the least that a client can do with aiohttp and uvloop, at a constant rate.

One task a request, one timestamp a read, no parsing, no checks. Prints what it measured as JSON.

    python -m tests.bench.bare_loop URL REQUESTS_PER_SECOND SECONDS TOKENS
"""

import asyncio
import json
import sys
from itertools import chain, pairwise
from time import perf_counter

import aiohttp
import uvloop

BODY = b'{"model":"bench","prompt":[1,2,3,4,5,6,7,8],"max_tokens":%d,"stream":true,"temperature":0}'


async def send(session, url, body, due, seen):
    lag = perf_counter() - due

    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
        reads = [perf_counter() async for _ in response.content.iter_any()]
    seen.append((lag, reads[0] - due, [after - before for before, after in pairwise(reads)]))


async def run(url, rate, seconds, tokens):
    seen, tasks, body = [], [], BODY % tokens
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        start = perf_counter() + 0.02
        for number in range(round(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - perf_counter()))
            tasks.append(asyncio.create_task(send(session, url + "/v1/completions", body, due, seen)))
        await asyncio.gather(*tasks)
    return seen


if __name__ == "__main__":
    url, rate, seconds, tokens = sys.argv[1:]
    seen = uvloop.run(run(url, float(rate), float(seconds), int(tokens)))
    json.dump(
        {
            "lag": [s[0] for s in seen],
            "ttft": [s[1] for s in seen],
            "itl": list(chain.from_iterable(s[2] for s in seen)),
        },
        sys.stdout,
    )
