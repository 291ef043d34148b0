"""Bayesian linear regression that bears outliers, and observations of which only the sign is known.

Exact observations have Student-t noise with four degrees of freedom, met by reweighting; of censored ones it is known
that the quantity was above or below zero, which is a probit likelihood. The posterior is the normal one around its mode
(Laplace). Everything is deterministic, and sums do not depend on anything but the set of observations.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from . import normal
from .encoding import Floats, Ints

DEGREES_OF_FREEDOM = 4.0
AS_NORMAL = 1.3
"""Times as wide, a normal distribution has the same 90 % interval as Student's t with that scale."""

ITERATIONS = 12
HALVINGS = 10
CONVERGED = 1e-3
"""GiB: a hundredth of the noise."""


@dataclass(frozen=True)
class Prior:
    """Independent normal coefficients, and a guess of the noise that is worth as many observations as `strength`.

    `noise` is that of exact observations. `sign_noise` is what varies of the quantity itself, where reading it adds
    to that; None where it is the same.
    """

    mean: Floats
    sd: Floats
    noise: float
    noise_floor: float
    strength: float = 3.0
    sign_noise: float | None = None


@dataclass(frozen=True)
class Observed:
    """Rows of features; `values` where exact, NaN where only `signs` (+1 above zero, -1 below) is known."""

    features: Floats
    values: Floats
    signs: Floats


@dataclass(frozen=True)
class Linear:
    """The posterior; `noise` is that of exact observations, `sign_noise` that of the quantity itself."""

    mean: Floats
    covariance: Floats
    noise: float
    sign_noise: float

    def predict(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of an observation, noise included."""
        return self._known(features, self.noise)

    def above(self, threshold: Floats, features: Floats) -> Floats:
        """How likely the quantity lies above its threshold, however it would be read."""
        mean, sd = self.quantity(features)
        return normal.cdf((mean - threshold) / sd)

    def quantity(self, features: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of what an observation would be of."""
        return self._known(features, self.sign_noise)

    def _known(self, features: Floats, noise: float) -> tuple[Floats, Floats]:
        variance = np.einsum("ij,jk,ik->i", features, self.covariance, features, optimize=True)
        return features @ self.mean, np.sqrt(np.maximum(variance, 0.0) + noise**2)


def fit(observed: Observed, prior: Prior) -> Linear:
    """The posterior's mode by Newton's method, weights and noise adapted on the way."""
    precision = np.diag(prior.sd**-2.0)
    exact = ~np.isnan(observed.values)
    x, y = observed.features[exact], observed.values[exact]
    x_signed = observed.features[~exact] * observed.signs[~exact, None]
    mean, noise = prior.mean.copy(), prior.noise
    weights = np.ones(len(y))
    covariance = np.diag(prior.sd**2.0)
    for _ in range(ITERATIONS):
        sign_noise = noise if prior.sign_noise is None else prior.sign_noise
        z = x_signed @ mean / sign_noise
        ratio = normal.inverse_mills(z)
        curvature = np.clip(ratio * (ratio + z), 1e-9, 1.0)
        weighted = x * weights[:, None]
        hessian = precision + weighted.T @ x / noise**2 + (x_signed * curvature[:, None]).T @ x_signed / sign_noise**2
        gradient = precision @ (prior.mean - mean)
        gradient = gradient + weighted.T @ (y - x @ mean) / noise**2 + x_signed.T @ ratio / sign_noise
        covariance = np.linalg.inv(hessian).astype(np.float64)
        density = partial(_density, x, y, x_signed / sign_noise, weights, noise, prior)
        step = covariance @ gradient
        step = _uphill(density, mean, step) if len(x_signed) else step
        mean = mean + step
        squares = (y - x @ mean) ** 2
        weights = (DEGREES_OF_FREEDOM + 1) / (DEGREES_OF_FREEDOM + squares / noise**2)
        # A few observations are met nearly exactly by as many coefficients; the doubt about these is noise as well.
        doubt = np.sum((x @ covariance) * x, axis=1)
        total = prior.strength * prior.noise**2 + float(np.sum(weights * (squares + doubt)))
        noise = max(prior.noise_floor, float(np.sqrt(total / (prior.strength + len(y)))))
        if float(np.abs(step).max(initial=0.0)) < CONVERGED:
            break
    noise = noise * AS_NORMAL if len(y) else noise
    return Linear(mean, covariance, noise, noise if prior.sign_noise is None else prior.sign_noise)


def _density(
    x: Floats, y: Floats, x_signed: Floats, weights: Floats, noise: float, prior: Prior, mean: Floats
) -> float:
    """The posterior's, logged, but for a constant."""
    away = float(weights @ (y - x @ mean) ** 2) / noise**2 + float((mean - prior.mean) ** 2 @ prior.sd**-2.0)
    return float(np.sum(normal.log_cdf(x_signed @ mean))) - 0.5 * away


def _uphill(density: Callable[[Floats], float], mean: Floats, step: Floats) -> Floats:
    """Halved until the logged density does not fall: far from the mode a whole step can lead away from it."""
    before = density(mean)
    for _ in range(HALVINGS):
        if density(mean + step) >= before:
            break
        step = step / 2
    return step


@dataclass(frozen=True)
class Borrowed:
    """Observations from elsewhere, which may be off by the same unknown amount within each of `groups` (0, 1, ...).

    `offset_sds` says for each row how far that may be, in the unit of the observations.
    """

    observed: Observed
    groups: Ints
    offset_sds: Floats


LESS_TRUSTED = 0.7
"""Weight of a borrowed observation's deviation: as if its noise were 1.4 times as large."""


def fit_beside(own: Observed, borrowed: Borrowed, prior: Prior) -> Linear:
    """The posterior of the coefficients, with each group's offset learnt along and then left out (marginalised)."""
    if not len(borrowed.groups):
        return fit(own, prior)
    own_count, size, count = len(own.values), len(prior.mean), int(borrowed.groups.max()) + 1
    belongs = (borrowed.groups[:, None] == np.arange(count)).astype(np.float64)
    told = borrowed.observed
    features = np.vstack(
        [
            np.hstack([own.features, np.zeros((own_count, count))]),
            LESS_TRUSTED * np.hstack([told.features, belongs]),
        ]
    )
    observed = Observed(features, np.append(own.values, LESS_TRUSTED * told.values), np.append(own.signs, told.signs))
    doubts = np.array([np.append(borrowed.offset_sds[borrowed.groups == group], 1e-3).max() for group in range(count)])
    with_offsets = Prior(
        np.append(prior.mean, np.zeros(count)),
        np.append(prior.sd, doubts),
        prior.noise,
        prior.noise_floor,
        prior.strength,
        prior.sign_noise,
    )
    fitted = fit(observed, with_offsets)
    return Linear(fitted.mean[:size], fitted.covariance[:size, :size], fitted.noise, fitted.sign_noise)
