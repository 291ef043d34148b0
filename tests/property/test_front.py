"""No point of the front beats another, and every point that is not on it is beaten by one that is."""

from hypothesis import given
from hypothesis import strategies as st

from sloguard.domain.front import Point, choice, dominates, front_of, thinned

FIGURES = st.integers(0, 6).map(float)
"""Few, so that there are ties."""


@st.composite
def configurations(draw):
    slos = draw(st.integers(1, 3))
    rows = draw(st.lists(st.tuples(FIGURES, st.tuples(*[FIGURES] * slos)), max_size=25))
    return [Point(f"s-{i}-1", figure, ratios) for i, (figure, ratios) in enumerate(rows)]


@given(configurations())
def test_the_front_is_exactly_what_nothing_dominates(points):
    front = front_of(points)
    assert not any(dominates(a, b) for a in front for b in front)
    for point in points:
        assert (point in front) != any(dominates(other, point) for other in front)
    assert [p.figure for p in front] == sorted((p.figure for p in front), reverse=True)


@given(configurations(), st.randoms(use_true_random=False))
def test_the_order_of_trials_does_not_matter(points, random):
    shuffled = random.sample(points, len(points))
    assert front_of(shuffled) == front_of(points)


@given(configurations(), st.integers(1, 12), st.integers(0, 24))
def test_thinning_keeps_the_bounds_and_what_has_to_stay(points, most, kept):
    front = front_of(points)
    name = front[kept % len(front)].name if front else ""
    thin = thinned(front, most, {name})
    assert len(thin) == min(len(front), most)
    assert [p for p in front if p in thin] == thin, "in their order"
    if front:
        assert name in {p.name for p in thin}
        assert most < 2 or front[0] in thin


@given(configurations())
def test_any_choice_can_be_explained(points):
    slos = ["TTFT p99", "ITL p99", "E2E p99"]
    front = front_of(points)
    for point in points:
        assert 0 < len(choice(point, front, slos[: len(point.ratios)])) < 1024


@given(configurations())
def test_nothing_dominates_itself_or_both_ways(points):
    for one in points:
        assert not dominates(one, one)
        assert not any(dominates(one, other) and dominates(other, one) for other in points)
