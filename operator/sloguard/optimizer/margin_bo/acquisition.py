"""What a candidate promises for each minute of a GPU."""

from dataclasses import dataclass

import numpy as np

from . import normal
from .encoding import Floats, Points
from .outlook import Outlook

MINIMUM_GAIN = 0.01
"""An improvement by less is no improvement."""

NEARLY_DEAD = 0.75
"""A crash that is likelier than this is worth a trial only when nothing else is left."""

FAR_ENOUGH = 0.9
"""Beyond this distance from everything tried, farther is not better."""

OPTIMISM_SD = 2.0


@dataclass(frozen=True)
class Cost:
    """Minutes of a GPU that a trial takes, as seen so far or as on a real 7B model."""

    served_minutes: float = 130 / 60
    crashed_minutes: float = 85 / 60

    def expected(self, alive: Floats) -> Floats:
        return alive * self.served_minutes + (1 - alive) * self.crashed_minutes


def unlike_all(points: Points, seen: Floats, alive: Floats) -> Floats:
    """For the first trials: far from everything tried, and likely to live."""
    if not len(seen):
        return alive**2
    squares = ((points.unit[:, None, :] - seen[None, :, :]) ** 2).sum(axis=2)
    return np.minimum(np.sqrt(squares.min(axis=1)), FAR_ENOUGH) * alive**2


def promise(points: Points, outlook: Outlook, alive: Floats, cost: Cost, *, bold: bool) -> Floats:
    """Expected improvement within the SLOs for each minute; the way to the first feasible one while there is none."""
    view = outlook.view(points)
    mean, sd = outlook.log_objective(view)
    if outlook.best_log is None:
        worth = outlook.slos_met(view) * np.exp(0.5 * (mean - mean.max()))
    elif bold:
        worth = outlook.slos_met(view, 1.0) * np.exp(mean + OPTIMISM_SD * sd - outlook.best_log)
    else:
        worth = outlook.slos_met(view) * improvement(mean, sd, outlook.best_log)
        worth = unafraid(worth, alive)
    worth = worth * alive / cost.expected(alive)
    return np.where(1 - alive > NEARLY_DEAD, worth * 1e-3, worth)


def unafraid(gain: Floats, alive: Floats) -> Floats:
    """What is left of a gain when a crash counts as the loss of MINIMUM_GAIN; never below zero."""
    return gain * gain / (gain + MINIMUM_GAIN * (1 - alive) / np.maximum(alive, 1e-9))


def improvement(log_mean: Floats, log_sd: Floats, best_log: float) -> Floats:
    """Expected over the best one's objective, as a share of it; by less than MINIMUM_GAIN it does not count."""
    z = (log_mean - best_log - MINIMUM_GAIN) / log_sd
    return np.maximum(log_sd * (z * normal.cdf(z) + normal.density(z)), 1e-300)
