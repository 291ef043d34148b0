from sloguard.optimizer.sequence import point


def test_each_coordinate_is_spread_evenly():
    for seed in range(5):
        for dimension in range(12):
            places = [point(index, 12, seed)[dimension] for index in range(100)]
            assert all(0 <= place < 1 for place in places)
            tenths = [sum(int(place * 10) == tenth for place in places) for tenth in range(10)]
            assert min(tenths) >= 4
            assert max(tenths) <= 16


def test_pairs_of_coordinates_fill_the_square():
    for first in range(11):
        cells = {(int(p[first] * 4), int(p[first + 1] * 4)) for p in (point(index, 12, 1) for index in range(160))}
        assert len(cells) == 16


def test_seed_and_index_decide():
    assert point(3, 5, 1) == point(3, 5, 1)
    assert point(3, 5, 1) != point(3, 5, 2)
    assert point(3, 5, 1) != point(4, 5, 1)
    assert point(3, 2, 1) == point(3, 5, 1)[:2]


def test_the_sequence_is_the_same_for_ever():
    # Results of running studies depend on it: a change here is a change of every search under way.
    assert [round(u, 6) for u in point(10, 3, 7)] == GOLDEN


GOLDEN = [0.553625, 0.603315, 0.411117]
