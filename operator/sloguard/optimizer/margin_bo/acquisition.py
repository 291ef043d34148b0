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

CRASH_PRICE = 0.02
"""A crash costs as much as a gain by this share of the best one's objective is worth. What is to be gained shrinks as a
search goes on, and so does the risk that is taken for it: a tenth is worth an even chance, a thousandth hardly any."""


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


def promise(points: Points, outlook: Outlook, alive: Floats, cost: Cost) -> Floats:
    """Expected improvement within the SLOs for each minute, less what a crash costs; may be below zero.

    While nothing has met the SLOs, the way to the first that does.
    """
    view = outlook.view(points)
    mean, sd = outlook.promised(points, view)
    met = outlook.slos_met(view)
    if outlook.best_log is None:
        nearly_dead = np.where(1 - alive > NEARLY_DEAD, 1e-3, 1.0)
        return met * np.exp(0.5 * (mean - mean.max())) * alive * nearly_dead / cost.expected(alive)
    return priced(met * improvement(mean, sd, outlook.best_log), alive) / cost.expected(alive)


def priced(gain: Floats, alive: Floats) -> Floats:
    """What is to be expected of a gain that only a survivor brings, where a crash costs CRASH_PRICE."""
    return gain * alive - CRASH_PRICE * (1 - alive)


def improvement(log_mean: Floats, log_sd: Floats, best_log: float) -> Floats:
    """Expected over the best one's objective, as a share of it; by less than MINIMUM_GAIN it does not count."""
    z = (log_mean - best_log - MINIMUM_GAIN) / log_sd
    return np.maximum(log_sd * (z * normal.cdf(z) + normal.density(z)), 1e-300)
