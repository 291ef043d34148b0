"""SLO-Guard's simulator of vLLM: `sloguard simulate [MODEL] [vLLM options] [simulator options]`.

It is not vLLM and says so: in its first log line, in `Server: sloguard-simulator` and in /version. It takes the flags
of `vllm serve`, starts in phases with vLLM's log lines, serves the OpenAI API with continuous batching in real time,
exports vLLM's metrics, and fails as vLLM fails. Memory and speed come from models fitted to recordings
(memory.py, latency.py, frontend.py; tests/bench/README.md says how well); what these cannot produce is injected with
--fault (faults.py).

Simulator options (all others are vLLM's):
  --profile NAME              GPU and model, see profiles.py; also SLOGUARD_SIMULATOR_PROFILE
  --startup-scale X           multiplies start-up phases; serving is always in real time
  --fault KIND[@PHASE|SECONDS]  injects a failure, see faults.py or --help
  --host-memory               takes real host memory, see hostmemory.py
  --simulator-seed N          timing noise and natural output lengths
  --gpus N                    GPUs of this host, for tensor parallelism
  --gpu-memory-taken-gib X    what a neighbour holds on the GPU
  --compile-cache DIR         remembers compiled configurations, as ~/.cache/vllm on a volume does
  --drain-seconds X           after SIGTERM, how long open streams may go on

Exit codes, as vLLM's: 2 for a bad command line, 1 for every failed start, 0 after SIGTERM and, which surprises
people, 0 when the engine dies under load.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import math
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sloguard.simulator import tracebacks
from sloguard.simulator.arguments import Arguments, parse_arguments
from sloguard.simulator.hostmemory import BASE_BYTES, HostMemory, host_bytes
from sloguard.simulator.log import API_SERVER, Log
from sloguard.simulator.startup import Bind, Exit, Line, Ready, Wait, script

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sloguard.simulator.config import EngineConfig

_COMPILE_FLAGS = (
    "max_num_seqs",
    "max_num_batched_tokens",
    "quantization",
    "compilation_config",
    "dtype",
    "kv_cache_dtype",
)


class _Terminated(BaseException):
    """SIGTERM or SIGINT came while starting."""


def main(argv: Sequence[str]) -> int:
    """Runs one server to its end and returns the exit code."""
    started = time.monotonic()
    try:
        arguments = parse_arguments(argv)
    except SystemExit as request:  # argparse: 2 for an error, 0 after --help
        return int(request.code or 0)
    log = Log()
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with contextlib.ExitStack() as resources:
            return _start(arguments, log, started, resources)
    except _Terminated:
        return 0  # vLLM's API server leaves cleanly when it is stopped while it waits for its engine
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number: int, _frame: object) -> None:
    raise _Terminated


def _start(arguments: Arguments, log: Log, started: float, resources: contextlib.ExitStack) -> int:
    """Plays the start-up script on a fixed timeline, so that what the simulator itself needs is not added to it."""
    simulator = arguments.simulator
    host_memory = HostMemory()
    if simulator.host_memory:
        host_memory.take(BASE_BYTES)
    stamp = _compile_stamp(arguments)
    due = started
    listener: socket.socket | None = None
    events = list(script(arguments, compile_cached=stamp is not None and stamp.exists()))
    if isinstance(events[-1], Ready):
        # The HTTP stack takes a while to import: alongside the phases, and not at all for a start that will fail.
        threading.Thread(target=importlib.import_module, args=("sloguard.simulator.server",)).start()
    for event in events:
        match event:
            case Line():
                _print(log, event)
            case Wait():
                due += event.seconds * simulator.startup_scale
                _sleep_until(due)
            case Bind():
                listener = _bind(arguments, log)
                if listener is None:
                    return 1
                resources.callback(listener.close)
            case Exit():
                return event.code
            case Ready():
                if stamp is not None:
                    stamp.parent.mkdir(parents=True, exist_ok=True)
                    stamp.touch()
                if simulator.host_memory:
                    host_memory.take(_host_bytes(event.config))
                return _serve(arguments, event, listener, log)
    raise AssertionError("a script ends with Exit or Ready")


def _serve(arguments: Arguments, ready: Ready, listener: socket.socket | None, log: Log) -> int:
    from sloguard.simulator.server import run_server  # noqa: PLC0415 - see _start

    assert listener is not None
    return run_server(arguments, ready, listener, log)


def _host_bytes(config: EngineConfig) -> int:
    return host_bytes(config.max_num_seqs, config.max_model_len, config.block_size)


def _print(log: Log, line: Line) -> None:
    if line.level is None:
        log.traceback(line.process, line.text)
    else:
        log.line(line.process, line.level, line.source, line.text)


def _sleep_until(due: float) -> None:
    while (remaining := due - time.monotonic()) > 0:
        time.sleep(min(remaining, 3600.0) if math.isfinite(remaining) else 3600.0)


def _bind(arguments: Arguments, log: Log) -> socket.socket | None:
    """Binds without listening: connections are refused until the server is ready, as with vLLM."""
    host = arguments.host or "0.0.0.0"  # noqa: S104 - vLLM's default
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, arguments.port))
    except OSError:
        listener.close()
        log.traceback(API_SERVER, tracebacks.port_in_use())
        return None
    return listener


def _compile_stamp(arguments: Arguments) -> Path | None:
    """A file that stands for this configuration's compiled graphs; the flags are those that miss vLLM's cache."""
    directory = arguments.simulator.compile_cache
    if directory is None:
        return None
    key = repr([arguments.simulator.profile.name, *(arguments.value(flag) for flag in _COMPILE_FLAGS)])
    return Path(directory) / "torch_compile_cache" / hashlib.sha256(key.encode()).hexdigest()[:10]


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        sys.exit(main(sys.argv[1:]))
