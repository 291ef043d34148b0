"""The Gaussian process: its gradient, its fit, its doubts."""

import numpy as np
import pytest

from sloguard.optimizer.margin_bo import surrogate

RNG = np.random.default_rng(0)


def truth(unit):
    return np.sin(4 * unit[:, 0]) + 2 * unit[:, 1] ** 2


def fitted(unit, values, slopes=None, doubt=None):
    slopes = np.zeros((len(unit), 0)) if slopes is None else slopes
    doubt = np.zeros(len(unit)) if doubt is None else doubt
    return surrogate.condition(unit, values, slopes, doubt, surrogate.fit_shape(unit, values, slopes, doubt))


@pytest.mark.parametrize(("count", "dimensions"), [(5, 2), (30, 6)])
def test_the_gradient_is_the_derivative(count, dimensions):
    unit = RNG.random((count, dimensions))
    values = (truth(unit) - truth(unit).mean()) / truth(unit).std()
    means = surrogate._prior_means(dimensions)
    upper = np.triu_indices(count, 1)
    squares = (unit[upper[0]] - unit[upper[1]]) ** 2

    def posterior(logs):
        return surrogate._posterior(logs, squares, upper, np.zeros((count, count)), values, means)

    logs = means + 0.2 * RNG.normal(size=len(means))
    numeric = [(posterior(logs + 1e-5 * e)[0] - posterior(logs - 1e-5 * e)[0]) / 2e-5 for e in np.eye(len(logs))]
    assert np.allclose(posterior(logs)[1], numeric, atol=1e-6)


def test_it_learns_which_dimensions_matter_and_knows_where_it_knows_nothing():
    unit = RNG.random((60, 5))
    model = fitted(unit, truth(unit) + 0.02 * RNG.normal(size=60))
    fresh = RNG.random((300, 5))
    mean, sd = model.predict(fresh)
    assert np.sqrt(np.mean((mean - truth(fresh)) ** 2)) < 0.15
    assert model.lengths[:2].max() < model.lengths[2:].min()
    assert model.predict(np.full((1, 5), 3.0))[1][0] > 3 * np.median(sd)


def test_a_slope_takes_away_what_violations_cost():
    unit = RNG.random((40, 2))
    excess = np.maximum(RNG.normal(size=(40, 1)), 0)
    model = fitted(unit, truth(unit) - 1.2 * excess[:, 0], excess)
    fresh = RNG.random((100, 2))
    assert np.abs(model.predict(fresh)[0] - truth(fresh)).mean() < 0.2


def test_what_is_known_to_be_noisy_is_believed_less():
    unit = RNG.random((40, 2))
    values = truth(unit)
    wrong = np.arange(40) % 4 == 0
    values = np.where(wrong, values - 3.0, values)
    fresh = RNG.random((100, 2))
    told = fitted(unit, values, doubt=np.where(wrong, 3.0, 0.0)).predict(fresh)[0]
    untold = fitted(unit, values).predict(fresh)[0]
    assert np.abs(told - truth(fresh)).mean() < 0.3 * np.abs(untold - truth(fresh)).mean()


def test_two_alike_observations_do_not_say_that_all_are():
    mean, sd = fitted(np.array([[0.1, 0.1], [0.3, 0.2]]), np.array([1.0, 1.05])).predict(np.array([[0.9, 0.9]]))
    assert sd[0] > 0.3
    assert abs(mean[0] - 1.0) < 2 * sd[0]


@pytest.mark.parametrize("values", [[3.0], [3.0, 3.0, 3.0], [1e9, -1e9]])
def test_few_and_flat_observations_are_survived(values):
    unit = RNG.random((len(values), 3))
    mean, sd = fitted(unit, np.array(values)).predict(RNG.random((10, 3)))
    assert np.isfinite(mean).all()
    assert (sd > 0).all()
