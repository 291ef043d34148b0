"""Which GPUs a server uses, what they have free, and that a machine that does not say spoils nothing."""

import os
import subprocess
import sys
import time

import pynvml
import pytest

from sloguard.domain.device_memory import DeviceMemory
from sloguard.local import memory_watch
from sloguard.local.memory_watch import MemoryWatch
from sloguard.local.nvml import devices_of, environment_of, library, read
from sloguard.local.tune import tune
from tests.unit.local.conftest import as_study, short_study
from tests.unit.local.nvml_library import GIB, Card, Library, beneath_pynvml

A, B, C = "GPU-aaaa1111-0000", "GPU-aaaa2222-0000", "GPU-bbbb3333-0000"


def cards():
    return [Card(A, [1 * GIB]), Card(B, [2 * GIB]), Card(C, [3 * GIB])]


def free_gib(given, environment, count=1):
    """Of what a server with that environment uses; None for no reading."""
    with beneath_pynvml(given):
        nvml = library()
        devices = devices_of(nvml, environment, count)
        told = read(nvml, devices)
    return told and told.free_bytes / GIB


@pytest.mark.parametrize(
    ("visible", "count", "free"),
    [
        (None, 1, 1),
        (None, 3, 1),
        ("2,1", 1, 3),
        ("2,1", 2, 2),
        (" 1 ,2", 2, 2),
        (B, 1, 2),
        ("GPU-bbbb", 1, 3),
        ("GPU-aaaa", 1, None),  # two begin so
        ("GPU-cccc", 1, None),
        ("1,7,2", 1, 2),
        ("1,7,2", 2, None),
        ("1,2", 3, None),
        ("-1", 1, None),
        ("", 1, None),
        ("NoDevFiles", 1, None),
    ],
)
def test_the_first_gpus_that_cuda_shows_are_the_servers(visible, count, free):
    environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert free_gib(Library(*cards()), environment, count) == free


def test_numbers_of_unlike_cards_mean_nothing_unless_counted_by_bus():
    fast = [Card(A, [1 * GIB]), Card(B, [2 * GIB], name="NVIDIA H100")]
    assert free_gib(Library(*fast), {}) is None
    assert free_gib(Library(*fast), {"CUDA_VISIBLE_DEVICES": "1"}) is None
    assert free_gib(Library(*fast), {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}) == 2
    assert free_gib(Library(*fast), {"CUDA_VISIBLE_DEVICES": B}) == 2
    assert free_gib(Library(*fast), {}, count=2) == 1, "all of them, in whatever order"


def test_of_a_card_that_is_cut_the_named_part_or_the_first_counts():
    parts = {2: Card("MIG-1111", [1 * GIB], total=10 * GIB), 5: Card("MIG-2222", [2 * GIB], total=10 * GIB)}
    given = Library(Card(A, [50 * GIB], name="NVIDIA A100", parts=parts), Card(B, [40 * GIB], name="NVIDIA A100"))
    assert free_gib(given, {}) == 1
    assert free_gib(given, {"CUDA_VISIBLE_DEVICES": A}) == 1
    assert free_gib(given, {"CUDA_VISIBLE_DEVICES": "MIG-2222"}) == 2
    assert free_gib(given, {"CUDA_VISIBLE_DEVICES": "MIG-3333"}) is None
    assert free_gib(given, {"CUDA_VISIBLE_DEVICES": "1"}) == 40


@pytest.mark.parametrize(("version_2", "reserved_bytes"), [(True, 0), (False, GIB // 2)])
def test_used_is_what_is_not_free_and_an_old_driver_counts_its_own_share(version_2, reserved_bytes):
    with beneath_pynvml(Library(Card(A), version_2=version_2)):
        nvml = library()
        told = read(nvml, devices_of(nvml, {}, 1))
    assert told == DeviceMemory(4 * GIB, 24 * GIB - GIB // 2 - 4 * GIB + reserved_bytes)


def test_where_one_of_the_gpus_does_not_say_there_is_no_reading():
    assert free_gib(Library(Card(A, [GIB]), Card(B, lost=True)), {}, count=2) is None
    assert free_gib(Library(Card(A, [GIB]), Card(B, lost=True)), {}, count=1) == 1


def test_the_environment_is_the_one_that_the_process_was_started_with():
    command = ["env", "CUDA_VISIBLE_DEVICES=3", sys.executable, "-c", "input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | {"SOME": "a=b"}) as process:
        try:
            deadline = time.monotonic() + 30
            while environment_of(process.pid, {}).get("CUDA_VISIBLE_DEVICES") != "3":
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert environment_of(process.pid, {})["SOME"] == "a=b"
        finally:
            process.communicate(b"\n")
    assert environment_of(process.pid, {"x": "y"}) == {"x": "y"}, "it is gone"


def watched(given, looks, **more):
    """The least of that many looks."""
    with beneath_pynvml(given):
        watch = MemoryWatch({}, 1, **more)
        deadline = time.monotonic() + 30
        while given.looks < looks:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        watch.end()
        while given.open:
            assert time.monotonic() < deadline, "NVML is let go of"
            time.sleep(0.001)
        return watch.least


def test_the_least_of_all_looks_is_kept(monkeypatch):
    monkeypatch.setattr(memory_watch, "PERIOD_SECONDS", 0.001)
    card = Card(A, [9 * GIB, 2 * GIB, 3 * GIB, 20 * GIB])
    assert watched(Library(card), looks=5).free_bytes == 2 * GIB


def test_without_library_or_driver_there_is_no_reading():
    def ended(watch):
        watch.end()
        watch._thread.join(30)
        return not watch._thread.is_alive() and watch.least is None

    assert ended(MemoryWatch({}, 1, nvml=lambda: None))
    with beneath_pynvml(Library(Card(A), driver=False)):
        assert ended(MemoryWatch({}, 1))
    with beneath_pynvml(Library()):
        assert ended(MemoryWatch({}, 1))
    if pynvml.nvmlLib is None:  # this machine's own, wherever the test runs
        watch = MemoryWatch({"CUDA_VISIBLE_DEVICES": ""}, 1)
        assert ended(watch)


def tuned(path, given):
    """A study's trials that were measured; the simulator claims 0.8 GiB of weights and KV cache."""
    with beneath_pynvml(given):
        ending = tune(as_study(short_study(budget={"trials": 3, "gpuMinutes": 5, "wallClockMinutes": 5})), path, told)
    return [trial for trial in ending.run.trials.values() if trial.status.measurements]


def told(*_):
    """Nobody watches."""


def test_a_trials_margins_hold_what_was_free_under_load(tmp_path):
    (trial, *_) = tuned(tmp_path, Library(Card(A, [int(0.75 * GIB)], total=80 * GIB)))
    assert trial.status.margins.least_free_device_memory_bytes == int(0.75 * GIB)
    assert trial.status.margins.device_memory_bytes == 80 * GIB - GIB // 2
    assert trial.status.margins.available_kv_cache_bytes > 0


def test_a_simulator_beside_an_idle_gpu_has_no_such_figure(tmp_path):
    (trial, *_) = tuned(tmp_path, Library(Card(A, [23 * GIB])))
    assert trial.status.margins.least_free_device_memory_bytes is None
    assert trial.status.margins.available_kv_cache_bytes > 0
