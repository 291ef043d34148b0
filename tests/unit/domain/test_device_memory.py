"""What a server's GPUs had left: the tightest counts, and only where it bears out the server's log."""

import pytest

from sloguard.api.v1alpha1 import Margins
from sloguard.domain.device_memory import DeviceMemory, tightest, with_device_memory

GIB = 1 << 30
LOGGED = Margins(available_kv_cache_bytes=6 * GIB, model_weights_bytes=14 * GIB, kv_cache_tokens=100_000)


def test_the_tightest_of_several_gpus_counts():
    assert tightest([DeviceMemory(3, 9), DeviceMemory(1, 4), DeviceMemory(2, 9)]) == DeviceMemory(1, 4)
    assert tightest([]) is None


def test_what_was_seen_joins_what_the_log_said():
    told = with_device_memory(LOGGED, DeviceMemory(GIB, 22 * GIB))
    assert told == LOGGED.model_copy(update={"least_free_device_memory_bytes": GIB, "device_memory_bytes": 23 * GIB})


@pytest.mark.parametrize(
    ("margins", "seen"),
    [
        (None, DeviceMemory(GIB, 22 * GIB)),
        (LOGGED, None),
        (Margins(kv_cache_tokens=1000), DeviceMemory(GIB, 22 * GIB)),
        (LOGGED, DeviceMemory(22 * GIB, 1 * GIB)),
        (LOGGED, DeviceMemory(14 * GIB, 9 * GIB)),
    ],
)
def test_a_gpu_that_does_not_hold_what_the_server_claims_is_not_its_gpu(margins, seen):
    assert with_device_memory(margins, seen) == margins
