"""What befalls each server, load and node: drawn from the schedule's seed, most of it from the configuration."""

from dataclasses import dataclass
from random import Random

from sloguard.api.v1alpha1 import LoadResult, Metric, RateMeasurement, ServerFault, ServerFaultKind, SLOResult
from sloguard.measure.encode import encode

OUT_OF_MEMORY = (
    "INFO 03-02 12:00:01 [core.py:76] Initializing a V1 LLM engine\n"
    "ERROR 03-02 12:00:09 [core.py:700] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 150.00 MiB. "
    "GPU 0 has a total capacity of 139.80 GiB of which 38.15 MiB is free.\n"
)
GARBAGE = "starting\n\x1b[31mthe engine said something that nobody has read before\x1b[0m\n"


@dataclass(frozen=True, slots=True)
class Fate:
    """What one pod of a server meets. `start`: how its start ends, `load`: how its load does."""

    goodput: float
    met: bool
    sent: int
    starts_after: float
    loads_for: float
    start: str = "ready"
    load: str = "result"
    outlives_a_soak: bool = True


CONFIGURATION = (("crash", 0.1), ("garbage", 0.06), ("never ready", 0.03), ("exit 0 under load", 0.05), ("dies", 0.03))
LUCK = (
    ("image", 0.05),
    ("evicted", 0.03),
    ("node lost", 0.03),
    ("unschedulable", 0.03),
    ("no result", 0.03),
    ("invalid", 0.02),
    ("stuck", 0.01),
    ("hang", 0.02),
)


def fate_of(seed: int, arguments: list[str], luck: Random, *, calm: bool) -> Fate:
    """Goodput and crashes follow from the arguments, so that repeats agree; the rest is this start's own luck."""
    own = Random(f"{seed} {arguments}")
    goodput, met, sent = own.uniform(0, 200), own.random() < 0.7, 100 if own.random() < 0.2 else 200
    start, load = "ready", "result"
    match _drawn(own, CONFIGURATION):
        case "crash" | "garbage" | "never ready" as fault:
            start = fault
        case "exit 0 under load" | "dies" as fault:
            load = fault
    match None if calm else _drawn(luck, LUCK):
        case "image" | "evicted" | "node lost" | "unschedulable" as fault:
            start = fault
        case "no result" | "invalid" | "stuck" | "hang" as fault:
            load = fault
    outlives_a_soak = own.random() < 0.7
    starts_after = 2.0 if calm else luck.choice([2.0, 8.0, 20.0, luck.uniform(1, 60)])
    loads_for = 4.0 if calm else luck.uniform(5, 30)
    goodput *= luck.uniform(0.9, 1.1)
    return Fate(goodput, met, sent, starts_after, loads_for, start, load, outlives_a_soak)


def _drawn(random: Random, chances) -> str | None:
    luck = random.random()
    for name, chance in chances:
        luck -= chance
        if luck < 0:
            return name
    return None


def result(fate: Fate, begun, now, *, fault=None, invalid=None) -> str:
    """The termination message of a load."""
    rates = []
    if fault is None and invalid is None:
        slo = SLOResult(
            metric=Metric.TTFT,
            percentile=99,
            limit_milliseconds=500,
            measured_microseconds=100_000 if fate.met else 900_000,
            met=fate.met,
        )
        good = 100 if fate.met else 50
        rate = RateMeasurement(
            rate_percent=100,
            requests_per_minute=600,
            duration_milliseconds=10_000,
            sent=fate.sent,
            completed=100,
            good=good,
            prompt_tokens=1,
            output_tokens=1,
            good_tokens=round(fate.goodput * 10),
            slos=[slo],
        )
        rates = [rate]
    seen = fault and ServerFault(kind=ServerFaultKind.SERVER_GONE, at=now, detail="connection refused")
    return encode(LoadResult(started_at=begun, finished_at=now, rates=rates, fault=seen, invalid=invalid))
