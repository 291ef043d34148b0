"""Gaussian processes by scikit-learn, with priors that keep a handful of trials from being over-read."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from .rows import Rows

LENGTH_SCALE = 0.5
LENGTH_SCALE_OF_A_CHOICE = 2.0
LENGTH_SCALE_LOG_SD = 0.7
"""Log-normal prior of each column's length scale, where a number's range is 1 and so are two values of a switch. What
one value of a choice teaches holds for the others too until trials say otherwise: else each would be a new land, and
the search would never leave the first one where something served."""

NOISE = 0.05
NOISE_LOG_SD = 1.0
"""Log-normal prior of the noise's variance, where the signal's is 1."""

SIGNAL_LOG_SD = 0.5

ITERATIONS = 12
"""Of L-BFGS: further ones change the length scales by less than the data say about them."""

_Likelihood = Callable[..., tuple[float, Rows]]


class _Regressor(Protocol):
    """What is used of scikit-learn's GaussianProcessRegressor, which has no types of its own."""

    def fit(self, x: Rows, y: Rows) -> object: ...

    def predict(self, x: Rows, *, return_std: bool) -> tuple[Rows, Rows]: ...


@dataclass(frozen=True, slots=True)
class Process:
    """A fitted process of one quantity, in that quantity's own unit."""

    model: _Regressor
    mean: float
    scale: float

    def predict(self, x: Rows) -> tuple[Rows, Rows]:
        """Mean and standard deviation of the quantity itself, without the noise of measuring it, at each row."""
        mean, deviation = self.model.predict(x, return_std=True)
        return self.mean + self.scale * mean, np.maximum(self.scale * deviation, 1e-9)


def expected_length_scales(ordered: NDArray[np.bool_]) -> Rows:
    """The prior's centre for each column; `ordered` tells a number's column from a choice's."""
    return np.where(ordered, LENGTH_SCALE, LENGTH_SCALE_OF_A_CHOICE)


def fitted(x: Rows, y: Rows, lengths: Rows, *, centred: bool = True) -> Process:
    """The most probable process (Matern 5/2, one length scale a column) for targets `y`, which must be finite.

    `lengths` are the length scales to expect. `centred` false leaves the prior mean at 0 and the prior variance at 1,
    for targets of -1 and 1.
    """
    mean = float(np.mean(y)) if centred else 0.0
    scale = (float(np.std(y)) or 1.0) if centred else 1.0
    kernels = cast("Any", import_module("sklearn.gaussian_process.kernels"))
    make = import_module("sklearn.gaussian_process").GaussianProcessRegressor
    signal = kernels.ConstantKernel(1.0, (1e-3, 1e3))
    matern = kernels.Matern(lengths, (1e-3, 1e3), nu=2.5)
    noise = kernels.WhiteKernel(NOISE, (1e-6, 1e2))
    model = cast("_Regressor", make(signal * matern + noise, optimizer=_most_probable, alpha=1e-8))
    with warnings.catch_warnings():
        # scikit-learn warns of scales at their bounds, which the priors keep them from unless the data insist.
        warnings.simplefilter("ignore")
        model.fit(x, (y - mean) / scale)
    cast("Any", model).kernel_.k2.set_params(noise_level=1e-10)
    return Process(model, mean, scale)


def _most_probable(negative_log_likelihood: _Likelihood, start: Rows, bounds: Rows) -> tuple[Rows, float]:
    """scikit-learn's hook: the logs of signal, length scales and noise with the highest posterior.

    The search starts at the centre of the priors.
    """
    minimize = cast("Any", import_module("scipy.optimize")).minimize
    spread = np.array([SIGNAL_LOG_SD, *[LENGTH_SCALE_LOG_SD] * (len(start) - 2), NOISE_LOG_SD])

    def negative_log_posterior(theta: Rows) -> tuple[float, Rows]:
        value, gradient = negative_log_likelihood(theta, eval_gradient=True)
        off = (theta - start) / spread
        return value + 0.5 * float(off @ off), gradient + off / spread

    found = minimize(
        negative_log_posterior, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": ITERATIONS}
    )
    return found.x, float(found.fun)
