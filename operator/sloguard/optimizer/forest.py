"""Random forests that know how far to trust themselves: by what they say of trials that they were not shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast

import numpy as np

from .rows import Rows

TREES = 40
"""Twice as many change the out-of-bag score by less than 0.01 and cost twice as much."""

FEATURE_SHARE = 0.5

SMALLEST = 10
"""Fewer rows make no forest."""


class _Regressor(Protocol):
    """What is used of scikit-learn's RandomForestRegressor, which has no types of its own."""

    oob_prediction_: Rows
    estimators_: Sequence["_Regressor"]

    def fit(self, x: Rows, y: Rows) -> object: ...

    def predict(self, x: Rows) -> Rows: ...


@dataclass(frozen=True, slots=True)
class Forest:
    """A fitted forest. `unseen` is what it says of each row by the trees that were not shown it (out of bag).

    `skill` is the share of the targets' variance that `unseen` explains: 1 is perfect, 0 no better than their mean,
    below 0 worse. For targets of 0 and 1 it is the Brier skill score.
    """

    model: _Regressor
    unseen: Rows
    skill: float

    def predict(self, x: Rows) -> Rows:
        return self.model.predict(x)

    def spread(self, x: Rows) -> Rows:
        """How far the trees disagree at each row: their standard deviation, large where little is known."""
        return np.std([tree.predict(x) for tree in self.model.estimators_], axis=0)


def grown(x: Rows, y: Rows, seed: int) -> Forest | None:
    """A forest of rows `x` for targets `y` (probabilities for 0 and 1); None where there is too little to learn."""
    if len(y) < SMALLEST or np.ptp(y) == 0:
        return None
    # scikit-learn takes a second and 100 MiB to import: only searches that grow a forest pay for it.
    make = import_module("sklearn.ensemble").RandomForestRegressor
    model = cast(
        "_Regressor", make(TREES, max_features=FEATURE_SHARE, oob_score=True, bootstrap=True, random_state=seed)
    )
    model.fit(x, y)
    unseen = np.round(model.oob_prediction_, 12)
    return Forest(model, unseen, skill_of(unseen, y))


def skill_of(predicted: Rows, y: Rows) -> float:
    """1 - mean squared error over variance; 0 where all targets are equal."""
    variance = float(np.var(y))
    return 1.0 - float(np.mean((predicted - y) ** 2)) / variance if variance > 0 else 0.0
