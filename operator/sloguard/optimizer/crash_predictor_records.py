"""What crash prediction learns from: which configuration, on which GPU and model, crashed or lived."""

from collections.abc import Iterable
from dataclasses import dataclass

from sloguard.api.v1alpha1 import Outcome
from sloguard.domain.ledger import Ledger, Setup
from sloguard.domain.result import Result, Values
from sloguard.domain.rules import GIB, effective

from .base import TEACHING
from .space import Space


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A GPU and a model, as far as they decide what fits; None where unknown.

    `compute_capability` is 9.0 for Hopper. `kv_heads` are the heads whose keys and values are kept; a head's size is
    hidden_size / heads.
    """

    gpu_memory_gib: float | None = None
    bandwidth_gib_per_second: float | None = None
    compute_capability: float | None = None
    parameters_billions: float | None = None
    layers: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    hidden_size: int | None = None

    @classmethod
    def of(cls, setup: Setup) -> "Platform":
        """The figures of a ledger's setup."""
        return cls(
            gpu_memory_gib=_per(setup.gpu_memory_bytes, GIB),
            bandwidth_gib_per_second=_per(setup.gpu_bandwidth_bytes_per_second, GIB),
            compute_capability=_per(setup.compute_capability_tenths, 10),
            parameters_billions=_per(setup.parameters, 10**9),
            layers=setup.layers,
            heads=setup.attention_heads,
            kv_heads=setup.kv_heads,
            hidden_size=setup.hidden_size,
        )


def _per(figure: int | None, unit: int) -> float | None:
    return None if figure is None else figure / unit


@dataclass(frozen=True, slots=True)
class CrashRecord:
    """One configuration that was started somewhere; `parameters` are all its settings in effect that are known."""

    parameters: Values
    platform: Platform
    crashed: bool


def platform_of(space: Space, ledger: Ledger) -> Platform:
    """The study's own: as the ledger says, else what the space's context knows."""
    own = Platform.of(ledger.setup)
    memory = space.context.vram_bytes
    return own if own != Platform() or memory is None else Platform(gpu_memory_gib=memory / GIB)


def earlier_records(ledger: Ledger) -> tuple[CrashRecord, ...]:
    """Of the studies before."""
    return tuple(CrashRecord(r.values, Platform.of(r.setup), r.crashed) for r in ledger.records)


def records_of(space: Space, history: Iterable[Result], platform: Platform) -> tuple[CrashRecord, ...]:
    """A study's own trials as records, by number; infrastructure's faults and cancelled trials say nothing."""
    taught = sorted((result for result in history if result.outcome in TEACHING), key=lambda result: result.number)
    return tuple(
        CrashRecord(effective(result.parameters, space.context), platform, result.outcome is Outcome.CRASHED)
        for result in taught
    )
