"""The optimizers by name, each loaded only when it is asked for: Optuna's import costs a start 0.1 s and 30 MB."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import cast

from sloguard.api.v1alpha1 import OptimizerName

from .base import Optimizer
from .space import Space

BEST = OptimizerName.TPE
"""What `auto` stands for at present."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of `sloguard list-optimizers`; `factory` is the module and the class in it."""

    name: OptimizerName
    purpose: str
    needs: str
    factory: tuple[str, str]


_TPE = ("tpe", "TPE")

OPTIMIZERS: Mapping[OptimizerName, Entry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry(OptimizerName.AUTO, f"what is best at present: {BEST}", "as that one", _TPE),
            Entry(
                OptimizerName.RANDOM,
                "an even spread that assumes nothing: a reference, and for spaces smaller than the budget",
                "nothing",
                ("quasi_random", "QuasiRandom"),
            ),
            Entry(
                OptimizerName.TPE,
                "learns which values good configurations share and keeps away from crashes and broken SLOs",
                "about 10 trials before it knows more than random; package optuna",
                _TPE,
            ),
        )
    }
)


def make_optimizer(name: OptimizerName, space: Space, seed: int) -> Optimizer:
    """The optimizer of that name for a space; with the same seed and history it suggests the same."""
    module, attribute = OPTIMIZERS[name].factory
    make = cast("Callable[[Space, int], Optimizer]", getattr(import_module(f"{__package__}.{module}"), attribute))
    return make(space, seed)
