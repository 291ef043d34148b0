import shlex

import pytest

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.arguments import ArgumentsError, option, split_command, tuned, with_parameters
from sloguard.domain.knobs import KNOBS

K = KnobName
ALL = set(KNOBS)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("M", {}),
        ("M --max-num-seqs 64", {K.MAX_NUM_SEQS: "64"}),
        ("M --max-num-seqs=64", {K.MAX_NUM_SEQS: "64"}),
        ("M --max_num_seqs 64", {K.MAX_NUM_SEQS: "64"}),
        ("M --max_num-seqs=64", {K.MAX_NUM_SEQS: "64"}),
        ("M --max-num-seqs 64 --max-num-seqs=65", {K.MAX_NUM_SEQS: "65"}),
        ("M -tp 2 -pp=3 -q fp8", {K.QUANTIZATION: "fp8", K.TENSOR_PARALLEL_SIZE: "2", K.PIPELINE_PARALLEL_SIZE: "3"}),
        ("M --tensor-parallel 2", {K.TENSOR_PARALLEL_SIZE: "2"}),
        ("M --max-model-len 32k", {K.MAX_MODEL_LEN: "32000"}),
        ("M --max-model-len=1K", {K.MAX_MODEL_LEN: "1024"}),
        ("M --max-model-len auto", {K.MAX_MODEL_LEN: "auto"}),
        ("M --max-model-len -1 --port 1", {K.MAX_MODEL_LEN: "auto"}),
        ("M --gpu-memory-utilization .90", {K.GPU_MEMORY_UTILIZATION: "0.9"}),
        ("M --enforce-eager", {K.ENFORCE_EAGER: "true"}),
        ("M --enforce_eager --port 8000", {K.ENFORCE_EAGER: "true"}),
        ("M --no-enforce-eager", {K.ENFORCE_EAGER: "false"}),
        ("M --enable-prefix-caching --no-enable-prefix-caching", {K.ENABLE_PREFIX_CACHING: "false"}),
        ("M --no_enable_prefix_caching", {K.ENABLE_PREFIX_CACHING: "false"}),
        ("M --disable-chunked-prefill", {K.ENABLE_CHUNKED_PREFILL: "false"}),
        ("M --enable-chunked-prefill=False", {K.ENABLE_CHUNKED_PREFILL: "false"}),
        ("M --enable-chunked-prefill False --port 1", {K.ENABLE_CHUNKED_PREFILL: "false"}),
        ("M --port 8000 --served-model-name a b --api-key=--max-num-seqs", {}),
        ("M --kv-cache-dtype-skip-layers 1", {}),
        ("M -- --max-num-seqs 4", {}),
        ("M --max-num-seqs $(SEQS)", {K.MAX_NUM_SEQS: "$(SEQS)"}),
    ],
)
def test_what_a_command_line_sets(line, expected):
    assert tuned(shlex.split(line)) == expected


def test_text_that_only_looks_like_a_flag_is_text():
    assert tuned(["M", "--chat-template", "--max-num-seqs 4"]) == {}


@pytest.mark.parametrize("line", ["M --max-num-seqs", "M --max-num-seqs --port 8000"])
def test_a_flag_without_its_value_is_refused(line):
    with pytest.raises(ArgumentsError, match="--max-num-seqs has no value"):
        tuned(shlex.split(line))


@pytest.mark.parametrize(
    ("line", "parameters", "expected"),
    [
        ("M --port 1", {}, "M --port 1"),
        ("M --port 1", {K.MAX_NUM_SEQS: "8"}, "M --port 1 --max-num-seqs 8"),
        ("M --max-num-seqs 4 --port 1", {K.MAX_NUM_SEQS: "8"}, "M --max-num-seqs 8 --port 1"),
        ("M --max_num_seqs=4 --port 1", {K.MAX_NUM_SEQS: "8"}, "M --max_num_seqs=8 --port 1"),
        ("M -tp 2 --port 1", {K.TENSOR_PARALLEL_SIZE: "4"}, "M -tp 4 --port 1"),
        ("M --max-num-seqs 4 --port 1", {}, "M --port 1"),
        ("M --max-num-seqs 4 --port 1 --max-num-seqs=5", {K.MAX_NUM_SEQS: "8"}, "M --port 1 --max-num-seqs=8"),
        ("M --max-model-len 32k", {K.MAX_MODEL_LEN: "32000"}, "M --max-model-len 32k"),
        ("M --enforce-eager --port 1", {K.ENFORCE_EAGER: "false"}, "M --port 1"),
        ("M --no-enforce-eager --port 1", {K.ENFORCE_EAGER: "true"}, "M --enforce-eager --port 1"),
        ("M", {K.ENFORCE_EAGER: "true"}, "M --enforce-eager"),
        ("M --enable-prefix-caching", {K.ENABLE_PREFIX_CACHING: "false"}, "M --no-enable-prefix-caching"),
        ("M", {K.ENABLE_PREFIX_CACHING: "false"}, "M --no-enable-prefix-caching"),
        ("M --quantization fp8 --port 1", {K.QUANTIZATION: "none"}, "M --port 1"),
        ("M --quantization fp8", {K.QUANTIZATION: "awq"}, "M --quantization awq"),
        ("M --port 1 -- x", {K.MAX_NUM_SEQS: "8"}, "M --port 1 --max-num-seqs 8 -- x"),
    ],
)
def test_other_knobs_in_the_same_command_line(line, parameters, expected):
    assert shlex.join(with_parameters(shlex.split(line), ALL, parameters)) == expected


def test_knobs_that_are_not_managed_stay():
    line = ["M", "--max-num-seqs", "4", "-tp", "2"]
    assert with_parameters(line, {K.MAX_NUM_SEQS}, {}) == ["M", "-tp", "2"]


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("M --port 80 --port=81", "port", "81"),
        ("M --served_model_name a b", "served-model-name", "a"),
        ("M --host", "host", None),
        ("M --port 80", "host", None),
        ("M --port 80", "model", "M"),
        ("--model N --port 80", "model", "N"),
        ("--port 80", "model", None),
        ("M --api-key=a=b", "api-key", "a=b"),
        ("M -- --port 80", "port", None),
    ],
)
def test_any_option(line, name, expected):
    assert option(shlex.split(line), name) == expected


@pytest.mark.parametrize(
    ("line", "words_before"),
    [
        ("vllm serve M --port 1", 2),
        ("/opt/venv/bin/vllm serve M", 2),
        ("tini -- vllm serve M", 4),
        ("python3 -m vllm.entrypoints.openai.api_server --model M", 3),
        ("python -u -m vllm.entrypoints.openai.api_server --model M", 4),
        ("sloguard simulate M", 2),
        ("python -m sloguard simulate M", 4),
        ("python -m sloguard.simulator M", 3),
    ],
)
def test_where_the_servers_own_arguments_begin(line, words_before):
    words = shlex.split(line)
    assert split_command(words) == (words[:words_before], words[words_before:])


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["sh", "-c", "vllm serve M"], "through a shell"),
        (["/bin/bash", "-c", "vllm serve M"], "lists"),
        (["python", "server.py"], "no vLLM server"),
        (["vllm", "bench"], "vllm serve"),
        ([], "empty"),
    ],
)
def test_a_command_that_cannot_be_tuned_is_refused_with_the_reason(command, reason):
    with pytest.raises(ArgumentsError, match=reason):
        split_command(command)
