"""A stand-in for NVIDIA's libnvidia-ml.so.1 beneath the real pynvml: there is no GPU where these tests run.

It is called through ctypes as the library is, with the same structures, and answers with NVML's own numbers.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pynvml
import pytest

GIB = 1 << 30

NAMES = {
    "nvmlInitWithFlags": "_init",
    "nvmlShutdown": "_shutdown",
    "nvmlDeviceGetCount_v2": "_count",
    "nvmlDeviceGetHandleByIndex_v2": "_handle",
    "nvmlDeviceGetUUID": "_uuid",
    "nvmlDeviceGetName": "_name",
    "nvmlDeviceGetMigMode": "_mig_mode",
    "nvmlDeviceGetMaxMigDeviceCount": "_most_parts",
    "nvmlDeviceGetMigDeviceHandleByIndex": "_part",
    "nvmlDeviceGetMemoryInfo_v2": "_memory_2",
    "nvmlDeviceGetMemoryInfo": "_memory",
}


@dataclass
class Card:
    """One GPU. `frees` is what it has free at each look, the last for ever; `parts` makes it cut into these."""

    uuid: str
    frees: list[int] = field(default_factory=lambda: [4 * GIB])
    total: int = 24 * GIB
    reserved: int = GIB // 2
    name: str = "NVIDIA L4"
    parts: "dict[int, Card]" = field(default_factory=dict)
    lost: bool = False

    def look(self) -> int:
        return self.frees.pop(0) if len(self.frees) > 1 else self.frees[0]


class Library:
    """What pynvml finds behind each name of NVML's."""

    def __init__(self, *cards: Card, driver: bool = True, version_2: bool = True) -> None:
        self.cards, self.driver, self.version_2 = list(cards), driver, version_2
        self.looks = self.open = 0

    def __getattr__(self, name: str) -> Any:
        if name not in NAMES or (name == "nvmlDeviceGetMemoryInfo_v2" and not self.version_2):
            raise AttributeError(name)
        return getattr(self, NAMES[name])

    def _init(self, _flags):
        self.open += self.driver
        return 0 if self.driver else pynvml.NVML_ERROR_DRIVER_NOT_LOADED

    def _shutdown(self):
        self.open -= 1
        return 0

    def _count(self, count):
        count._obj.value = len(self.cards)
        return 0

    def _handle(self, index, device):
        return _give(device, (index.value + 1) * 100)

    def _uuid(self, device, text, _size):
        text.value = self._card(device).uuid.encode()
        return 0

    def _name(self, device, text, _size):
        text.value = self._card(device).name.encode()
        return 0

    def _mig_mode(self, device, current, pending):
        if self._card(device).name == "NVIDIA L4":
            return pynvml.NVML_ERROR_NOT_SUPPORTED
        current._obj.value = pending._obj.value = bool(self._card(device).parts)
        return 0

    def _most_parts(self, _device, count):
        count._obj.value = 7
        return 0

    def _part(self, device, index, part):
        if index.value not in self._card(device).parts:
            return pynvml.NVML_ERROR_NOT_FOUND
        return _give(part, _number(device) + 1 + index.value)

    def _memory_2(self, device, memory):
        if memory._obj.version != pynvml.nvmlMemory_v2:
            return pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH
        memory._obj.reserved = self._card(device).reserved
        return self._told(device, memory._obj, used_besides=0)

    def _memory(self, device, memory):
        return self._told(device, memory._obj, used_besides=self._card(device).reserved)

    def _told(self, device, memory, used_besides):
        card = self._card(device)
        self.looks += 1
        if card.lost:
            return pynvml.NVML_ERROR_GPU_IS_LOST
        memory.total, memory.free = card.total, card.look()
        memory.used = card.total - card.reserved - memory.free + used_besides
        return 0

    def _card(self, device) -> Card:
        card, part = divmod(_number(device), 100)
        whole = self.cards[card - 1]
        return whole.parts[part - 1] if part else whole


def _give(device, number) -> int:
    ctypes.memmove(device, ctypes.byref(ctypes.c_void_p(number)), ctypes.sizeof(ctypes.c_void_p))
    return 0


def _number(device) -> int:
    return ctypes.cast(device, ctypes.c_void_p).value


@contextmanager
def beneath_pynvml(library: Library) -> Iterator[Library]:
    """As if that library were the machine's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pynvml, "nvmlLib", library)
        patch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        yield library
