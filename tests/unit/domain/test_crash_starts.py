"""Each message of a start that fails, as servers or the sources of vLLM have it."""

import pytest

from sloguard.api.v1alpha1 import CrashClass, CrashPhase
from sloguard.domain.crash_scan import PATTERNS
from tests.unit.domain.crash_logs import API, failed_start, said_in, verdict_on
from tests.unit.domain.crash_samples import OOM, STARTS

WARM_UP = "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests. Please try"


@pytest.mark.parametrize(("crash_class", "fault", "limit", "message"), STARTS)
def test_names_class_fault_and_limit_and_quotes_the_first_line_that_says_so(crash_class, fault, limit, message):
    log = failed_start(message)
    crash = verdict_on(log, 1)
    assert crash is not None
    assert (crash.class_, crash.fault) == (crash_class, fault)
    assert crash.cause == message.split("\n")[-1].strip()
    assert said_in(log, crash.line).endswith(message.split("\n")[-1])
    assert log.split("\n").index(said_in(log, crash.line)) == (crash.line or 0) - 1
    assert limit is None or limit in (crash.limit or "")


@pytest.mark.parametrize("row", PATTERNS, ids=lambda row: f"{row.crash_class}-{[*row.needles, row.heading][0]}")
def test_every_row_of_the_tables_has_a_sample(row):
    said = [line.strip() for *_, message in STARTS for line in message.split("\n")]
    said += [WARM_UP, "vllm serve: error: unrecognized arguments: --max-partial-prefills 2"]
    assert any(row.match(line) and (row.heading or any(needle in line for needle in row.needles)) for line in said)
    assert row.seen
    assert 0 < row.confidence < 100


@pytest.mark.parametrize(
    ("functions", "phase"),
    [
        (("init_device", "load_model"), CrashPhase.LOAD),
        (("determine_available_memory", "profile_run", "_dummy_run"), CrashPhase.PROFILE),
        (("determine_available_memory", "profile_run", "_dummy_sampler_run"), CrashPhase.SAMPLER),
        (("compile_or_warm_up_model", "capture_model"), CrashPhase.GRAPH_CAPTURE),
        (("compile_or_warm_up_model", "_dummy_sampler_run"), CrashPhase.SAMPLER),
        (("forward",), CrashPhase.LOAD),  # only "Starting to load model" tells
    ],
)
def test_a_traceback_tells_the_phase(functions, phase):
    crash = verdict_on(failed_start(OOM, *functions), 1)
    assert crash is not None
    assert (crash.class_, crash.phase) == (CrashClass.CUDA_OUT_OF_MEMORY, phase)


def test_the_samplers_own_message_adds_its_limit_to_the_allocators():
    crash = verdict_on(failed_start(OOM + "\n\n" + WARM_UP, "_dummy_sampler_run"), 1)
    assert crash is not None
    assert crash.cause == OOM
    assert crash.phase is CrashPhase.SAMPLER
    assert crash.limit == "150.00 MiB more could not be allocated; max_num_seqs below 256"


def test_the_samplers_own_message_is_enough():
    crash = verdict_on(failed_start(WARM_UP), 1)
    assert crash is not None
    assert (crash.class_, crash.phase, crash.limit) == (
        CrashClass.CUDA_OUT_OF_MEMORY,
        CrashPhase.SAMPLER,
        "max_num_seqs below 256",
    )


def test_no_room_is_measured_by_what_was_available_before():
    room = "(EngineCore pid=4509) INFO 11-22 08:48:29 [gpu_worker.py:508] Available KV cache memory: -1.41 GiB\n"
    crash = verdict_on(room + failed_start("ValueError: No available memory for the cache blocks."), 1)
    assert crash is not None
    assert crash.limit == "KV short by 1.41 GiB"


@pytest.mark.parametrize(
    "said",
    [
        "vllm serve: error: unrecognized arguments: --max-partial-prefills 2",
        "api_server.py: error: argument --max-num-seqs: invalid int value: 'many'",
        "usage: vllm serve [model_tag] [options]\nvllm serve: error: argument --block-size: expected one argument",
    ],
)
def test_argparse(said):
    crash = verdict_on(said, 2)
    assert crash is not None
    assert (crash.class_, crash.cause) == (CrashClass.INVALID_ARGUMENTS, said.split("\n")[-1])


@pytest.mark.parametrize(
    ("path", "crash_class"),
    [
        ("vllm/config/parallel.py", CrashClass.INVALID_ARGUMENTS),
        ("vllm/engine/arg_utils.py", CrashClass.INVALID_ARGUMENTS),
        ("vllm/model_executor/layers/quantization/mxfp4.py", CrashClass.UNSUPPORTED_QUANTIZATION),
        ("vllm/model_executor/models/qwen2.py", CrashClass.UNKNOWN),
    ],
)
def test_words_that_no_table_knows_are_told_by_the_code_that_raised_them(path, crash_class):
    crash = verdict_on(failed_start("ValueError: the moon is in the wrong house", "check", prefix=API, path=path), 1)
    assert crash is not None
    assert crash.class_ is crash_class
    assert crash.cause == "ValueError: the moon is in the wrong house"


@pytest.mark.parametrize(
    ("path", "crash_class"),
    [
        ("vllm/v1/worker/block_table.py", CrashClass.INVALID_ARGUMENTS),
        ("torch/nn/modules/module.py", CrashClass.UNKNOWN),
        ("myvllm/plugin.py", CrashClass.UNKNOWN),
    ],
)
def test_what_code_of_vllms_own_refuses_was_asked_for(path, crash_class):
    crash = verdict_on(failed_start("ValueError: odd_knob 3 is not yet supported with even_knob 4", "f", path=path), 1)
    assert crash is not None
    assert crash.class_ is crash_class


def test_what_vllm_trips_over_itself_is_not_known():
    said = "ValueError: Mismatched batch sizes: 7 and 8"
    crash = verdict_on(failed_start(said, "f", path="vllm/model_executor/layers/x.py"), 1)
    assert crash is not None
    assert crash.class_ is CrashClass.UNKNOWN


@pytest.mark.parametrize(
    "said",
    [
        "RuntimeError: Engine core initialization failed. Failed core proc(s): {'EngineCore_0': -9}",
        "ERROR 11-22 08:48:34 [multiproc_executor.py:274] Worker proc VllmWorker-0 died unexpectedly (exit code: -9)",
        "RuntimeError: Process ApiServer_1 (PID: 77) died with exit code -9",
        "ERROR 03-21 10:00:00 multiproc_worker_utils.py:124] Worker VllmWorkerProcess pid 77 died, exit code: -9",
    ],
)
def test_a_process_killed_by_the_kernel_is_probably_out_of_memory(said):
    crash = verdict_on(said, 1)
    assert crash is not None
    assert crash.class_ is CrashClass.HOST_OUT_OF_MEMORY
    assert crash.confidence_percent < 70
