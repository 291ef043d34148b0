"""When each window of a load begins, where several generators share it. Pure.

Generators do not talk to each other: they are given one moment at which the load starts and all follow the same table
from there, so their clocks must agree (pods' nodes keep time by NTP; milliseconds do not matter). Every window takes
its full drain limit and a pause, in which the server's counters are read. A generator that is late, because its image
had to be pulled or because its machine is too busy, makes the whole load invalid rather than the figures wrong: each
part ends with a result, and the operator starts the trial again.

A single generator needs no table: it goes on as soon as nothing is open any more.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import Workload

PAUSE = timedelta(seconds=10)
"""Between two windows: two scrapes of the server and the sums over the records, with much to spare."""

LATE = timedelta(milliseconds=500)
"""A window that begins later than this after its time is not part of the same load."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One window; by `ends_at` nothing of it is open any more."""

    starts_at: datetime
    ends_at: datetime


def timetable(workload: Workload, starts_at: datetime) -> Iterator[Slot]:
    """The warm-up, if there is one, and each rate, in their order."""
    warm_up = [workload.warmup_seconds] if workload.warmup_seconds else []
    for seconds in warm_up + [workload.duration_seconds] * len(workload.sweep_percent):
        slot = Slot(starts_at, starts_at + timedelta(seconds=seconds + workload.drain_seconds))
        yield slot
        starts_at = slot.ends_at + PAUSE


def whole_seconds(workload: Workload) -> int:
    """How long a load takes at the most, with every window drained to its limit."""
    windows = len(workload.sweep_percent) + 1
    pauses = windows * int(PAUSE.total_seconds()) if workload.generators > 1 else 0
    return measuring_seconds(workload) + windows * workload.drain_seconds + pauses


def measuring_seconds(workload: Workload) -> int:
    """How long requests become due: the warm-up and each rate, unless the sweep is ended early."""
    return workload.duration_seconds * len(workload.sweep_percent) + workload.warmup_seconds


def too_late(slot: Slot, now: datetime) -> str | None:
    """Why a window cannot begin any more, or None where it can."""
    late = now - slot.starts_at
    if late <= LATE:
        return None
    return (
        f"was {late.total_seconds():.1f} s late for a window that all generators begin together; give it more CPU, "
        "or use one generator"
    )
