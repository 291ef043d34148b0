"""A trivial fast server of streamed completions, which does nothing but send chunks when they are due.

It takes no notice of what it is asked: every answer has the same tokens at the same times after its request arrived, so
that what clients measure beyond these times is their own. It says at /seen when requests arrived and when their first
tokens were written, by the monotonic clock that all processes of a machine share.

    python -m tests.bench.sse_server --first-ms 20 --gap-ms 5 --tokens 17
"""

import argparse
import asyncio
import json
import re
from time import perf_counter_ns

import uvloop

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def event(message):
    return b"data: " + json.dumps(message, separators=(",", ":")).encode() + b"\n\n"


def framed(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def fields(kind):
    return {"id": "cmpl-1", "object": kind, "created": 1, "model": "bench"}


def completion(text, finish):
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish, "stop_reason": None}


def chat(text, finish):
    return {"index": 0, "delta": {"role": "assistant", "content": text}, "logprobs": None, "finish_reason": finish}


class Answers:
    """The bytes of one answer, and what has been seen of all."""

    def __init__(self, options):
        self.first_seconds, self.gap_seconds = options.first_ms / 1000, options.gap_ms / 1000
        self.tokens, self.slow_every, self.slow_seconds = options.tokens, options.slow_every, options.slow_ms / 1000
        usage = {"prompt_tokens": 8, "completion_tokens": options.tokens, "total_tokens": 8 + options.tokens}
        self.chunks = {}
        for path, kind, choice in (
            (b"/v1/completions", "text_completion", completion),
            (b"/v1/chat/completions", "chat.completion.chunk", chat),
        ):
            token = framed(event(fields(kind) | {"choices": [choice(" a", None)]}))
            last = framed(event(fields(kind) | {"choices": [choice(" a", "length")]}))
            end = framed(event(fields(kind) | {"choices": [], "usage": usage})) + framed(b"data: [DONE]\n\n") + END
            self.chunks[path] = (token, last + end)
        self.reset()

    def reset(self):
        self.arrived_ns = []
        self.first_ns = []

    def seen(self):
        return json.dumps({"arrivedNs": self.arrived_ns, "firstNs": self.first_ns}).encode()


class Connection(asyncio.Protocol):
    """One client's connection; requests on it follow one another."""

    def __init__(self, answers):
        self.answers = answers
        self.loop = asyncio.get_running_loop()
        self.received = b""
        self.timer = None

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, _error):
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data):
        self.received += data
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        length = LENGTH.search(head)
        if length is not None and len(rest) < int(length[1]):
            return
        self.received = b""
        method, path = head.split(b" ", 2)[:2]
        if method == b"POST" and path in self.answers.chunks:
            self.stream(*self.answers.chunks[path])
        else:
            self.reply(path)

    def reply(self, path):
        answers = self.answers
        body = {
            b"/seen": answers.seen,
            b"/health": lambda: b"",
            b"/v1/models": lambda: b'{"object":"list","data":[{"id":"bench","object":"model"}]}',
        }.get(path)
        if path == b"/seen":
            self.loop.call_soon(answers.reset)
        content = body() if body else b""
        status = b"200 OK" if body else b"404 Not Found"
        kind = b"application/json"
        head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(content))
        self.transport.write(head + content)

    def stream(self, token, last):
        answers, place = self.answers, len(self.answers.arrived_ns)
        answers.arrived_ns.append(perf_counter_ns())
        answers.first_ns.append(0)
        slow = answers.slow_every and place % answers.slow_every == 0
        first = self.loop.time() + (answers.slow_seconds if slow else answers.first_seconds)
        self.transport.write(STREAM_HEAD)

        def send(number):
            if number == 0:
                answers.first_ns[place] = perf_counter_ns()
            self.transport.write(token if number + 1 < answers.tokens else last)
            if number + 1 < answers.tokens:
                self.timer = self.loop.call_at(first + (number + 1) * answers.gap_seconds, send, number + 1)

        self.timer = self.loop.call_at(first, send, 0)


def options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--first-ms", type=float, default=20.0)
    parser.add_argument("--gap-ms", type=float, default=5.0)
    parser.add_argument("--tokens", type=int, default=17)
    parser.add_argument("--slow-every", type=int, default=0, help="the first token of every so manyth answer is late")
    parser.add_argument("--slow-ms", type=float, default=100.0)
    return parser.parse_args()


async def serve():
    chosen = options()
    answers = Answers(chosen)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(answers), "127.0.0.1", chosen.port, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
