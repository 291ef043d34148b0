"""How long a start takes, nominally, and what it says on the way."""

import pytest

from sloguard.simulator.arguments import parse_arguments
from sloguard.simulator.profiles import PROFILES
from sloguard.simulator.startup import Line, Ready, Wait, script


def events(*arguments, **options):
    return list(script(parse_arguments(["m", *arguments]), **options))


def seconds(*arguments, **options):
    return sum(event.seconds for event in events(*arguments, **options) if isinstance(event, Wait))


def text(*arguments, **options):
    return "\n".join(event.text for event in events(*arguments, **options) if isinstance(event, Line))


def test_phases_last_as_recorded():
    assert 58 < seconds("--profile", "7b-h200-24gb", "--load-format", "dummy") < 125
    assert 40 < seconds("--profile", "7b-h200-24gb", "--load-format", "dummy", "--enforce-eager") < 87
    refused = ("--max-num-batched-tokens", "512", "--max-num-seqs", "1024")
    assert 12 < seconds("--profile", "7b-h200-24gb", *refused) < 55


def test_a_compiled_configuration_starts_faster_and_leaves_more_room():
    flags = ("--profile", "7b-h200-24gb")
    assert seconds(*flags, compile_cached=True) < seconds(*flags) - 10
    cold, warm = (events(*flags, compile_cached=cached)[-1] for cached in (False, True))
    assert warm.cache.tokens > cold.cache.tokens


def test_slow_starts():
    flags = ("--profile", "tiny")
    plain = seconds(*flags)
    assert seconds(*flags, "--fault", "slow-start@30") == pytest.approx(plain + 30)
    assert seconds(*flags, "--fault", "slow-start") > plain
    assert seconds(*flags, "--fault", "stuck-start") == float("inf")


def test_the_log_says_what_tuners_read():
    log = text("--profile", "7b-h200-24gb")
    for line in (
        "Available KV cache memory: 6.16 GiB",
        "Model loading took 14.",
        "GPU KV cache size: 115,",
        "Maximum concurrency for 32,768 tokens per request: 3.5",
        "Graph capturing finished in 5 secs, took 0.4",
        "Estimated CUDA graph memory: 0.35 GiB total",
    ):
        assert line in log


def test_eager_starts_capture_nothing():
    log = text("--profile", "8b-l4", "--enforce-eager")
    assert "Graph capturing" not in log
    assert "torch.compile took" not in log
    assert "Enforce eager set, disabling torch.compile and CUDAGraphs." in log


@pytest.mark.parametrize("profile", [*PROFILES])
def test_only_the_small_card_cannot_start_with_defaults(profile):
    started = isinstance(events("--profile", profile)[-1], Ready)
    assert started == (profile != "1.5b-h200-8gb")
