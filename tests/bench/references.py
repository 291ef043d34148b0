"""Optimizers to be measured against that sloguard does not offer, each loaded only when it is asked for."""

from collections.abc import Callable, Mapping
from importlib import import_module

from sloguard.optimizer import Optimizer, Space

NEEDS_TORCH = "optuna-gp"

REFERENCES: Mapping[str, tuple[str, str]] = {
    "optuna-tpe": ("tests.bench.optuna_references", "Independent"),
    "optuna-tpe-multivariate": ("tests.bench.optuna_references", "Multivariate"),
    NEEDS_TORCH: ("tests.bench.optuna_references", "GaussianProcess"),
    "margin-bo-without-margins": ("tests.bench.ablations", "WithoutMargins"),
    "margin-bo-without-free": ("tests.bench.ablations", "WithoutFree"),
    "margin-bo-without-limits": ("tests.bench.ablations", "WithoutLimits"),
    "margin-bo-without-rules": ("tests.bench.ablations", "WithoutRules"),
    "margin-bo-without-physics": ("tests.bench.ablations", "WithoutPhysics"),
    "margin-bo-without-known-points": ("tests.bench.ablations", "WithoutKnownPoints"),
    "margin-bo-without-figures": ("tests.bench.ablations", "WithoutFigures"),
    "margin-bo-without-blame": ("tests.bench.ablations", "WithoutBlame"),
    "margin-bo-without-curves": ("tests.bench.ablations", "WithoutCurves"),
    "margin-bo-without-belief": ("tests.bench.ablations", "WithoutBelief"),
    "margin-bo-without-cost": ("tests.bench.ablations", "WithoutCost"),
    "margin-bo-labels-alone": ("tests.bench.ablations", "LabelsAlone"),
}
"""Where each is: a module and a class in it."""


def reference(name: str) -> Callable[[Space, int], Optimizer]:
    module, attribute = REFERENCES[name]
    return getattr(import_module(module), attribute)
