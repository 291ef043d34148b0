"""The optimizers by name, each loaded only when it is asked for: Optuna's import costs a start 0.1 s and 30 MB."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import cast

from sloguard.api.v1alpha1 import OptimizerName
from sloguard.domain.ledger import EMPTY, Ledger

from .base import Optimizer
from .space import Space

BEST = OptimizerName.MARGIN_BO
"""What `auto` stands for at present."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of `sloguard list-optimizers`; `factory` is the module and the class in it.

    `learns_from_ledger`: what crashed in earlier studies is given to it.
    """

    name: OptimizerName
    purpose: str
    needs: str
    factory: tuple[str, str]
    learns_from_ledger: bool = False


_MARGIN_BO = ("margin_bo", "MarginBO")

OPTIMIZERS: Mapping[OptimizerName, Entry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            Entry(
                OptimizerName.AUTO,
                f"what is best at present: {BEST}",
                "as that one",
                _MARGIN_BO,
                learns_from_ledger=True,
            ),
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
                ("tpe", "TPE"),
            ),
            Entry(
                OptimizerName.TBA,
                "crash-aware annealing: steps away from what is known to work, leaving alone what keeps crashing",
                "about 10 trials before it is more than annealing; package scikit-learn",
                ("tba", "TBA"),
                learns_from_ledger=True,
            ),
            Entry(
                OptimizerName.TBA_TPE,
                "annealing that maps where servers live, then TPE with all that it found",
                "about 12 trials before TPE takes over; packages scikit-learn and optuna",
                ("tba_tpe", "TBATPE"),
                learns_from_ledger=True,
            ),
            Entry(
                OptimizerName.CONSTRAINED_BO,
                "Gaussian processes for the objective, for each SLO and for crashes: for few and expensive trials",
                "about 8 trials before it knows more than random; package scikit-learn; about 0.1 s of CPU a trial",
                ("constrained_bo", "ConstrainedBO"),
            ),
            Entry(
                OptimizerName.MARGIN_BO,
                "reads from logs how near each server was to failing, and so crashes less and arrives sooner",
                "nothing; the more of vLLM's log is seen, the better",
                _MARGIN_BO,
                learns_from_ledger=True,
            ),
        )
    }
)


def make_optimizer(name: OptimizerName, space: Space, seed: int, ledger: Ledger = EMPTY) -> Optimizer:
    """The optimizer of that name for a space; with the same seed, ledger and history it suggests the same.

    `ledger` holds what earlier studies left; the optimizers that cannot use it ignore it.
    """
    entry = OPTIMIZERS[BEST if name is OptimizerName.AUTO else name]
    module, attribute = entry.factory
    make = cast("Callable[..., Optimizer]", getattr(import_module(f"{__package__}.{module}"), attribute))
    return make(space, seed, ledger) if entry.learns_from_ledger else make(space, seed)
