"""Constant streaming requests to one server, each on a connection of its own, and what became of them.

A program for a pod of SLO-Guard's image: `python3 -c ... URL USERS`. So many users each send their next request as soon
as the last one's stream has ended, in whatever way. What was seen until then is printed once a second, a JSON line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field

import aiohttp

from sloguard.domain.goodput import RequestRecord
from sloguard.measure.client import CompletionClient, Exchange
from sloguard.measure.sse import CompletionStream

OUTPUT_TOKENS = (8, 16, 32)
PROMPT_TOKENS = 64
MOST_ERRORS = 10


@dataclass
class Seen:
    """Of all requests since the program began. Times are of requests that ended well, on the client's clock."""

    completed: int = 0
    failed: int = 0
    tokens: int = 0
    longest_gap_milliseconds: int = 0
    longest_first_token_milliseconds: int = 0
    endings: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def take(self, record: RequestRecord) -> None:
        self.endings[record.ending.value] = self.endings.get(record.ending.value, 0) + 1
        if not record.completed:
            self.failed += 1
            self.errors = [*self.errors, f"{time.time():.1f} {record.ending.value}: {record.detail}"][:MOST_ERRORS]
            return
        self.completed += 1
        self.tokens += record.wanted_tokens
        longest = max(record.gaps_microseconds, default=0) // 1000
        self.longest_gap_milliseconds = max(self.longest_gap_milliseconds, longest)
        first = record.ttft_microseconds // 1000
        self.longest_first_token_milliseconds = max(self.longest_first_token_milliseconds, first)


async def user(client: CompletionClient, model: str, number: int, seen: Seen) -> None:
    """Its answers have the lengths in turn, and other users begin elsewhere."""
    while True:
        tokens = OUTPUT_TOKENS[number % len(OUTPUT_TOKENS)]
        number += 1
        body = {
            "model": model,
            "prompt": [number % 1000 + 1] * PROMPT_TOKENS,
            "max_tokens": tokens,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        record = RequestRecord(0, PROMPT_TOKENS, tokens)
        exchange = Exchange(record, time.perf_counter_ns(), CompletionStream(tokens))
        await client.send(json.dumps(body).encode(), exchange)
        seen.take(record)
        if not record.completed:
            await asyncio.sleep(0.5)  # a server that refuses at once must not be stormed


async def main(url: str, users: int) -> None:
    seen = Seen()
    # Balancers of Services choose a pod for each connection: who keeps one stays where it is.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=120, sock_connect=10)
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        async with session.get(f"{url}/v1/models") as answer:
            model = (await answer.json())["data"][0]["id"]
        client = CompletionClient(session, url)
        everybody = [asyncio.create_task(user(client, model, number, seen)) for number in range(users)]
        while not any(one.done() for one in everybody):
            await asyncio.sleep(1)
            print(json.dumps(asdict(seen)), flush=True)
        for one in everybody:
            if one.done():
                one.result()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
