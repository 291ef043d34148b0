"""What a server's GPUs had left while it was under load, and whether that can be true."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sloguard.api.v1alpha1 import Margins

_LEAST_SHARE_HELD: Final = 0.75
"""Of the weights and KV cache that the log tells of. Less in use means that the figures are of another GPU."""


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """One GPU's memory at its tightest moment; what its driver keeps for itself is in neither figure."""

    free_bytes: int
    used_bytes: int


def tightest(seen: Iterable[DeviceMemory]) -> DeviceMemory | None:
    """The reading with the least free memory; None of none."""
    return min(seen, key=lambda one: (one.free_bytes, one.used_bytes), default=None)


def with_device_memory(margins: Margins | None, seen: DeviceMemory | None) -> Margins | None:
    """The margins with what was seen, where it bears out what the server said in its log that it holds.

    A simulator holds no GPU memory, and a GPU may be told from others by its number alone: a figure that is not the
    server's would teach the search nonsense.
    """
    if margins is None or seen is None:
        return margins
    told = (margins.model_weights_bytes or 0) + max(margins.available_kv_cache_bytes or 0, 0)
    if told == 0 or seen.used_bytes < _LEAST_SHARE_HELD * told:
        return margins
    found = {
        "least_free_device_memory_bytes": seen.free_bytes,
        "device_memory_bytes": seen.free_bytes + seen.used_bytes,
    }
    return margins.model_copy(update=found)
