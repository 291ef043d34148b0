"""A Gaussian process: Matern 5/2 with a length scale of its own for each dimension, fitted by maximum a posteriori.

Written out in numpy: the data are few (at most MOST_POINTS), and nothing else has to be imported. A few columns may be
`slopes`, with a linear effect of unknown size instead of a smooth one (a prior of sd SLOPE_SD). `doubt` is the part of
each observation's noise that is known beforehand (a standard deviation); what all share is fitted.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .encoding import Floats, Ints

MOST_POINTS = 60
SHAPE_POINTS = 40
"""The posterior is of all points; its shape is fitted to so many, evenly spread over them, in half the time."""

JITTER = 1e-6
SLOPE_SD = 1.5
_SQRT5 = math.sqrt(5.0)

LENGTH_MEDIAN = 0.5
LENGTH_SD, AMPLITUDE_SD, NOISE_SD = 0.8, 0.6, 0.9
"""Of the priors, all log-normal; their medians are in `_prior_means`."""

NOISE_MEDIAN, LEAST_NOISE = 0.06, 0.01
"""As shares of the observations' standard deviation."""

PRIOR_SPREAD, PRIOR_COUNT = 1.0, 2.0
"""Of log figures over a space: a factor of e, worth so many observations."""

STEPS = 30
MEMORY = 6


@dataclass(frozen=True)
class Surrogate:
    """The posterior; built by `fit`."""

    unit: Floats
    lengths: Floats
    amplitude: float
    noise: float
    centre: float
    scale: float
    inverse: Floats
    weights: Floats

    def predict(self, unit: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of the noise-free quantity, slopes at zero."""
        cross = self.amplitude * _matern(_squares(unit / self.lengths, self.unit / self.lengths))
        mean = cross @ self.weights
        variance = self.amplitude - np.einsum("ij,ij->i", cross @ self.inverse, cross)
        return self.centre + self.scale * mean, self.scale * np.sqrt(np.maximum(variance, 1e-10))

    @property
    def noise_sd(self) -> float:
        """Of one observation."""
        return self.scale * self.noise


@dataclass(frozen=True)
class Shape:
    """What is fitted: length scales, amplitude (a variance) and noise (a standard deviation), after scaling."""

    lengths: Floats
    amplitude: float
    noise: float


def fit_shape(unit: Floats, observed: Floats, slopes: Floats, doubt: Floats) -> Shape:
    """The mode of the posterior, from a fixed start; of at most SHAPE_POINTS."""
    if len(unit) > SHAPE_POINTS:
        some = np.linspace(0, len(unit) - 1, SHAPE_POINTS).round().astype(np.int64)
        unit, observed, slopes, doubt = unit[some], observed[some], slopes[some], doubt[some]
    values, _, scale = _standardised(observed)
    upper = np.triu_indices(len(unit), 1)
    squares = (unit[upper[0]] - unit[upper[1]]) ** 2
    linear = SLOPE_SD**2 * slopes @ slopes.T + np.diag((doubt / scale) ** 2)
    start = _prior_means(unit.shape[1])

    def objective(logs: Floats) -> tuple[float, Floats]:
        return _posterior(logs, squares, upper, linear, values, start)

    logs = _minimised(objective, start)
    return Shape(np.exp(logs[:-2]), float(np.exp(logs[-2])), float(np.exp(logs[-1])) + LEAST_NOISE)


def condition(unit: Floats, observed: Floats, slopes: Floats, doubt: Floats, shape: Shape) -> Surrogate:
    """The posterior of all observations under a known shape."""
    values, centre, scale = _standardised(observed)
    kernel = shape.amplitude * _matern(_squares(unit / shape.lengths, unit / shape.lengths))
    kernel += SLOPE_SD**2 * slopes @ slopes.T + np.diag((doubt / scale) ** 2 + shape.noise**2 + JITTER)
    inverse = np.linalg.inv(kernel).astype(np.float64)
    weights = inverse @ values
    return Surrogate(unit, shape.lengths, shape.amplitude, shape.noise, centre, scale, inverse, weights)


def _standardised(observed: Floats) -> tuple[Floats, float, float]:
    """Two alike observations do not say that all are: their spread is believed as much as PRIOR_SPREAD."""
    centre = float(np.mean(observed)) if len(observed) else 0.0
    total = PRIOR_COUNT * PRIOR_SPREAD**2 + float(((observed - centre) ** 2).sum())
    scale = math.sqrt(total / (PRIOR_COUNT + len(observed)))
    return (observed - centre) / scale, centre, scale


def _squares(one: Floats, other: Floats) -> Floats:
    """Squared distances between all rows."""
    total = (one**2).sum(axis=1)[:, None] + (other**2).sum(axis=1)[None, :] - 2.0 * one @ other.T
    return np.maximum(total, 0.0)


def _matern(squares: Floats) -> Floats:
    """Of a hundred thousand pairs, so that it allocates little."""
    scaled = np.sqrt(squares)
    scaled *= _SQRT5
    total = scaled / 3.0
    total += 1.0
    total *= scaled
    total += 1.0
    np.negative(scaled, out=scaled)
    total *= np.exp(scaled, out=scaled)
    return total


def _prior_means(dimensions: int) -> Floats:
    """Length scales grow with the root of the dimensions, so that distances keep meaning the same."""
    return np.array([math.log(LENGTH_MEDIAN * math.sqrt(dimensions))] * dimensions + [0.0, math.log(NOISE_MEDIAN)])


def _posterior(
    logs: Floats, squares: Floats, upper: tuple[Ints, Ints], linear: Floats, values: Floats, means: Floats
) -> tuple[float, Floats]:
    """Minus the log posterior, and its gradient. `squares` has a row for each pair of observations in `upper`."""
    dimensions = squares.shape[1]
    inverse_squares = np.exp(-2.0 * logs[:dimensions])
    amplitude, noise = math.exp(logs[-2]), math.exp(logs[-1])
    sd = noise + LEAST_NOISE
    scaled = _SQRT5 * np.sqrt(squares @ inverse_squares)
    decay = np.exp(-scaled)
    matern = amplitude * (1.0 + scaled + scaled * scaled / 3.0) * decay
    kernel = linear + (amplitude + sd * sd + JITTER) * np.eye(len(values))
    kernel[upper] += matern
    kernel[upper[1], upper[0]] = kernel[upper]
    try:
        lower = np.linalg.cholesky(kernel)
    except np.linalg.LinAlgError:
        return math.inf, np.zeros_like(logs)
    inverse = np.linalg.inv(kernel)
    alpha = inverse @ values
    outer = inverse - np.outer(alpha, alpha)
    # d matern / d log length = 5/3 amplitude (1 + scaled) decay x squared distance / length^2
    pairs, trace = outer[upper], float(np.trace(outer))
    slope = pairs * (5.0 / 3.0 * amplitude * (1.0 + scaled) * decay)
    gradient = np.empty_like(logs)
    gradient[:dimensions] = (slope @ squares) * inverse_squares
    gradient[-2] = float(pairs @ matern) + 0.5 * amplitude * trace
    gradient[-1] = trace * sd * noise
    sds = np.array([LENGTH_SD] * dimensions + [AMPLITUDE_SD, NOISE_SD])
    away = (logs - means) / sds
    value = 0.5 * float(values @ alpha) + float(np.log(np.diag(lower)).sum()) + 0.5 * float(away @ away)
    return value, gradient + away / sds


def _minimised(objective: Callable[[Floats], tuple[float, Floats]], start: Floats) -> Floats:
    """L-BFGS with backtracking; ends when a step gains less than a thousandth."""
    point = start
    value, gradient = objective(point)
    steps: list[Floats] = []
    changes: list[Floats] = []
    for _ in range(STEPS):
        direction = -_two_loops(gradient, steps, changes)
        downhill = float(direction @ gradient)
        if downhill >= 0:
            direction, downhill = -gradient, -float(gradient @ gradient)
        length = min(1.0, 2.0 / max(float(np.abs(direction).max()), 1e-12))
        while length > 1e-4:
            tried, tried_gradient = objective(point + length * direction)
            if tried <= value + 1e-4 * length * downhill:
                break
            length *= 0.4
        else:
            return point
        step, change = length * direction, tried_gradient - gradient
        gained = value - tried
        point, value, gradient = point + step, tried, tried_gradient
        if float(step @ change) > 1e-10:
            steps, changes = [*steps[-MEMORY + 1 :], step], [*changes[-MEMORY + 1 :], change]
        if gained < 1e-3:
            return point
    return point


def _two_loops(gradient: Floats, steps: Sequence[Floats], changes: Sequence[Floats]) -> Floats:
    direction = gradient.copy()
    kept: list[tuple[float, float]] = []
    for step, change in zip(reversed(steps), reversed(changes), strict=True):
        rho = 1.0 / float(change @ step)
        alpha = rho * float(step @ direction)
        direction = direction - alpha * change
        kept.append((rho, alpha))
    if steps:
        direction = direction * (float(steps[-1] @ changes[-1]) / float(changes[-1] @ changes[-1]))
    else:
        direction = direction / max(1.0, float(np.abs(gradient).max()))
    for (rho, alpha), step, change in zip(reversed(kept), steps, changes, strict=True):
        beta = rho * float(change @ direction)
        direction = direction + (alpha - beta) * step
    return direction
