"""The serving half: HTTP server and engine until SIGTERM or the engine's death."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sloguard.simulator import tracebacks
from sloguard.simulator.engine import Engine
from sloguard.simulator.log import API_SERVER, ENGINE_CORE, Log
from sloguard.simulator.metrics import Metrics
from sloguard.simulator.routes import Routes
from sloguard.simulator.serving import ServingFault

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine

    from sloguard.simulator.arguments import Arguments
    from sloguard.simulator.startup import Ready

LOG_INTERVAL_SECONDS = 10.0
DEATH_NOTICE_SECONDS = 0.5  # how long the dying server still answers 500


def run_server(arguments: Arguments, ready: Ready, listener: socket.socket, log: Log) -> int:
    """Serves; the exit code is 0 however it ends, as vLLM's is."""
    return _run(_Server(arguments, ready, listener, log).serve())


def _run(main: Coroutine[Any, Any, int]) -> int:
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


class _Server:
    def __init__(self, arguments: Arguments, ready: Ready, listener: socket.socket, log: Log) -> None:
        self._arguments, self._ready, self._listener, self._log = arguments, ready, listener, log

    async def serve(self) -> int:
        loop = asyncio.get_running_loop()
        stop, died = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        engine = self._engine()

        def on_death(error: str | None) -> None:
            self._log_death(error)
            died.set()

        engine.on_death = on_death
        runner = web.AppRunner(
            Routes(self._arguments, engine, self._log).application(), access_log=None, handle_signals=False,
            handler_cancellation=True, shutdown_timeout=self._arguments.simulator.drain_seconds,
        )  # fmt: skip
        await runner.setup()
        await web.SockSite(runner, self._listener, backlog=2048).start()
        self._log_ready()
        tasks = [asyncio.create_task(engine.run()), asyncio.create_task(self._report(engine))]
        ends = [asyncio.create_task(event.wait()) for event in (stop, died)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await self._shut_down(runner, engine)
        for task in [*tasks, *ends]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return 0

    def _engine(self) -> Engine:
        ready, arguments = self._ready, self._arguments
        metrics = Metrics(ready.config.served_model_names[0], ready.cache.max_model_len)
        metrics.describe_cache(arguments, ready.config, ready.cache)
        return Engine(
            ready,
            metrics,
            seed=arguments.simulator.seed,
            faults=[
                ServingFault(fault.kind, fault.after_seconds)
                for fault in arguments.simulator.faults
                if fault.after_seconds is not None and fault.kind != "slow-start"
            ],
            priority_policy=arguments.value("scheduling_policy") == "priority",
        )

    def _log_ready(self) -> None:
        self._log.uvicorn(f"Started server process [{os.getpid()}]")
        self._log.uvicorn("Waiting for application startup.")
        self._log.uvicorn("Application startup complete.")

    def _log_death(self, error: str | None) -> None:
        if error is not None:
            text = f"EngineCore encountered a fatal error.\n{tracebacks.core_step(error)}"
            self._log.line(ENGINE_CORE, "ERROR", "core.py:1233", text)
        self._log.line(API_SERVER, "ERROR", "async_llm.py:704", tracebacks.OUTPUT_HANDLER_FAILED)
        self._log.line(API_SERVER, "ERROR", "serving.py:472", tracebacks.STREAM_FAILED)

    async def _shut_down(self, runner: web.AppRunner, engine: Engine) -> None:
        """Refuses new connections at once; open streams finish (or get their error), then the server ends."""
        if not engine.dead:
            self._log.line(API_SERVER, "INFO", "launcher.py:100", "[shutdown] API server: shutdown triggered")
        for site in list(runner.sites):
            await site.stop()
        if engine.dead:
            await asyncio.sleep(DEATH_NOTICE_SECONDS)
        self._log.uvicorn("Shutting down")
        await runner.cleanup()
        self._log.uvicorn("Waiting for application shutdown.")
        self._log.uvicorn("Application shutdown complete.")
        self._log.uvicorn(f"Finished server process [{os.getpid()}]")

    async def _report(self, engine: Engine) -> None:
        """Logs statistics every ten seconds, while there is something to say."""
        before = dict(engine.totals)
        quiet = True
        while True:
            await asyncio.sleep(LOG_INTERVAL_SECONDS)
            now = dict(engine.totals)
            moved = now != before or bool(engine.scheduler.running)
            if moved or not quiet:
                self._log.line(API_SERVER, "INFO", "loggers.py:273", _statistics(engine, before, now))
            before, quiet = now, not moved


def _statistics(engine: Engine, before: dict[str, int], now: dict[str, int]) -> str:
    prompt, generation = ((now[key] - before[key]) / LOG_INTERVAL_SECONDS for key in ("prompt", "generation"))
    hit_rate = 100 * now["hits"] / max(1, now["queries"])
    scheduler = engine.scheduler
    return (
        f"Engine 000: Avg prompt throughput: {prompt:.1f} tokens/s, "
        f"Avg generation throughput: {generation:.1f} "
        f"tokens/s, Running: {len(scheduler.running)} reqs, Waiting: {len(scheduler.waiting)} reqs, GPU KV cache "
        f"usage: {100 * scheduler.pool.usage:.1f}%, Prefix cache hit rate: {hit_rate:.1f}%"
    )
