"""Watches in the background how much memory a server's GPUs have left while the load runs."""

import contextlib
import threading
from collections.abc import Callable, Mapping

from sloguard.domain.device_memory import DeviceMemory, tightest
from sloguard.local.nvml import Nvml, devices_of, driver, library, read

PERIOD_SECONDS = 0.5
"""vLLM takes its memory at the start, and PyTorch keeps what it took under load: little is missed in between."""


class MemoryWatch:
    """Begins at once. A thread of its own, that ends with the program: a driver may take its time, or hang.

    `count` GPUs, the first ones that the environment shows to the server.
    """

    def __init__(self, environment: Mapping[str, str], count: int, nvml: Callable[[], Nvml | None] = library) -> None:
        self.least: DeviceMemory | None = None
        self._environment, self._count, self._library = environment, count, nvml
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="GPU memory", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """The thread ends within a period; nobody waits for it."""
        self._ended.set()

    def _watch(self) -> None:
        nvml = self._library()
        if nvml is None:
            return
        with contextlib.suppress(nvml.NVMLError), driver(nvml):
            devices = devices_of(nvml, self._environment, self._count)
            while devices and not self._ended.is_set():
                seen = read(nvml, devices)
                self.least = tightest(one for one in (self.least, seen) if one is not None)
                self._ended.wait(PERIOD_SECONDS)
