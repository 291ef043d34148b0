"""Failures that memory and time cannot produce, asked for with `--fault KIND[@PHASE|SECONDS]`.

A start-up kind strikes in a phase, a serving kind after so many seconds of serving under load (0: with the first
request). See KINDS for each kind's default.
"""

from __future__ import annotations

from dataclasses import dataclass

PHASES = ("init", "load", "profile", "graphs")


@dataclass(frozen=True)
class Kind:
    """One injectable failure."""

    summary: str
    phase: str | None = None  # default phase of a start-up kind
    after_seconds: float | None = None  # default of a serving kind
    both: bool = False  # can strike in either


@dataclass(frozen=True)
class Fault:
    """One requested failure: either `phase` or `after_seconds` is set."""

    kind: str
    phase: str | None = None
    after_seconds: float | None = None


KINDS: dict[str, Kind] = {
    "gpu-memory-taken": Kind("a neighbour holds half of the GPU: 'Free memory on device', exit 1", phase="init"),
    "nccl": Kind("NCCL error, exit 1; under load: watchdog time-out, engine dies", phase="init", both=True),
    "illegal-memory-access": Kind("CUDA error; exit 1 at start, engine death (exit 0) when serving", None, 0.0, True),
    "cuda-oom": Kind("torch.OutOfMemoryError in a phase or, with seconds, under load", phase="load", both=True),
    "model-download": Kind("huggingface.co cannot be reached, exit 1", phase="init"),
    "model-missing": Kind("offline and not in the cache: LocalEntryNotFoundError, exit 1", phase="init"),
    "shm-too-small": Kind("Insufficient space in /dev/shm, exit 1", phase="init"),
    "engine-killed": Kind(
        "the engine process gets SIGKILL: 'Failed core proc(s): {}', exit 1; serving: exit 0", "load", None, True
    ),
    "engine-timeout": Kind("'Timed out waiting for engine core processes to start', exit 1", phase="graphs"),
    "slow-start": Kind("loading takes ten times as long, or SECONDS more (nominal)", phase="load", both=True),
    "stuck-start": Kind("never gets ready, never exits", phase="load"),
    "hang": Kind("the engine stops stepping; /health stays 200", after_seconds=0.0),
    "rpc-timeout": Kind("a step hangs, then 'RPC call to sample_tokens timed out', engine dies, exit 0", None, 0.0),
    "engine-dies": Kind("the engine dies under load without saying why, exit 0", after_seconds=0.0),
}

FAULT_HELP = (
    "fault kinds (start-up phases: "
    + ", ".join(PHASES)
    + "; seconds are counted from the first request):\n"
    + "\n".join(f"  {name:<22} {kind.summary}" for name, kind in KINDS.items())
)


def parse_fault(text: str) -> Fault:
    """`KIND`, `KIND@PHASE` or `KIND@SECONDS`; ValueError says what is wrong."""
    name, _, place = text.partition("@")
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"unknown fault {name!r}: one of {', '.join(KINDS)}")
    if not place:
        return Fault(name, kind.phase, kind.after_seconds if kind.phase is None else None)
    if place in PHASES:
        if kind.phase is None and not kind.both:
            raise ValueError(f"{name} strikes while serving: give seconds, not a phase")
        return Fault(name, phase=place)
    return Fault(name, after_seconds=_seconds(name, place, kind))


def _seconds(name: str, place: str, kind: Kind) -> float:
    try:
        seconds = float(place.removesuffix("s"))
    except ValueError:
        raise ValueError(f"{name}@{place}: neither a phase ({', '.join(PHASES)}) nor seconds") from None
    if kind.after_seconds is None and not kind.both:
        raise ValueError(f"{name} strikes during start-up: give a phase ({', '.join(PHASES)})")
    if not 0 <= seconds < float("inf"):
        raise ValueError(f"{name}@{place}: seconds must be finite and not negative")
    return seconds
