import numpy as np

from sloguard.optimizer.forest import SMALLEST, grown, skill_of


def table(count, seed=0):
    return np.random.default_rng(seed).random((count, 4))


def test_it_learns_what_there_is_to_learn_and_says_so():
    x = table(80)
    forest = grown(x, (x[:, 0] > 0.6).astype(float), seed=1)
    assert forest.skill > 0.6
    said = forest.predict(np.array([[0.1, 0.5, 0.5, 0.5], [0.9, 0.5, 0.5, 0.5]]))
    assert said[0] < 0.2
    assert said[1] > 0.8


def test_its_trees_agree_where_much_is_known_and_disagree_at_the_edge():
    x = table(80)
    forest = grown(x, (x[:, 0] > 0.6).astype(float), seed=1)
    inside, edge = forest.spread(np.array([[0.1, 0.5, 0.5, 0.5], [0.6, 0.5, 0.5, 0.5]]))
    assert inside < 0.3
    assert edge > inside


def test_noise_earns_no_trust():
    skills = [grown(table(40, seed), np.random.default_rng(seed + 99).random(40), seed).skill for seed in range(8)]
    assert max(skills) < 0.3
    assert np.mean(skills) < 0.05


def test_too_little_makes_no_forest():
    x = table(SMALLEST)
    assert grown(x[:-1], x[:-1, 0], seed=1) is None
    assert grown(x, np.ones(SMALLEST), seed=1) is None
    assert grown(x, x[:, 0], seed=1) is not None


def test_the_same_seed_grows_the_same_forest():
    x = table(30)
    one, other = (grown(x, x[:, 1], seed=7) for _ in range(2))
    assert one.unseen.tolist() == other.unseen.tolist()
    assert one.predict(table(5, 3)).tolist() == other.predict(table(5, 3)).tolist()


def test_skill_is_one_when_right_nought_for_the_mean_and_negative_when_worse():
    y = np.array([0.0, 1.0, 1.0, 0.0])
    assert skill_of(y, y) == 1.0
    assert skill_of(np.full(4, 0.5), y) == 0.0
    assert skill_of(1.0 - y, y) < 0
    assert skill_of(y, np.ones(4)) == 0.0
