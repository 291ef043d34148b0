"""What this machine's studies run on."""

import time

from sloguard.domain.ledger import Setup
from sloguard.local import setup
from sloguard.local.setup import setup_of
from tests.unit.local.nvml_library import GIB, Card, Library, beneath_pynvml

COMMAND = ["vllm", "serve", "meta/llama", "--max-num-seqs", "8"]
L4, A100 = Card("GPU-a"), Card("GPU-b", total=40 * GIB, name="NVIDIA A100")


def test_model_and_gpu_are_told():
    with beneath_pynvml(Library(L4, A100)):
        found = setup_of(COMMAND, {"CUDA_VISIBLE_DEVICES": "GPU-b"})
    assert found == Setup(model="meta/llama", gpu_name="NVIDIA A100", gpu_memory_bytes=40 * GIB - GIB // 2)


def test_of_several_gpus_the_smallest_decides():
    with beneath_pynvml(Library(A100, L4)):
        environment = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        assert setup_of([*COMMAND, "--tensor-parallel-size=2"], environment).gpu_name == "NVIDIA L4"


def test_a_simulator_beside_a_gpu_does_not_use_it():
    with beneath_pynvml(Library(L4)):
        assert setup_of(["sloguard", "simulate", "--profile=7b-h100"], {}) == Setup(model="profile=7b-h100")


def test_without_library_driver_or_answer_the_gpu_stays_unknown(monkeypatch):
    unknown = Setup(model="meta/llama")
    assert setup_of(COMMAND, {}, nvml=lambda: None) == unknown
    for library in (Library(L4, driver=False), Library(), Library(Card("GPU-a", lost=True))):
        with beneath_pynvml(library):
            assert setup_of(COMMAND, {}) == unknown
    monkeypatch.setattr(setup, "PATIENCE_SECONDS", 0.01)
    assert setup_of(COMMAND, {}, nvml=lambda: time.sleep(1)) == unknown
