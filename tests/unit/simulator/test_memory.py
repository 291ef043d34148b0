"""The memory model against recorded starts of vLLM 0.24.0 (24 and 8 GiB cards) and its own rules."""

import pytest

from sloguard.simulator.arguments import parse_arguments
from sloguard.simulator.config import defaults, resolve
from sloguard.simulator.memory import GpuMemoryError, check_free_memory, check_sampler, plan_memory, size_kv_cache
from sloguard.simulator.profiles import A100, GIB, H100, L4, PROFILES, find_profile


def configure(profile, *arguments):
    return resolve(parse_arguments(["m", "--profile", profile, *arguments]))


def kv_tokens(profile, *arguments, cached=False):
    config = configure(profile, *arguments)
    return size_kv_cache(plan_memory(config, compile_cached=cached), config).tokens


@pytest.mark.parametrize(
    ("profile", "arguments", "cached", "recorded_tokens"),
    [
        ("7b-h200-24gb", [], False, 115232),
        ("7b-h200-24gb", [], True, 122912),
        ("7b-h200-24gb", ["--max-num-seqs", "512"], True, 110544),
        ("7b-h200-24gb", ["--max-num-batched-tokens", "32768"], False, 55808),
        ("7b-h200-24gb", ["--no-enable-chunked-prefill"], False, 55808),
        ("7b-h200-24gb", ["--kv-cache-dtype", "fp8"], False, 229760),
        ("7b-h200-24gb", ["--quantization", "fp8"], False, 230064),
        ("1.5b-h200-8gb", ["--enforce-eager"], False, 132496),
        ("1.5b-h200-8gb", ["--max-num-seqs", "16"], False, 135568),
        ("1.5b-h200-8gb", ["--gpu-memory-utilization", "0.7"], False, 54944),
    ],
)
def test_kv_cache_is_within_5_percent_of_recorded_starts(profile, arguments, cached, recorded_tokens):
    assert kv_tokens(profile, *arguments, cached=cached) == pytest.approx(recorded_tokens, rel=0.05)


def test_the_defaults_never_start_on_8_gib_because_of_the_sampler():
    config = configure("1.5b-h200-8gb")
    plan = plan_memory(config)
    cache = size_kv_cache(plan, config)
    with pytest.raises(GpuMemoryError) as failure:
        check_sampler(plan, cache.tokens * plan.kv_bytes_per_token)
    assert failure.value.stage == "sampler"


@pytest.mark.parametrize(("utilization", "starts"), [("0.978", True), ("0.98", False)])
def test_utilization_above_what_the_context_leaves_never_starts(utilization, starts):
    config = configure("7b-h200-24gb", "--gpu-memory-utilization", utilization)
    plan = plan_memory(config)
    if starts:
        check_free_memory(plan, config.gpu_memory_utilization)
    else:
        with pytest.raises(GpuMemoryError, match=r"Free memory on device cuda:0 \(23.49/24.0 GiB\)"):
            check_free_memory(plan, config.gpu_memory_utilization)


def test_the_message_names_a_length_that_then_works():
    with pytest.raises(GpuMemoryError, match=r"estimated maximum model length is (\d+)") as failure:
        kv_tokens("7b-h200-24gb", "--gpu-memory-utilization", "0.7")
    length = int(failure.value.message.split("estimated maximum model length is ")[1].split(".")[0])
    assert length == pytest.approx(16368, rel=0.05)
    shorter = ("--gpu-memory-utilization", "0.7", "--max-model-len", str(length))
    assert kv_tokens("7b-h200-24gb", *shorter) >= length
    assert kv_tokens("7b-h200-24gb", "--gpu-memory-utilization", "0.7", "--max-model-len", "auto") >= length


def test_the_recorded_death_under_load_fits_at_start_and_not_in_a_full_batch():
    flags = "--gpu-memory-utilization 0.975 --max-num-batched-tokens 16384 --max-num-seqs 512 --max-model-len 16384"
    config = configure("7b-h200-24gb", *flags.split())
    plan = plan_memory(config)
    kv_bytes = size_kv_cache(plan, config).tokens * plan.kv_bytes_per_token
    check_sampler(plan, kv_bytes)
    assert plan.serving_peak(kv_bytes, 2048, 64, 152064) < plan.total
    assert plan.serving_peak(kv_bytes, 11200, 36, 152064) > plan.total  # it died at 10985 tokens of 36 sequences


def test_defaults_depend_on_the_gpu():
    assert (defaults(H100).max_num_seqs, defaults(H100).max_num_batched_tokens) == (1024, 8192)
    for gpu in (L4, A100):
        assert (defaults(gpu).max_num_seqs, defaults(gpu).max_num_batched_tokens) == (256, 2048)


@pytest.mark.parametrize("name", [*PROFILES])
def test_production_like_defaults_fit_on_every_profile_but_the_one_known_not_to(name):
    tokens = kv_tokens(name)
    assert tokens >= find_profile(name).model.max_position
    assert plan_memory(configure(name)).weights < find_profile(name).gpu.total_bytes


def test_weights_are_those_of_the_named_models():
    for name, gib in (("7b-h100", 14.29), ("1.5b-a100", 2.98), ("8b-l4", 14.99)):
        assert plan_memory(configure(name)).weights / GIB == pytest.approx(gib, rel=0.03)
    assert plan_memory(configure("7b-h100", "--quantization", "fp8")).weights / GIB == pytest.approx(8.17, rel=0.03)
