"""The regression under the memory model: outliers, and observations of which only the sign is known."""

import numpy as np

from sloguard.optimizer.margin_bo import normal
from sloguard.optimizer.margin_bo.regression import Borrowed, Observed, Prior, fit, fit_beside

PRIOR = Prior(mean=np.zeros(2), sd=np.full(2, 10.0), noise=0.3, noise_floor=0.05)


def line(count, seed=0):
    x = np.column_stack([np.ones(count), np.linspace(-1, 1, count)])
    return x, 2 + 3 * x[:, 1] + np.random.default_rng(seed).normal(scale=0.1, size=count)


def exact(x, y):
    return Observed(x, y, np.ones(len(y)))


def test_it_finds_the_line_and_its_noise():
    posterior = fit(exact(*line(60)), PRIOR)
    assert np.allclose(posterior.mean, [2, 3], atol=0.1)
    assert 0.05 <= posterior.noise < 0.25


def test_one_outlier_hardly_moves_it():
    x, y = line(20)
    y[3] += 8
    assert np.allclose(fit(exact(x, y), PRIOR).mean, [2, 3], atol=0.3)


def test_signs_alone_place_the_boundary():
    x, y = line(80)
    signs = np.sign(y)
    posterior = fit(Observed(x, np.full(80, np.nan), signs), PRIOR)
    assert ((posterior.mean @ x.T > 0) == (signs > 0)).mean() > 0.95
    assert posterior.above(np.zeros(2), np.array([[1, -1.0], [1, 1.0]])).round(1).tolist() == [0.0, 1.0]


def test_without_observations_the_prior_stays():
    posterior = fit(Observed(np.zeros((0, 2)), np.zeros(0), np.zeros(0)), PRIOR)
    assert np.array_equal(posterior.mean, PRIOR.mean)
    assert np.allclose(posterior.covariance, np.diag(PRIOR.sd**2))


def test_it_does_not_run_away_from_signs_that_the_prior_holds_for_impossible():
    """Whole steps of Newton's method went round in circles, a thousand times as far out as the mode."""
    x = np.column_stack([np.ones(12), np.linspace(0.6, 0.98, 12) * 24])
    prior = Prior(mean=np.array([15.0, -1.0]), sd=np.array([0.4, 0.01]), noise=0.12, noise_floor=0.12)
    posterior = fit(Observed(x, np.full(12, np.nan), np.ones(12)), prior)
    ratio = normal.inverse_mills(x @ posterior.mean / posterior.noise)
    gradient = (prior.mean - posterior.mean) / prior.sd**2 + x.T @ ratio / posterior.noise
    assert (np.abs(posterior.covariance @ gradient) < 0.01).all(), "this is the mode"


def test_as_many_observations_as_coefficients_do_not_make_it_sure():
    """They are met exactly; the noise of the next is no smaller for that."""
    generator = np.random.default_rng(1)
    prior = Prior(mean=np.zeros(8), sd=np.full(8, 2.0), noise=0.5, noise_floor=0.05)
    held = total = 0
    for _ in range(40):
        truth, x = generator.normal(size=8), generator.normal(size=(60, 8))
        y = x @ truth + generator.normal(scale=0.5, size=60)
        mean, sd = fit(exact(x[:10], y[:10]), prior).predict(x[10:])
        held += int((np.abs(mean - y[10:]) < 1.645 * sd).sum())
        total += 50
    assert 0.82 <= held / total <= 0.97


def test_the_tail_of_the_normal_distribution_stays_finite():
    z = np.array([-400.0, -40.0, -30.0, -5.0, 0.0, 5.0, 400.0])
    assert np.isfinite(normal.inverse_mills(z)).all()
    assert np.allclose(normal.cdf(z[3:6]), [2.866516e-7, 0.5, 1.0], rtol=1e-5)
    assert np.allclose(normal.inverse_mills(z[1:2]), [40.0], rtol=1e-2)
    assert np.allclose(np.exp(normal.log_cdf(z[3:])), normal.cdf(z[3:]))
    assert np.allclose(normal.log_cdf(np.array([-400.0, -40.0, -30.0])), [-80006.91, -804.609, -454.321], rtol=1e-3)


def borrowed(x, y, sd=1.0):
    return Borrowed(exact(x, y), np.zeros(len(y), dtype=np.int64), np.full(len(y), sd))


NOTHING = Observed(np.zeros((0, 2)), np.zeros(0), np.zeros(0))


def test_what_was_seen_elsewhere_gives_the_slope_and_a_first_guess_of_the_level():
    posterior = fit_beside(NOTHING, borrowed(*line(40)), PRIOR)
    assert np.allclose(posterior.mean, [2, 3], atol=0.3)
    assert posterior.covariance[0, 0] > 20 * posterior.covariance[1, 1]


def test_two_observations_of_ones_own_correct_the_level_and_leave_the_slope():
    x, y = line(40)
    own = exact(np.array([[1.0, -0.5], [1.0, 0.5]]), np.array([2.0, 5.0]) + 1.5)
    posterior = fit_beside(own, borrowed(x, y), PRIOR)
    assert np.allclose(posterior.mean, [5.0, 3.0], atol=0.35)


def test_where_nothing_is_borrowed_nothing_changes():
    own = exact(*line(12))
    nothing = Borrowed(NOTHING, np.zeros(0, dtype=np.int64), np.zeros(0))
    assert np.array_equal(fit_beside(own, nothing, PRIOR).mean, fit(own, PRIOR).mean)
