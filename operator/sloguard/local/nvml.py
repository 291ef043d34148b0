"""The NVIDIA GPUs of this machine that a server uses, and what they have free, as the driver tells (NVML).

Through the package nvidia-ml-py (extra `[gpu]`), which is imported here alone, and only where a load begins. Without
it, without a driver, or where a driver does not say, there is no reading, and never an error.
"""

import contextlib
import importlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, cast

from sloguard.domain.device_memory import DeviceMemory, tightest

Handle = object
"""Of a GPU, or of a part of one (MIG), as NVML gives it."""


class _Memory(Protocol):
    total: int
    reserved: int
    free: int
    used: int


class Nvml(Protocol):
    """What is used of the module `pynvml`."""

    NVMLError: type[Exception]
    nvmlMemory_v2: int  # noqa: N815 - NVML's name, as all below
    NVML_DEVICE_MIG_ENABLE: int

    def nvmlInit(self) -> None: ...  # noqa: N802
    def nvmlShutdown(self) -> None: ...  # noqa: N802
    def nvmlDeviceGetCount(self) -> int: ...  # noqa: N802
    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> Handle: ...  # noqa: N802
    def nvmlDeviceGetName(self, handle: Handle, /) -> str: ...  # noqa: N802
    def nvmlDeviceGetUUID(self, handle: Handle, /) -> str: ...  # noqa: N802
    def nvmlDeviceGetMigMode(self, handle: Handle, /) -> Sequence[int]: ...  # noqa: N802
    def nvmlDeviceGetMaxMigDeviceCount(self, handle: Handle, /) -> int: ...  # noqa: N802
    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: Handle, index: int, /) -> Handle: ...  # noqa: N802
    def nvmlDeviceGetMemoryInfo(self, handle: Handle, version: int | None = None) -> _Memory: ...  # noqa: N802


def library() -> Nvml | None:
    """None where nvidia-ml-py is not installed, or is so old that it lacks what is used."""
    try:
        module = importlib.import_module("pynvml")
    except ImportError:
        return None
    return cast("Nvml", module) if hasattr(module, "nvmlMemory_v2") else None


@contextlib.contextmanager
def driver(nvml: Nvml) -> Generator[None]:
    """The driver can be asked until the end of the block.

    Raises:
        NVMLError: there is none, or it said no within the block.

    """
    nvml.nvmlInit()
    try:
        yield
    finally:
        with contextlib.suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def environment_of(process: int, otherwise: Mapping[str, str]) -> Mapping[str, str]:
    """What a process was started with, where the machine tells: `env NAME=VALUE vllm ...` has changed it."""
    try:
        entries = Path(f"/proc/{process}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return otherwise
    return dict(entry.split("=", 1) for entry in entries if "=" in entry) or otherwise


def devices_of(nvml: Nvml, environment: Mapping[str, str], count: int) -> list[Handle]:
    """The first `count` GPUs that CUDA shows to a process with this environment; none where that is not certain.

    Raises:
        NVMLError: the driver does not say.

    """
    cards = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
    said = environment.get("CUDA_VISIBLE_DEVICES")
    names = [str(index) for index in range(len(cards))] if said is None else [name.strip() for name in said.split(",")]
    found: list[Handle] = []
    for name in names[:count]:
        device = _named(nvml, cards, name)
        if device is None:  # CUDA, too, shows what stands before it and nothing after
            break
        found.append(device)
    counted = any(name.isdecimal() for name in names[:count]) and len(found) < len(cards)
    if counted and environment.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID" and not _alike(nvml, cards):
        return []  # CUDA counts the fastest first, NVML by bus
    return found if len(found) == count else []


class Card(NamedTuple):
    """A GPU's name, and all of its memory that programs can have."""

    name: str
    bytes: int


def card_of(library: Callable[[], Nvml | None], environment: Mapping[str, str], count: int) -> Card | None:
    """The smallest of the first `count` GPUs that CUDA shows; None where the driver does not say for certain."""
    nvml = library()
    if nvml is None:
        return None
    with contextlib.suppress(nvml.NVMLError), driver(nvml):
        cards = [_card(nvml, device) for device in devices_of(nvml, environment, count)]
        return min(cards, key=lambda card: card.bytes, default=None)
    return None


def _card(nvml: Nvml, device: Handle) -> Card:
    memory = _memory(nvml, device)
    return Card(nvml.nvmlDeviceGetName(device), memory.free_bytes + memory.used_bytes)


def read(nvml: Nvml, devices: Sequence[Handle]) -> DeviceMemory | None:
    """Of the tightest; None where one does not say, since that one may be it."""
    try:
        return tightest([_memory(nvml, device) for device in devices])
    except nvml.NVMLError:
        return None


def _memory(nvml: Nvml, device: Handle) -> DeviceMemory:
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(device, version=nvml.nvmlMemory_v2)
        return DeviceMemory(memory.free, max(memory.total - memory.reserved - memory.free, 0))
    except nvml.NVMLError:
        # A driver before 510; it counts its own share as used.
        memory = nvml.nvmlDeviceGetMemoryInfo(device)
        return DeviceMemory(memory.free, memory.used)


def _named(nvml: Nvml, cards: Sequence[Handle], name: str) -> Handle | None:
    """By number, or by a UUID or its beginning. Of a card that is cut into parts CUDA shows the first one."""
    if name.isdecimal():
        return _whole_or_first_part(nvml, cards[int(name)]) if int(name) < len(cards) else None
    if name.startswith("MIG-"):
        among: Sequence[Handle] = [part for card in cards for part in _parts(nvml, card)]
        return _only(nvml, among, name)
    card = _only(nvml, cards, name) if name.startswith("GPU-") else None
    return None if card is None else _whole_or_first_part(nvml, card)


def _only(nvml: Nvml, among: Sequence[Handle], uuid: str) -> Handle | None:
    matching = [device for device in among if nvml.nvmlDeviceGetUUID(device).startswith(uuid)]
    return matching[0] if len(matching) == 1 else None


def _whole_or_first_part(nvml: Nvml, card: Handle) -> Handle | None:
    return next(_parts(nvml, card), None) if _is_cut(nvml, card) else card


def _is_cut(nvml: Nvml, card: Handle) -> bool:
    try:
        return nvml.nvmlDeviceGetMigMode(card)[0] == nvml.NVML_DEVICE_MIG_ENABLE
    except nvml.NVMLError:  # most cards do not know MIG
        return False


def _parts(nvml: Nvml, card: Handle) -> Iterator[Handle]:
    if _is_cut(nvml, card):
        for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(card)):
            with contextlib.suppress(nvml.NVMLError):  # numbers have gaps
                yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, index)


def _alike(nvml: Nvml, cards: Sequence[Handle]) -> bool:
    return len({nvml.nvmlDeviceGetName(card) for card in cards}) <= 1
