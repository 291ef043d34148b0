"""What the CPU launches, and when that is longer than what the GPU computes."""

import pytest

from sloguard.simulator.arguments import parse_arguments
from sloguard.simulator.config import resolve
from sloguard.simulator.latency import LatencyModel, StepShape


def model(*arguments, profile="1.5b-h200-8gb"):
    return LatencyModel(resolve(parse_arguments(["m", "--profile", profile, *arguments])))


def decodes(number):
    return StepShape(number, number, number * 1000, number * 1000)


def prompt(tokens):
    return StepShape(tokens, 1, tokens, tokens * tokens // 2, prompts=1)


def test_a_batch_without_a_full_graph_of_its_size_is_launched_in_pieces():
    latency = model("--max-num-seqs", "19")  # sizes 1 2 4 8 16 24 32: the full ones end at 16
    full, piecewise = latency.step_seconds(decodes(16)), latency.step_seconds(decodes(17))
    assert piecewise > full + 0.003


def test_a_prompt_beyond_the_captured_sizes_is_launched_layer_by_layer():
    latency = model("--max-num-seqs", "256")  # captured up to 512 tokens
    assert latency.step_seconds(prompt(513)) > latency.step_seconds(prompt(512)) + 0.01
    few = model("--max-num-seqs", "16")  # captured up to 32
    assert few.step_seconds(prompt(512)) > latency.step_seconds(prompt(512)) + 0.01


def test_eager_steps_are_launched_whole_and_more_so_when_quantized():
    eager = model("--enforce-eager").step_seconds(decodes(1))
    assert eager > 5 * model().step_seconds(decodes(1))
    assert model("--enforce-eager", "--quantization", "fp8").step_seconds(decodes(1)) > eager


def test_large_prompts_are_the_gpu_s_business():
    graphs, eager = (model(*flags, profile="7b-h200-24gb") for flags in ((), ("--enforce-eager",)))
    assert graphs.step_seconds(prompt(8192)) == pytest.approx(eager.step_seconds(prompt(8192)))
