"""From what a forest says of trials that it was not shown to probabilities that hold what they promise."""

from dataclasses import dataclass

import numpy as np

from .rows import Rows

CLIP = 0.02
"""A forest of some dozen trees cannot tell smaller probabilities from none."""

NEWTON_STEPS = 25
HALVINGS = 20

PRIOR_SD = 1.0
PRIOR_CENTRE = np.array([1.0, 0.0])
"""Of slope and intercept: "leave it as it is". A dozen trials must not turn a forest round."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """P = 1 / (1 + exp(-(slope x log-odds + intercept))): Platt's scaling (1999)."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, said: Rows) -> Rows:
        return 1.0 / (1.0 + np.exp(-(self.slope * log_odds(said) + self.intercept)))


def log_odds(probability: Rows) -> Rows:
    clipped = np.clip(probability, CLIP, 1.0 - CLIP)
    return np.log(clipped / (1.0 - clipped))


def calibrated(said: Rows, crashed: Rows) -> Calibration:
    """The most probable slope and intercept, with normal priors around 1 and 0, by Newton's method."""
    x = np.stack([log_odds(said), np.ones(len(said))], axis=1)
    weights = PRIOR_CENTRE
    for _ in range(NEWTON_STEPS):
        weights = _newton_step(x, crashed, weights)
    # A negative slope would say that the forest is wrong more often than right: then its word is worth nothing.
    return Calibration(max(float(weights[0]), 0.0), float(weights[1]))


def _newton_step(x: Rows, crashed: Rows, weights: Rows) -> Rows:
    """Halved until it goes down: far from the minimum, a full step may overshoot without end."""
    p = 1.0 / (1.0 + np.exp(-(x @ weights)))
    gradient = x.T @ (p - crashed) + (weights - PRIOR_CENTRE) / PRIOR_SD**2
    curvature = (x * (p * (1.0 - p))[:, None]).T @ x + np.eye(2) / PRIOR_SD**2
    step = np.linalg.solve(curvature, gradient)
    here = _negative_log_posterior(x, crashed, weights)
    for _ in range(HALVINGS):
        if _negative_log_posterior(x, crashed, weights - step) < here:
            return weights - step
        step = step / 2.0
    return weights


def _negative_log_posterior(x: Rows, crashed: Rows, weights: Rows) -> float:
    odds = x @ weights
    off = (weights - PRIOR_CENTRE) / PRIOR_SD
    return float(np.sum(np.logaddexp(0.0, odds) - crashed * odds) + 0.5 * off @ off)
