"""Every failure of the table of crash classes: what it prints, where, and how it exits."""

import asyncio
import socket
import subprocess
import sys

import aiohttp
import pytest

SECONDARY = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no-such-flag", "1"], "vllm: error: unrecognized arguments: --no-such-flag 1"),
        (["--max-num-seqs", "many"], "vllm serve: error: argument --max-num-seqs: invalid int value: 'many'"),
        (["--kv-cache-dtype", "int3"], "argument --kv-cache-dtype: invalid choice: 'int3'"),
        (["--profile", "h900"], "unknown profile 'h900'"),
        (["--fault", "gremlins"], "unknown fault 'gremlins'"),
    ],
)
def test_a_bad_command_line_exits_2(run_to_end, arguments, message):
    ended = run_to_end(*arguments)
    assert ended.code == 2
    assert ended.stderr.splitlines()[-1].endswith(message) or message in ended.stderr
    assert ended.stderr.startswith("usage: ")
    assert ended.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "config", "message"),
    [
        (
            ["--max-num-seqs", "1024", "--max-num-batched-tokens", "512"],
            "SchedulerConfig",
            "max_num_batched_tokens (512) must be greater than or equal to max_num_seqs (1024).",
        ),
        (
            ["--no-enable-chunked-prefill", "--max-num-batched-tokens", "512"],
            "SchedulerConfig",
            "max_num_batched_tokens (512) is smaller than max_model_len (4096).",
        ),
        (["--max-model-len", "5k"], "ModelConfig", "User-specified max_model_len (5000) is greater than the derived"),
        (["--gpu-memory-utilization", "1.2"], "CacheConfig", "Input should be less than or equal to 1"),
        (["--max-num-seqs", "0"], "SchedulerConfig", "Input should be greater than or equal to 1"),
        (["-tp", "2"], "ParallelConfig", "World size (2) is larger than the number of available GPUs (1)"),
        (["-tp", "3", "--gpus", "4"], "VllmConfig", "must be divisible by tensor parallel size (3)"),
        (["--quantization", "magic"], "ModelConfig", "Unknown quantization method: magic."),
        (["--quantization", "awq"], None, "ValueError: Cannot find the config file for awq"),
        (["--quantization", "mxfp8"], None, "Minimum capability: 100. Current capability: 89."),
    ],
)
def test_an_invalid_configuration_exits_1_with_a_validation_error(run_to_end, arguments, config, message):
    ended = run_to_end(*arguments)
    assert ended.code == 1
    assert message in ended.stderr
    if config is not None:
        assert f"ValidationError: 1 validation error for {config}" in ended.stderr
    assert SECONDARY not in ended.text  # no engine was started


@pytest.mark.parametrize(
    ("arguments", "cause", "context"),
    [
        (
            ["--gpu-memory-utilization", "0.99"],
            "ValueError: Free memory on device cuda:0 (0.98/1.0 GiB) on startup is less than desired GPU memory util",
            "request_memory",
        ),
        (["--fault", "gpu-memory-taken"], "Free memory on device cuda:0 (0.48/1.0 GiB)", "request_memory"),
        (["--gpu-memory-taken-gib", "0.3"], "Free memory on device cuda:0 (0.68/1.0 GiB)", "request_memory"),
        (
            ["--gpu-memory-utilization", "0.7"],
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
            "Available KV cache memory: -0.0",
        ),
        (
            ["--gpu-memory-utilization", "0.78"],
            "ValueError: To serve at least one request with the model's max seq len (4096), (0.06 GiB KV cache is ne",
            "the estimated maximum model length is ",
        ),
        (
            ["--max-num-seqs", "400", "--gpu-memory-utilization", "0.975", "--max-num-batched-tokens", "512"],
            "CUDA out of memory occurred when warming up sampler with 400 dummy requests.",
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate",
        ),
        (
            ["--max-num-batched-tokens", "16384", "--kv-cache-memory-bytes", "100M"],
            "torch.OutOfMemoryError: CUDA out of memory.",
            "profile_run",
        ),
        (["--fault", "cuda-oom@load"], "torch.OutOfMemoryError: CUDA out of memory.", "load_model"),
        (["--fault", "cuda-oom@profile"], "torch.OutOfMemoryError: CUDA out of memory.", "determine_available_memory"),
        (["--fault", "cuda-oom@graphs"], "torch.OutOfMemoryError: CUDA out of memory.", "capture_model"),
        (["--fault", "nccl"], "NCCL error in:", "ncclSystemError"),
        (
            ["--fault", "illegal-memory-access@graphs"],
            "CUDA error: an illegal memory access was encountered",
            "capture_model",
        ),
        (["--fault", "shm-too-small"], "RuntimeError: Insufficient space in /dev/shm", "EngineCore failed to start."),
    ],
)
def test_a_failed_engine_start_names_the_cause_first_and_not_last(run_to_end, arguments, cause, context):
    ended = run_to_end(*arguments)
    assert ended.code == 1
    assert cause in ended.stdout  # logged by the engine ...
    assert cause in ended.stderr  # ... and again as its uncaught exception
    assert context in ended.text
    assert ended.stderr.rstrip().splitlines()[-1].endswith(SECONDARY)


@pytest.mark.parametrize(
    ("arguments", "last"),
    [
        (["--fault", "engine-killed@load"], SECONDARY),
        (["--fault", "engine-timeout"], "VLLM_ENGINE_READY_TIMEOUT_S=<seconds>"),
        (["--fault", "model-missing"], "pass 'local_files_only=False' as input."),
        (["--fault", "model-download"], "installation#offline-mode'."),
    ],
)
def test_starts_that_end_without_an_engines_error(run_to_end, arguments, last):
    ended = run_to_end(*arguments)
    assert ended.code == 1
    assert ended.stderr.rstrip().splitlines()[-1].endswith(last)
    assert "EngineCore failed to start" not in ended.text


def test_exit_codes_are_those_of_the_process():
    command = [sys.executable, "-m", "sloguard.simulator", "m", "--profile", "tiny", "--startup-scale", "0.002"]
    for arguments, code in ((["--what"], 2), (["--gpu-memory-utilization", "0.99"], 1), (["--help"], 0)):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == code
    assert "simulator options:" in done.stdout
    assert "illegal-memory-access" in done.stdout


def test_a_port_in_use_is_refused_before_the_engine_is_created(run_to_end):
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        ended = run_to_end("--port", str(other.getsockname()[1]))
    assert ended.code == 1
    assert ended.stderr.rstrip().endswith("OSError: [Errno 98] Address already in use")
    assert "Initializing a V1 LLM engine" not in ended.stdout


async def _drive_until_it_dies(server, session, **body):
    """Statuses and error events that clients saw, and the exit code."""
    results = await asyncio.gather(
        *(server.stream(session, prompt=[i] * 1200, max_tokens=200, ignore_eos=True, **body) for i in range(12)),
        return_exceptions=True,
    )
    code = await server.wait_end()
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.get(f"{server.url}/health")
    return results, code


async def test_memory_that_runs_out_under_load_ends_with_exit_code_0(start, session):
    server = start("--gpu-memory-utilization", "0.975", "--max-num-batched-tokens", "8192", "--max-num-seqs", "64")
    await server.wait_ready(session)
    small = await server.stream(session, prompt=[1] * 64, max_tokens=3, ignore_eos=True)
    assert small.done  # it starts and serves: a start is no proof
    prompts = [[number] * 1200 for number in range(12)]  # in one request, so that they meet in one batch
    answer = await server.stream(session, prompt=prompts, max_tokens=200, ignore_eos=True)
    assert answer.status == 500 or answer.chunks[-1]["error"]["code"] == 500
    error = answer.body["error"] if answer.body else answer.chunks[-1]["error"]
    assert error["message"].startswith("EngineCore encountered an issue")
    assert await server.wait_end() == 0
    assert "torch.OutOfMemoryError: CUDA out of memory" in server.log
    assert "execute_model" in server.log
    assert server.log.index("OutOfMemoryError") < server.log.index("EngineDeadError")


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("illegal-memory-access@0.2", "CUDA error: an illegal memory access was encountered"),
        ("nccl@0.2", "Watchdog caught collective operation timeout"),
        ("cuda-oom@0.2", "torch.OutOfMemoryError: CUDA out of memory"),
        ("engine-dies@0.2", "EngineDeadError: EngineCore encountered an issue."),
        ("engine-killed@0.2", "EngineDeadError"),
    ],
)
async def test_injected_deaths_under_load_also_exit_0(start, session, fault, cause):
    server = start("--fault", fault)
    await server.wait_ready(session)
    results, code = await _drive_until_it_dies(server, session)
    assert code == 0
    assert cause in server.log
    events = [
        chunk["error"]["message"]
        for result in results
        if not isinstance(result, BaseException)
        for chunk in [*result.chunks, result.body]
        if "error" in chunk
    ]
    assert events
    assert all(event.startswith("EngineCore encountered an issue") for event in events)


async def test_a_hung_engine_stays_healthy_and_makes_no_tokens(start, session):
    server = start("--fault", "hang@0.1", "--drain-seconds", "0.1")
    await server.wait_ready(session)
    stream = asyncio.create_task(server.stream(session, prompt=[1] * 32, max_tokens=2000, ignore_eos=True))
    await asyncio.sleep(0.6)
    before = await server.samples(session)
    await asyncio.sleep(0.4)
    after = await server.samples(session)
    assert before["vllm:num_requests_running"] == after["vllm:num_requests_running"] == 1
    assert before["vllm:generation_tokens_total"] == after["vllm:generation_tokens_total"]
    async with session.get(f"{server.url}/health") as answer:
        assert answer.status == 200
    assert not stream.done()
    server.process.terminate()
    with pytest.raises(aiohttp.ClientError):
        await stream
    assert await server.wait_end() == 0
