"""Logs in the form that vLLM 0.24 gives them, around a message under test."""

from sloguard.api.v1alpha1 import Crash
from sloguard.domain.crash import classify_lines

API = "(APIServer pid=4062) "
ENGINE = "(EngineCore pid=4509) "
ENGINE_ERROR = ENGINE + "ERROR 11-22 08:48:34 [core.py:1231] "

START = [
    API + "INFO 11-22 08:47:53 [api_utils.py:339]  ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.24.0",
    API + "INFO 11-22 08:47:53 [api_utils.py:273] non-default args: {'model': 'models/qwen2', 'port': 8400}",
    ENGINE
    + "INFO 11-22 08:48:18 [core.py:114] Initializing a V1 LLM engine (v0.24.0) with config: model='models/qwen2'",
    ENGINE + "INFO 11-22 08:48:20 [gpu_model_runner.py:5160] Starting to load model models/qwen2...",
]
READY = [
    API + "INFO:     Started server process [4062]",
    API + "INFO:     Waiting for application startup.",
    API + "INFO:     Application startup complete.",
    API + 'INFO:     127.0.0.1:49962 - "POST /v1/completions HTTP/1.1" 200 OK',
]
START_FAILED = [
    API + "Traceback (most recent call last):",
    API + '  File "site-packages/vllm/v1/engine/utils.py", line 1272, in wait_for_engine_startup',
    API + "    raise RuntimeError(",
    API + "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}",
]
ENGINE_DEAD = [
    API + "ERROR 11-22 09:02:08 [async_llm.py:704] AsyncLLM output_handler failed.",
    API + "ERROR 11-22 09:02:08 [async_llm.py:704] Traceback (most recent call last):",
    API
    + "ERROR 11-22 09:02:08 [async_llm.py:704] vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an "
    "issue. See stack trace (above) for the root cause.",
    API + 'INFO:     127.0.0.1:49962 - "POST /v1/completions HTTP/1.1" 500 Internal Server Error',
    API + "INFO:     Shutting down",
    API + "INFO:     Application shutdown complete.",
]


def traced(
    message: str, *functions: str, prefix: str = ENGINE_ERROR, path: str = "vllm/v1/worker/gpu_worker.py"
) -> list[str]:
    """A traceback through these functions that ends in the message."""
    frames = [
        line
        for function in functions
        for line in (f'  File "site-packages/{path}", line 7, in {function}', "    raise ValueError(")
    ]
    return [prefix + text for text in ("Traceback (most recent call last):", *frames, *message.split("\n"))]


def failed_start(
    message: str, *functions: str, prefix: str = ENGINE_ERROR, path: str = "vllm/v1/worker/gpu_worker.py"
) -> str:
    """A start that ends in the message, as the engine logs it, prints it again and the API server follows."""
    again = traced(message, *functions, prefix=ENGINE, path=path)
    return "\n".join([*START, *traced(message, *functions, prefix=prefix, path=path), *again, *START_FAILED]) + "\n"


def death_under_load(message: str, *functions: str) -> str:
    """A server that served, whose engine then died of the message."""
    fatal = ENGINE_ERROR + "EngineCore encountered a fatal error."
    return "\n".join([*START, *READY, fatal, *traced(message, *functions), *ENGINE_DEAD]) + "\n"


def said_in(log: str, line: int | None) -> str:
    """The line of a log, counted from 1."""
    assert line is not None
    return log.split("\n")[line - 1]


def verdict_on(log: str, exit_code: int | None = None) -> Crash | None:
    """As `sloguard classify` comes to it."""
    return classify_lines(log.split("\n"), exit_code)
