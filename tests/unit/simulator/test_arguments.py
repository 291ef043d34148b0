import pytest

from sloguard.simulator.arguments import parse_arguments
from sloguard.simulator.config import resolve
from sloguard.simulator.faults import KINDS, parse_fault
from sloguard.simulator.flags import default_of, human_readable_int
from sloguard.simulator.hostmemory import MIB, HostMemory, host_bytes


def configure(*arguments):
    return resolve(parse_arguments(["m", "--profile", "8b-l4", *arguments]))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--max-num-seqs", "64", "--enforce-eager", "--no-enable-prefix-caching"],
        ["--max_num_seqs=64", "--enforce_eager", "--no-enable_prefix_caching"],
        ["--max-num-seqs=64", "-O0", "--no-enable-prefix-caching"],
        ["--max-num-seqs=64", "-cc.cudagraph_mode=none", "--no-enable-prefix-caching"],
        ["--max-num-seqs=64", "--compilation-config", '{"cudagraph_mode": "NONE"}', "--no-enable-prefix-caching"],
    ],
)
def test_spellings_of_the_same_configuration(arguments):
    config = configure(*arguments)
    assert (config.max_num_seqs, config.enforce_eager, config.enable_prefix_caching) == (64, True, False)
    assert config.cudagraph_sizes == ()


def test_the_model_may_stand_anywhere_or_nowhere(monkeypatch):
    assert parse_arguments(["--port", "1", "my/model"]).model == "my/model"
    assert parse_arguments(["--model", "my/model"]).model == "my/model"
    monkeypatch.setenv("SLOGUARD_SIMULATOR_PROFILE", "tiny")
    assert parse_arguments([]).model == "sloguard/tiny"


def test_a_configuration_file_yields_to_the_command_line(tmp_path):
    file = tmp_path / "vllm.yaml"
    file.write_text("max-num-seqs: 32\nenforce-eager: true\nserved_model_name: [a, b]\nport: 81\n")
    arguments = parse_arguments(["m", "--config", str(file), "--max-num-seqs", "16"])
    assert (arguments.port, arguments.value("served_model_name"), arguments.value("enforce_eager")) == (
        81,
        ["a", "b"],
        True,
    )
    assert resolve(arguments).max_num_seqs == 16


def test_lengths_are_read_as_vllm_reads_them():
    assert [human_readable_int(text) for text in ("4096", "32k", "32K", "1.5k")] == [4096, 32000, 32768, 1500]
    assert configure("--max-model-len", "4k").max_model_len == 4000
    assert configure("--max-model-len", "auto").auto_max_model_len


def test_defaults_are_vllms():
    config = configure()
    assert (config.max_num_seqs, config.max_num_batched_tokens, config.gpu_memory_utilization) == (256, 2048, 0.92)
    assert default_of("stream_interval") == 1
    assert configure("--no-enable-chunked-prefill").max_num_batched_tokens == 8192
    assert configure("--max-num-batched-tokens", "100").max_num_seqs == 100
    assert configure("--performance-mode", "throughput").max_num_seqs == 512


def test_graphs_are_captured_for_twice_the_sequences():
    assert len(configure().cudagraph_sizes) == 51
    assert configure("--max-num-seqs", "8").cudagraph_sizes == (1, 2, 4, 8, 16)
    assert configure("--cudagraph-capture-sizes", "1", "8").cudagraph_sizes == (1, 8)


@pytest.mark.parametrize("kind", [*KINDS])
def test_every_fault_has_a_default_place(kind):
    fault = parse_fault(kind)
    assert (fault.phase is None) != (fault.after_seconds is None)


@pytest.mark.parametrize(
    "text", ["hang@load", "shm-too-small@3", "nccl@soon", "cuda-oom@-1", "hang@inf", "gremlins@load"]
)
def test_faults_that_make_no_sense_are_refused(text):
    with pytest.raises(ValueError, match=text.partition("@")[0]):
        parse_fault(text)


def test_host_memory_is_really_taken_and_grows_with_sequences():
    assert host_bytes(256, 8192, 16) < 20 * MIB
    assert host_bytes(4096, 32768, 16) > 500 * MIB
    memory = HostMemory()
    memory.take(3 * MIB)
    assert memory.held_bytes == 3 * MIB
