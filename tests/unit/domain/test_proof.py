"""What a message proves, in figures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import Crash, CrashClass, Proof, SettingBound
from sloguard.domain.crash import classify
from sloguard.domain.evidence import Evidence
from sloguard.domain.proof import NOTHING, Proven, in_bytes, together
from tests.unit.domain.crash_logs import failed_start
from tests.unit.domain.crash_samples import BELOW, BELOW_OLD, FREE, OOM, SEQ_LEN, TOO_LONG, VALIDATION

GIB, MIB = 1 << 30, 1 << 20
ENGINE = "(EngineCore pid=7) INFO 11-22 08:48:29 [gpu_worker.py:508] "


def verdict(log: str) -> Crash:
    crash = classify(Evidence(log=log, ended=True, exit_code=1))
    assert crash is not None
    return crash


def at_most(setting: str, value: int) -> SettingBound:
    return SettingBound(setting=setting, at_most=value)


@pytest.mark.parametrize(
    ("message", "proof"),
    [
        (
            BELOW,
            Proof(
                bounds=[at_most("max_model_len", 26464)],
                needed_kv_cache_bytes=round(1.75 * GIB),
                available_kv_cache_bytes=round(1.41 * GIB),
                short_kv_cache_bytes=round(0.34 * GIB),
            ),
        ),
        (
            BELOW_OLD,
            Proof(
                needed_kv_cache_bytes=round(1.75 * GIB),
                available_kv_cache_bytes=round(1.41 * GIB),
                short_kv_cache_bytes=round(0.34 * GIB),
            ),
        ),
        (SEQ_LEN, Proof(bounds=[at_most("max_model_len", 26464)])),
        (VALIDATION.format("ModelConfig") + TOO_LONG, Proof(bounds=[at_most("max_model_len", 32768)])),
        (
            FREE.format("38.15/79.18", "0.92, 72.85 GiB"),
            Proof(free_device_memory_bytes=round(38.15 * GIB), device_memory_bytes=round(79.18 * GIB)),
        ),
        (
            FREE.format("23.49/24.0", "0.987, 23.69 GiB"),
            Proof(
                bounds=[SettingBound(setting="gpu_memory_utilization", at_most_permille=978)],
                free_device_memory_bytes=round(23.49 * GIB),
                device_memory_bytes=24 * GIB,
            ),
        ),
        (
            OOM,
            Proof(
                unallocated_bytes=150 * MIB,
                device_memory_bytes=round(139.8 * GIB),
                free_device_memory_bytes=round(116.67 * GIB),
            ),
        ),
        (
            "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests. Please try",
            Proof(bounds=[at_most("max_num_seqs", 255)]),
        ),
        (
            VALIDATION.format("SchedulerConfig") + "max_num_seqs\n  Input should be greater than 0 [type=greater_than]",
            Proof(bounds=[SettingBound(setting="max_num_seqs", at_least=1)]),
        ),
        (
            VALIDATION.format("CacheConfig")
            + "gpu_memory_utilization\n  Input should be less than or equal to 1 [type=less_than_equal]",
            Proof(bounds=[SettingBound(setting="gpu_memory_utilization", at_most_permille=1000)]),
        ),
        ("ValueError: World size (4) is larger than the number of available GPUs (2) in this node.", Proof(gpus=2)),
    ],
)
def test_a_message_proves_figures(message, proof):
    assert verdict(failed_start(message)).proof == proof


def test_graphs_are_told_beside_the_room_that_they_took():
    said = ["Estimated CUDA graph memory: 0.57 GiB total", "Available KV cache memory: -0.31 GiB"]
    log = "".join(f"{ENGINE}{line}\n" for line in said)
    crash = verdict(log + failed_start("ValueError: No available memory for the cache blocks."))
    assert crash.limit == "KV short by 0.31 GiB; CUDA graphs need 0.57 GiB"
    assert crash.proof == Proof(
        available_kv_cache_bytes=round(-0.31 * GIB),
        short_kv_cache_bytes=round(0.31 * GIB),
        cuda_graph_bytes=round(0.57 * GIB),
    )


def test_no_room_at_all_is_short_by_nothing():
    log = f"{ENGINE}Available KV cache memory: 0.0 GiB\n"
    assert verdict(log + failed_start("ValueError: No available memory for the cache blocks.")).limit == (
        "KV short by 0.00 GiB"
    )


@pytest.mark.parametrize(
    "message",
    [
        FREE.format("9.9.9/24.0", "0.9, 21.6 GiB"),
        FREE.format(f"{'9' * 400}/24.0", "0.9, 21.6 GiB"),
        BELOW.replace("1.75", "9" * 400),
        BELOW.replace("26464", "9" * 30),
        OOM.replace("150.00", "9" * 400),
        f"{ENGINE}Available KV cache memory: -{'9' * 400} GiB\nValueError: No available memory for the cache blocks.",
    ],
)
def test_impossible_figures_are_none(message):
    crash = verdict(failed_start(message))
    assert Crash.model_validate(crash.dump()) == crash
    assert not any(len(str(figure)) > 20 for figure in (crash.proof or NOTHING).model_dump(exclude_none=True).values())


@given(st.text(max_size=40))
def test_what_is_no_size_is_none(said):
    size = in_bytes(said)
    assert size is None or said.split()[0].lstrip("-")[0].isdigit()


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=5))
def test_of_bounds_the_tightest_counts(limits):
    proven = [Proven(f"at most {limit}", Proof(bounds=[at_most("max_num_seqs", limit)])) for limit in limits]
    assert together(*proven).proof == Proof(bounds=[at_most("max_num_seqs", min(limits))])


def test_what_has_no_figures_has_no_proof():
    crash = verdict(failed_start("ValueError: Unknown quantization method: x"))
    assert (crash.class_, crash.proof) == (CrashClass.UNSUPPORTED_QUANTIZATION, None)
