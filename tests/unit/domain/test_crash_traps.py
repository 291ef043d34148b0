"""What looks like a cause and is none."""

import json
import textwrap
import tracemalloc

import pytest

from sloguard.api.v1alpha1 import CrashClass, CrashPhase, Fault
from sloguard.domain.crash import classify_lines
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
    verdict_on,
)

OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 398.00 MiB. GPU 0 has a total capacity of 139.80 GiB"
)


def test_the_last_lines_never_name_the_cause():
    log = failed_start(OOM, "load_model")
    crash = verdict_on(log, 1)
    assert crash is not None
    assert crash.class_ is CrashClass.CUDA_OUT_OF_MEMORY
    assert crash.line is not None
    assert crash.line < len(log.split("\n")) / 2


def test_memory_running_out_while_serving():
    crash = verdict_on(death_under_load(OOM, "run_busy_loop", "execute_model"), 0)
    assert crash is not None
    assert (crash.class_, crash.phase, crash.fault) == (
        CrashClass.CUDA_OUT_OF_MEMORY,
        CrashPhase.SERVING,
        Fault.CONFIGURATION,
    )


def test_exit_0_of_a_serving_process_is_a_death():
    crash = verdict_on("\n".join([*START, *READY]), 0)
    assert crash is not None
    assert (crash.class_, crash.phase) == (CrashClass.DIED_UNDER_LOAD, CrashPhase.SERVING)


def test_a_dead_engine_without_a_cause_is_quoted_as_such():
    log = "\n".join([*START, *READY, *ENGINE_DEAD])
    crash = verdict_on(log, 0)
    assert crash is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD
    assert "EngineDeadError" in said_in(log, crash.line)


def test_a_fatal_exception_that_no_row_knows_is_the_cause_of_death():
    crash = verdict_on(death_under_load("IndexError: tuple index out of range", "execute_model"), 0)
    assert crash is not None
    assert (crash.class_, crash.cause) == (CrashClass.DIED_UNDER_LOAD, "IndexError: tuple index out of range")


def test_a_clean_shutdown_reports_a_dead_engine_too():
    asked = API + "INFO 11-22 08:57:08 [launcher.py:100] [shutdown] API server: shutdown triggered"
    log = "\n".join([*START, *READY, asked, *ENGINE_DEAD])
    assert verdict_on(log) is None
    crash = verdict_on(log, 0)
    assert crash is not None
    assert (crash.class_, crash.fault) == (CrashClass.DIED_UNDER_LOAD, Fault.INFRASTRUCTURE)


def test_killed_after_a_stop_took_too_long_is_not_out_of_memory():
    asked = API + "INFO 11-22 08:57:08 [launcher.py:100] [shutdown] API server: shutdown triggered"
    crash = verdict_on("\n".join([*START, *READY, asked]), 137)
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
    crash = verdict_on("\n".join([*START, line, *START_FAILED]), 1)
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
    crash = verdict_on(log, 0)
    assert crash is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD
    assert "EngineDeadError" in crash.cause


def test_what_a_server_survived_did_not_kill_it():
    survived = traced("RuntimeError: NCCL error: unhandled cuda error", prefix=ENGINE_ERROR)
    crash = verdict_on("\n".join([*START, *survived, *READY, *ENGINE_DEAD]), 0)
    assert crash is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD
    assert verdict_on("\n".join([*START, *survived, *READY])) is None


def test_a_hung_collective_is_the_symptom_of_another_rank_out_of_memory():
    watchdog = (
        "[rank1]:[E1122 08:48:35.41 ProcessGroupNCCL.cpp:629] [Rank 1] Watchdog caught collective operation timeout: x"
    )
    crash = verdict_on("\n".join([*START, *READY, watchdog, *traced(OOM, "execute_model"), *ENGINE_DEAD]), 0)
    assert crash is not None
    assert crash.class_ is CrashClass.CUDA_OUT_OF_MEMORY
    alone = verdict_on("\n".join([*START, *READY, watchdog, *ENGINE_DEAD]), 0)
    assert alone is not None
    assert (alone.class_, alone.phase) == (CrashClass.COLLECTIVE_FAILURE, CrashPhase.SERVING)


def test_a_step_that_does_not_return_is_a_hang():
    crash = verdict_on(death_under_load("TimeoutError: RPC call to execute_model timed out.", "execute_model"), 0)
    assert crash is not None
    assert (crash.class_, crash.phase, crash.limit) == (
        CrashClass.HANG,
        CrashPhase.SERVING,
        "execute_model did not return",
    )


def test_uvicorn_finds_its_port_taken_after_start_up_is_complete():
    taken = "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use"
    crash = verdict_on("\n".join([*START, *READY[:3], taken]), 1)
    assert crash is not None
    assert (crash.class_, crash.phase) == (CrashClass.PORT_IN_USE, None)


def test_unknown_text_gives_the_last_distinct_error_line():
    first, last = "KeyError: 'layers.0'", "ZeroDivisionError: the end of the world"
    log = "\n".join([*START, *traced(first), *traced(last), *traced(last), *START_FAILED])
    crash = verdict_on(log, 1)
    assert crash is not None
    assert (crash.class_, crash.cause) == (CrashClass.UNKNOWN, last)
    assert said_in(log, crash.line).endswith(last)
    assert crash.confidence_percent <= 20


def test_a_start_that_dies_without_a_word_is_unknown():
    crash = verdict_on("\n".join([*START, *START_FAILED]), 1)
    assert crash is not None
    assert crash.class_ is CrashClass.UNKNOWN
    assert crash.cause.startswith("RuntimeError: Engine core initialization failed")
    silent = verdict_on("", 1)
    assert silent is not None
    assert (silent.class_, silent.line) == (CrashClass.UNKNOWN, None)


def test_a_log_without_trouble_and_without_an_end_gives_nothing():
    assert verdict_on("\n".join([*START, *READY])) is None
    assert verdict_on("") is None


@pytest.mark.parametrize(
    ("carrier", "ending"),
    [
        ("", "\r\n"),
        ("2025-11-22T08:48:34.123456789Z ", "\n"),
        ("2025-11-22T08:48:34.123456789+01:00 stderr F ", "\n"),
        ("vllm-1  | ", "\n"),
        ("[2025-12-13T19:54:35Z] ", "\n"),
        ("\x1b[1;36m", "\x1b[0;0m\n"),
        ("Nov 22 08:48:34 gpu-node-1 vllm[4062]: ", "\n"),
        ("[pod/llama-7d9f-abcde/vllm] ", "\n"),
        ("[pod/llama-7d9f-abcde/vllm] 2025-11-22T08:48:34.123456789Z ", "\n"),
        ("2025-11-22 08:48:34,123 ", "\n"),
        ("Loading shards:  50%|#####     | 1/2\r", "\n"),
    ],
)
def test_carriers_colours_and_line_endings(carrier, ending):
    plain = failed_start(OOM, "load_model")
    expected = verdict_on(plain, 1)
    assert verdict_on("".join(carrier + line + ending for line in plain.splitlines()), 1) == expected
    assert expected is not None
    assert expected.cause == OOM


@pytest.mark.parametrize(
    "wrap",
    [
        lambda text: {"log": text + "\n", "stream": "stderr", "time": "2025-11-22T08:48:34.1Z"},
        lambda text: {"message": text, "kubernetes": {"pod_name": "llama"}},
        lambda text: {"severity": "INFO" if " INFO " in text else "ERROR", "textPayload": text},
        lambda text: {"level": "warn", "msg": "\x1b[31m" + text} if "WARN" in text else {"msg": "\x1b[31m" + text},
    ],
)
def test_shippers_lines_of_json(wrap):
    plain = failed_start(OOM, "load_model")
    crash = verdict_on("\n".join(json.dumps(wrap(line)) for line in plain.splitlines()), 1)
    expected = verdict_on(plain, 1)
    assert crash == expected


def test_a_json_formatters_traceback_is_read_too():
    record = {
        "levelname": "ERROR",
        "message": "EngineCore failed to start.",
        "exc_info": "\n".join(traced(OOM, prefix="")),
    }
    crash = verdict_on("first\n" + json.dumps(record), 1)
    assert crash is not None
    assert (crash.class_, crash.cause, crash.line) == (CrashClass.CUDA_OUT_OF_MEMORY, OOM, 2)


def test_json_of_a_request_is_no_message():
    line = (
        API + 'INFO 11-22 08:50:33 [logger.py:43] Received: {"message": "torch.OutOfMemoryError: CUDA out of memory"}'
    )
    crash = verdict_on("\n".join([*START, line, '{"prompt": "CUDA out of memory"}', *START_FAILED]), 1)
    assert crash is not None
    assert crash.class_ is CrashClass.UNKNOWN


def test_a_prefix_that_nobody_has_heard_of():
    plain = failed_start(OOM, "load_model")
    strange = "".join(f"<14>vllm/gpu-7 #{number}: {line}\n" for number, line in enumerate(plain.splitlines()))
    crash = verdict_on(strange, 1)
    expected = verdict_on(plain, 1)
    assert expected is not None
    assert crash == expected


@pytest.mark.parametrize("width", [60, 100])
def test_lines_that_a_carrier_has_broken(width):
    message = (
        "ValueError: To serve at least one request with the model's max seq len (32768), (1.75 GiB KV cache is needed, "
        "which is larger than the available KV cache memory (1.41 GiB). Based on the available memory, the estimated "
        "maximum model length is 26464. Try increasing `gpu_memory_utilization`"
    )
    broken = [part for line in failed_start(message).splitlines() for part in (textwrap.wrap(line, width) or [""])]
    crash = verdict_on("\n".join(broken), 1)
    assert crash is not None
    assert crash.class_ is CrashClass.KV_CACHE_BELOW_ONE_REQUEST
    assert crash.limit == "max_model_len at most 26464; KV short by 0.34 GiB"
    assert said_in("\n".join(broken), crash.line).endswith(crash.cause)


def test_of_several_starts_in_one_log_the_last_counts():
    taken = failed_start("OSError: [Errno 98] Address already in use")
    assert (crash := verdict_on(taken + failed_start(OOM), 1)) is not None
    assert crash.class_ is CrashClass.CUDA_OUT_OF_MEMORY
    assert (crash := verdict_on(taken + "\n".join(START), 1)) is not None  # the last has come to nothing yet
    assert crash.class_ is CrashClass.PORT_IN_USE
    served_again = death_under_load(OOM, "execute_model") + "\n".join([*START, *READY])
    assert verdict_on(served_again) is None
    assert (crash := verdict_on(served_again, 0)) is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD


STATS = (
    API + "INFO 11-22 09:0{}:08 [loggers.py:259] Engine 000: Avg prompt throughput: 1.0 tokens/s, "
    "Avg generation throughput: {} tokens/s, Running: 1 reqs"
)


def test_an_error_that_a_serving_engine_outlives_did_not_kill_it():
    outlived = [*START, *READY, *traced(OOM, prefix=ENGINE_ERROR), STATS.format(1, "90.1"), STATS.format(2, "91.5")]
    assert verdict_on("\n".join(outlived)) is None
    crash = verdict_on("\n".join(outlived), 0)
    assert crash is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD


def test_reports_of_no_tokens_do_not_show_life():
    idle = [*START, *READY, *traced(OOM, prefix=ENGINE_ERROR), STATS.format(1, "90.1"), STATS.format(2, "0.0")]
    crash = verdict_on("\n".join(idle), 0)
    assert crash is not None
    assert crash.class_ is CrashClass.CUDA_OUT_OF_MEMORY


def test_words_of_a_request_in_the_front_ends_errors_are_no_cause():
    quoted = traced(OOM, prefix=API + "ERROR 11-22 09:02:07 [serving.py:1] Error in preprocessing prompt inputs: ")
    crash = verdict_on("\n".join([*START, *READY, *quoted, API + OOM, *ENGINE_DEAD]), 0)
    assert crash is not None
    assert (crash.class_, crash.cause.startswith("vllm.v1.engine.exceptions.EngineDeadError")) == (
        CrashClass.DIED_UNDER_LOAD,
        True,
    )


def test_a_log_without_its_head_still_shows_that_the_server_was_up():
    tail = [READY[3], STATS.format(1, "9.0"), *traced("ValueError: Unknown quantization method: x"), *ENGINE_DEAD]
    crash = verdict_on("\n".join(tail), 0)
    assert crash is not None
    assert (crash.class_, crash.phase) == (CrashClass.DIED_UNDER_LOAD, CrashPhase.SERVING)


def test_a_start_that_somebody_stopped_is_not_its_own_fault():
    stopped = "\n".join([*START, API + "Traceback (most recent call last):", API + "KeyboardInterrupt: terminated"])
    for exit_code in (143, 1):
        crash = verdict_on(stopped, exit_code)
        assert crash is not None
        assert (crash.class_, crash.fault) == (CrashClass.UNKNOWN, Fault.INFRASTRUCTURE)


def test_uvicorns_clean_shutdown_is_somebody_elses_wish_in_every_version():
    log = "\n".join([*START, *READY, API + "INFO:     Shutting down", API + "INFO:     Finished server process [1]"])
    assert verdict_on(log) is None
    crash = verdict_on(log, 0)
    assert crash is not None
    assert (crash.class_, crash.fault) == (CrashClass.DIED_UNDER_LOAD, Fault.INFRASTRUCTURE)


def test_a_signal_is_named():
    crash = verdict_on("\n".join([*START, *READY]), 139)
    assert crash is not None
    assert "SIGSEGV" in crash.cause


def test_a_request_that_is_logged_over_several_lines_is_no_error():
    prompt = [
        API + "INFO 11-22 09:02:07 [logger.py:43] Received request cmpl-1: prompt: 'tell me of",
        OOM,
        "Xid 79', params",
    ]
    crash = verdict_on("\n".join([*START, *READY, *prompt, *ENGINE_DEAD]), 0)
    assert crash is not None
    assert crash.class_ is CrashClass.DIED_UNDER_LOAD


@pytest.mark.parametrize("colour", ["[0;36m", "ESC[1;36m", "^[[1;36m"])
def test_colours_whose_escape_was_lost(colour):
    plain = failed_start(OOM, "load_model")
    crash = verdict_on("".join(f"{colour}{line}[0;0m\n" for line in plain.splitlines()), 1)
    assert crash == verdict_on(plain, 1)


def test_a_row_that_the_whole_message_fits_weighs_more_than_one_that_its_beginning_fits():
    broken = ENGINE_ERROR + "OSError: [Errno 28] No space left on device: \n'/dev/shm/psm_2f1c9a4b'"
    crash = verdict_on("\n".join([*START, broken, *START_FAILED]), 1)
    assert crash is not None
    assert crash.class_ is CrashClass.SHARED_MEMORY_TOO_SMALL


def test_a_day_of_errors_takes_no_more_memory_than_an_hour():
    tracemalloc.start()
    classify_lines((f"{ENGINE_ERROR}RuntimeError: odd thing {number}" for number in range(20_000)), 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_what_a_terminal_would_obey_is_no_part_of_a_verdict():
    message = "RuntimeError: \x1b[2J\x07\u202eCUDA error:\x9b an illegal memory access was encountered"
    crash = verdict_on(failed_start(message), 1)
    assert crash is not None
    assert crash.cause == "RuntimeError:  CUDA error:  an illegal memory access was encountered"
    unknown = verdict_on(failed_start("OddError: \x00\u2066no\x7f row knows this"), 1)
    assert unknown is not None
    assert unknown.cause == "OddError:  no  row knows this"
