"""What looks like a cause and is none."""

import pytest

from sloguard.api.v1alpha1 import CrashClass, CrashPhase, Fault
from sloguard.domain.crash import classify_log
from tests.unit.domain.crash_logs import (
    API,
    ENGINE,
    ENGINE_DEAD,
    ENGINE_ERROR,
    READY,
    START,
    START_FAILED,
    death_under_load,
    failed_start,
    said_in,
    traced,
)

OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 398.00 MiB. GPU 0 has a total capacity of 139.80 GiB"
)


def test_the_last_lines_never_name_the_cause():
    log = failed_start(OOM, "load_model")
    crash = classify_log(log, 1)
    assert crash is not None
    assert crash.class_ is CrashClass.CUDA_OUT_OF_MEMORY
    assert crash.line is not None
    assert crash.line < len(log.split("\n")) / 2


def test_memory_running_out_while_serving():
    crash = classify_log(death_under_load(OOM, "run_busy_loop", "execute_model"), 0)
    assert crash is not None
    assert (crash.class_, crash.phase, crash.fault) == (
        CrashClass.CUDA_OUT_OF_MEMORY,
        CrashPhase.SERVING,
        Fault.CONFIGURATION,
    )


def test_exit_0_of_a_serving_process_is_a_death():
    crash = classify_log("\n".join([*START, *READY]), 0)
    assert crash is not None
    assert (crash.class_, crash.phase) == (CrashClass.DIED_UNDER_LOAD, CrashPhase.SERVING)


def test_a_dead_engine_without_a_cause_is_quoted_as_such():
    log = "\n".join([*START, *READY, *ENGINE_DEAD])
    crash = classify_log(log, 0)
    assert crash is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD
    assert "EngineDeadError" in said_in(log, crash.line)


def test_a_fatal_exception_that_no_row_knows_is_the_cause_of_death():
    crash = classify_log(death_under_load("IndexError: tuple index out of range", "execute_model"), 0)
    assert crash is not None
    assert (crash.class_, crash.cause) == (CrashClass.DIED_UNDER_LOAD, "IndexError: tuple index out of range")


def test_a_clean_shutdown_reports_a_dead_engine_too():
    asked = API + "INFO 11-22 08:57:08 [launcher.py:100] [shutdown] API server: shutdown triggered"
    log = "\n".join([*START, *READY, asked, *ENGINE_DEAD])
    assert classify_log(log) is None
    crash = classify_log(log, 0)
    assert crash is not None
    assert (crash.class_, crash.fault) == (CrashClass.DIED_UNDER_LOAD, Fault.INFRASTRUCTURE)


def test_killed_after_a_stop_took_too_long_is_not_out_of_memory():
    asked = API + "INFO 11-22 08:57:08 [launcher.py:100] [shutdown] API server: shutdown triggered"
    crash = classify_log("\n".join([*START, *READY, asked]), 137)
    assert crash is not None
    assert crash.class_ is not CrashClass.HOST_OUT_OF_MEMORY


@pytest.mark.parametrize(
    "line",
    [
        API
        + "INFO 11-22 08:50:33 [logger.py:43] Received request cmpl-1: prompt: 'Explain CUDA out of memory', params: x",
        API
        + "INFO 11-22 08:50:33 [logger.py:43] Received request: 'torch.OutOfMemoryError: CUDA out of memory. Tried'",
        API + "WARNING 11-22 08:50:33 [utils.py:1] Address already in use. Retrying with a new port.",
        ENGINE
        + "WARNING 11-22 08:50:33 [x.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB",
        ENGINE + "INFO 11-22 08:50:33 [gpu_worker.py:640] Free memory on device (70.0/79.2 GiB) on startup. Desired is",
        "[rank0]:[W1122 08:48:35.410573345 ProcessGroupNCCL.cpp:1575] Warning: NCCL error soon (function operator())",
        "2026-03-08 16:44:29,692 - INFO - autotuner.py:262 - RuntimeError: CUDA out of memory. Tried to allocate 1 GiB",
        "host:55933:55933 [1] NCCL INFO NCCL error handling on",
        ENGINE_ERROR + '    raise ValueError("No available memory for the cache blocks.")',
        "the room in the bloom filter: mushroom, no OutOfMemoryErrors, boom",
        "INFO 11-22 08:50:33 [x.py:1] the Xid of the model is 79",
    ],
)
def test_routine_lines_and_quoted_source_do_not_count(line):
    crash = classify_log("\n".join([*START, line, *START_FAILED]), 1)
    assert crash is not None
    assert crash.class_ is CrashClass.UNKNOWN


@pytest.mark.parametrize(
    "message",
    [
        "ValueError: Unknown quantization method: in a request",
        "requests.exceptions.ConnectionError: couldn't connect to 'https://huggingface.co'",
        "pydantic_core.ValidationError: 1 validation error for ModelConfig",
    ],
)
def test_what_only_stops_a_start_does_not_kill_a_serving_engine(message):
    log = "\n".join(
        [*START, *READY, *traced(message, prefix=API + "ERROR 11-22 09:02:07 [serving.py:1] "), *ENGINE_DEAD]
    )
    crash = classify_log(log, 0)
    assert crash is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD
    assert "EngineDeadError" in crash.cause


def test_what_a_server_survived_did_not_kill_it():
    survived = traced("RuntimeError: NCCL error: unhandled cuda error", prefix=ENGINE_ERROR)
    crash = classify_log("\n".join([*START, *survived, *READY, *ENGINE_DEAD]), 0)
    assert crash is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD
    assert classify_log("\n".join([*START, *survived, *READY])) is None


def test_a_hung_collective_is_the_symptom_of_another_rank_out_of_memory():
    watchdog = (
        "[rank1]:[E1122 08:48:35.41 ProcessGroupNCCL.cpp:629] [Rank 1] Watchdog caught collective operation timeout: x"
    )
    crash = classify_log("\n".join([*START, *READY, watchdog, *traced(OOM, "execute_model"), *ENGINE_DEAD]), 0)
    assert crash is not None
    assert crash.class_ is CrashClass.CUDA_OUT_OF_MEMORY
    alone = classify_log("\n".join([*START, *READY, watchdog, *ENGINE_DEAD]), 0)
    assert alone is not None
    assert (alone.class_, alone.phase) == (CrashClass.COLLECTIVE_FAILURE, CrashPhase.SERVING)


def test_a_step_that_does_not_return_is_a_hang():
    crash = classify_log(death_under_load("TimeoutError: RPC call to execute_model timed out.", "execute_model"), 0)
    assert crash is not None
    assert (crash.class_, crash.phase, crash.limit) == (
        CrashClass.HANG,
        CrashPhase.SERVING,
        "execute_model did not return",
    )


def test_uvicorn_finds_its_port_taken_after_start_up_is_complete():
    taken = "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use"
    crash = classify_log("\n".join([*START, *READY[:3], taken]), 1)
    assert crash is not None
    assert (crash.class_, crash.phase) == (CrashClass.PORT_IN_USE, None)


def test_unknown_text_gives_the_last_distinct_error_line():
    first, last = "KeyError: 'layers.0'", "ZeroDivisionError: the end of the world"
    log = "\n".join([*START, *traced(first), *traced(last), *traced(last), *START_FAILED])
    crash = classify_log(log, 1)
    assert crash is not None
    assert (crash.class_, crash.cause) == (CrashClass.UNKNOWN, last)
    assert said_in(log, crash.line).endswith(last)
    assert crash.confidence_percent <= 20


def test_a_start_that_dies_without_a_word_is_unknown():
    crash = classify_log("\n".join([*START, *START_FAILED]), 1)
    assert crash is not None
    assert crash.class_ is CrashClass.UNKNOWN
    assert crash.cause.startswith("RuntimeError: Engine core initialization failed")
    silent = classify_log("", 1)
    assert silent is not None
    assert (silent.class_, silent.line) == (CrashClass.UNKNOWN, None)


def test_a_log_without_trouble_and_without_an_end_gives_nothing():
    assert classify_log("\n".join([*START, *READY])) is None
    assert classify_log("") is None


@pytest.mark.parametrize(
    ("carrier", "ending"),
    [
        ("", "\r\n"),
        ("2025-11-22T08:48:34.123456789Z ", "\n"),
        ("2025-11-22T08:48:34.123456789+01:00 stderr F ", "\n"),
        ("vllm-1  | ", "\n"),
        ("[2025-12-13T19:54:35Z] ", "\n"),
        ("\x1b[1;36m", "\x1b[0;0m\n"),
        ("Loading shards:  50%|#####     | 1/2\r", "\n"),
    ],
)
def test_carriers_colours_and_line_endings(carrier, ending):
    plain = failed_start(OOM, "load_model")
    expected = classify_log(plain, 1)
    assert classify_log("".join(carrier + line + ending for line in plain.splitlines()), 1) == expected
    assert expected is not None
    assert expected.cause == OOM
