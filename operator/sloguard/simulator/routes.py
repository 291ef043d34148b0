"""The HTTP API: OpenAI completions and chat with streaming, and vLLM's small endpoints."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from sloguard.simulator.engine import Engine, EngineDeadError, Stream
from sloguard.simulator.protocol import Generation, RequestError, parse_generation
from sloguard.simulator.startup import VERSION
from sloguard.simulator.text import detokenize, tokenize, words
from sloguard.simulator.tracebacks import ENGINE_DEAD

if TYPE_CHECKING:
    from sloguard.simulator.arguments import Arguments
    from sloguard.simulator.log import Log

SERVER_HEADER = "sloguard-simulator"
_MAX_BODY_BYTES = 64 * 1024**2
_EVENT_STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Routes:
    """Handlers over one engine."""

    def __init__(self, arguments: Arguments, engine: Engine, log: Log) -> None:
        self._engine = engine
        self._log = log
        self._models = engine.config.served_model_names
        self._created = int(time.time())
        self._keys = frozenset(f"Bearer {key}" for key in arguments.value("api_key") or ())
        self._log_access = not arguments.value("disable_uvicorn_access_log")
        self._force_usage = bool(arguments.value("enable_force_include_usage"))
        self._random = random.Random(arguments.simulator.seed)
        self.draining = False

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._around], client_max_size=_MAX_BODY_BYTES)
        app.router.add_get("/health", self._health)
        app.router.add_route("*", "/ping", self._health)
        app.router.add_get("/version", self._version)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/load", self._load)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/detokenize", self._detokenize)
        return app

    @web.middleware
    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._keys and request.path.startswith("/v1") and request.headers.get("Authorization") not in self._keys:
            return web.json_response({"error": "Unauthorized"}, status=401)
        try:
            response = await handler(request)
        except RequestError as error:
            response = web.json_response(error.body, status=error.status)
        except EngineDeadError:
            response = web.json_response(_server_error(), status=500)
        except ConnectionResetError:  # the client left in the middle of a chunk: nobody to answer
            return web.Response(status=499)
        if not response.prepared:
            response.headers["Server"] = SERVER_HEADER
        self._log_request(request, response.status)
        return response

    def _log_request(self, request: web.Request, status: int) -> None:
        if self._log_access:
            peer = request.transport.get_extra_info("peername") if request.transport else None
            address = f"{peer[0]}:{peer[1]}" if peer else "-"
            reason = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found"}.get(status, "")
            self._log.uvicorn(f'{address} - "{request.method} {request.path} HTTP/1.1" {status} {reason}'.rstrip())

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(status=503 if self._engine.dead else 200)

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": VERSION, "simulator": "sloguard"})

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._engine.metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _load(self, _request: web.Request) -> web.Response:
        return web.json_response({"server_load": len(self._engine.scheduler.running)})

    async def _list_models(self, _request: web.Request) -> web.Response:
        models = [
            {
                "id": name,
                "object": "model",
                "created": self._created,
                "owned_by": "vllm",
                "root": self._engine.config.model,
                "parent": None,
                "max_model_len": self._engine.cache.max_model_len,
            }
            for name in self._models
        ]
        return web.json_response({"object": "list", "data": models})

    async def _tokenize(self, request: web.Request) -> web.Response:
        tokens = tokenize(str((await _body(request)).get("prompt", "")))
        count = {"count": len(tokens), "max_model_len": self._engine.cache.max_model_len}
        return web.json_response({**count, "tokens": tokens, "token_strs": None})

    async def _detokenize(self, request: web.Request) -> web.Response:
        return web.json_response({"prompt": detokenize((await _body(request)).get("tokens") or [])})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, chat=False)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, chat=True)

    async def _generate(self, request: web.Request, *, chat: bool) -> web.StreamResponse:
        body = await _body(request)
        length = self._engine.cache.max_model_len
        generation = parse_generation(
            body, chat=chat, models=self._models, max_model_len=length, random_source=self._random
        )
        streams = self._submit(generation)
        try:
            if generation.stream:
                return await self._stream(request, generation, streams)
            return await self._whole(generation, streams)
        finally:
            for stream in streams:
                self._engine.abort(stream)

    def _submit(self, generation: Generation) -> list[Stream]:
        return [
            self._engine.submit(
                f"{generation.request_id}-{index}",
                prompt,
                generation.output_tokens[index],
                finish_reason=generation.finish_reasons[index],
                max_tokens=generation.max_tokens,
                n=generation.n,
                priority=generation.priority,
                streamed=generation.stream,
            )
            for index, prompt in enumerate(generation.prompts)
        ]

    async def _whole(self, generation: Generation, streams: list[Stream]) -> web.Response:
        for stream in streams:
            while await stream.take():
                pass
        choices = [_choice(generation, index, stream) for index, stream in enumerate(streams)]
        payload = {
            **_envelope(generation, chunk=False),
            "choices": choices,
            "usage": _usage(streams, generation),
            "system_fingerprint": f"vllm-{VERSION}-simulator",
        }
        return web.json_response(payload, headers={"Server": SERVER_HEADER})

    async def _stream(self, request: web.Request, generation: Generation, streams: list[Stream]) -> web.StreamResponse:
        # vLLM answers 500 while nothing has been sent, and ends the stream with an error event after that.
        first = await streams[0].take()
        response = web.StreamResponse(headers={**_EVENT_STREAM, "Server": SERVER_HEADER})
        await response.prepare(request)
        writer = _ChunkWriter(response, generation, streams)
        try:
            pump = [writer.pump(index, first if index == 0 else None) for index in range(len(streams))]
            await (pump[0] if len(pump) == 1 else asyncio.gather(*pump))
            if generation.include_usage or self._force_usage:
                await writer.usage()
        except EngineDeadError:
            await writer.event(_server_error())
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


class _ChunkWriter:
    """Server-sent events of one response; the unchanging parts are encoded once."""

    def __init__(self, response: web.StreamResponse, generation: Generation, streams: list[Stream]) -> None:
        self._response, self._generation, self._streams = response, generation, streams
        self._head = "data: " + _compact(_envelope(generation, chunk=True))[:-1]

    async def pump(self, index: int, first: int | None) -> None:
        """Writes one sequence's tokens as they come; aiohttp ends this when the client goes away."""
        stream = self._streams[index]
        if self._generation.chat:
            await self._write(index, '"delta":{"role":"assistant","content":""}', None, 0)
        sent = 0
        number = await stream.take() if first is None else first
        while number:
            text = json.dumps(words(sent, number))
            sent += number
            content = f'"delta":{{"content":{text}}}' if self._generation.chat else f'"text":{text}'
            # The last chunk carries the reason, as vLLM's does.
            last = stream.finish_reason is not None and not stream.pending
            await self._write(index, content, stream.finish_reason if last else None, sent)
            number = 0 if last else await stream.take()

    async def _write(self, index: int, content: str, reason: str | None, sent: int) -> None:
        usage = ""
        if self._generation.continuous_usage:
            usage = f',"usage":{_compact(_counts(len(self._streams[index].request.prompt), sent))}'
        choice = f'{{"index":{index},{content},"logprobs":null,"finish_reason":{json.dumps(reason)}}}'
        await self._response.write(f'{self._head},"choices":[{choice}]{usage}}}\n\n'.encode())

    async def usage(self) -> None:
        usage = _compact(_usage(self._streams, self._generation))
        await self._response.write(f'{self._head},"choices":[],"usage":{usage}}}\n\n'.encode())

    async def event(self, payload: object) -> None:
        await self._response.write(f"data: {_compact(payload)}\n\n".encode())


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise RequestError(f"Invalid JSON: {error}") from None
    if not isinstance(body, dict):
        raise RequestError("Input should be a valid dictionary")
    return cast("dict[str, Any]", body)


def _server_error() -> dict[str, object]:
    return {"error": {"message": ENGINE_DEAD, "type": "InternalServerError", "param": None, "code": 500}}


def _envelope(generation: Generation, *, chunk: bool) -> dict[str, object]:
    kind = ("chat.completion.chunk" if chunk else "chat.completion") if generation.chat else "text_completion"
    return {"id": generation.request_id, "object": kind, "created": generation.created, "model": generation.model}


def _choice(generation: Generation, index: int, stream: Stream) -> dict[str, object]:
    text = words(0, stream.request.produced)
    content = {"message": {"role": "assistant", "content": text}} if generation.chat else {"text": text}
    return {"index": index, **content, "logprobs": None, "finish_reason": stream.finish_reason, "stop_reason": None}


def _usage(streams: list[Stream], generation: Generation) -> dict[str, object]:
    # With n > 1 a prompt is counted once.
    prompt = sum(len(stream.request.prompt) for stream in streams[:: generation.n])
    return _counts(prompt, sum(stream.request.produced for stream in streams))


def _counts(prompt: int, output: int) -> dict[str, object]:
    return {
        "prompt_tokens": prompt,
        "total_tokens": prompt + output,
        "completion_tokens": output,
        "prompt_tokens_details": None,
    }
