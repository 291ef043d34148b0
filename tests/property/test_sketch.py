"""Sketches merge in any order to the same, and their percentiles are as near as they say."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import LatencySketch, Metric
from sloguard.domain.distribution import Distribution
from sloguard.domain.sketch import COARSEST_SCALE, FINEST_SCALE, Sketch, read, stored

# Near together and far apart, with ends of buckets (powers of two) among them.
values = st.lists(
    st.one_of(
        st.integers(0, 20),
        st.integers(0, 2**32 - 1),
        st.integers(900, 1100),
        st.integers(0, 32).map(lambda exponent: 2**exponent),
    ),
    max_size=60,
)
scales = st.integers(-4, FINEST_SCALE)
failed = st.integers(0, 5)


def same(one, other):
    return (one.scale, one.zero, one.infinite, dict(one.buckets)) == (
        other.scale,
        other.zero,
        other.infinite,
        dict(other.buckets),
    )


@st.composite
def a_sketch(draw):
    return Sketch.of(Counter(draw(values)), draw(failed), scale=draw(scales))


@given(a_sketch(), a_sketch(), a_sketch())
def test_merging_is_associative_and_commutative(one, two, three):
    assert same(one.merged(two), two.merged(one))
    assert same(one.merged(two).merged(three), one.merged(two.merged(three)))


@given(a_sketch(), a_sketch())
def test_merging_loses_nothing(one, two):
    both = one.merged(two)
    assert both.finite == one.finite + two.finite
    assert both.infinite == one.infinite + two.infinite
    assert same(one.merged(Sketch()), one)


@given(values, values, scales, scales)
def test_merged_is_what_one_sketch_of_all_would_be(one, two, fine, coarse):
    both = Sketch.of(Counter(one), scale=fine).merged(Sketch.of(Counter(two), scale=coarse))
    assert same(both, Sketch.of(Counter(one + two), scale=min(fine, coarse)))


@given(values, scales, scales)
def test_a_lower_scale_is_as_if_built_there(seen, one, two):
    fine, coarse = max(one, two), min(one, two)
    assert same(Sketch.of(Counter(seen), scale=fine).at_scale(coarse), Sketch.of(Counter(seen), scale=coarse))


@given(values, failed, scales, st.integers(1, 100))
def test_percentiles_are_within_the_stated_error(seen, infinite, scale, percentile):
    sketch, exact = Sketch.of(Counter(seen), infinite, scale=scale), Distribution.of(seen, infinite)
    for estimate, true in (
        (sketch.at_percentile(percentile), exact.at_percentile(percentile)),
        (sketch.interpolated(percentile), exact.interpolated(percentile)),
    ):
        assert (estimate is None) == (true is None)
        if true is not None:  # interpolated percentiles of a Distribution are rounded to whole microseconds
            assert abs(estimate - true) <= sketch.relative_error * (true + 0.5) * (1 + 1e-9) + 0.5


@given(values, failed, scales, st.integers(1, 100))
def test_nearest_rank_is_never_further_than_the_stated_error(seen, infinite, scale, percentile):
    true = Distribution.of(seen, infinite).at_percentile(percentile)
    sketch = Sketch.of(Counter(seen), infinite, scale=scale)
    if true is not None:
        assert abs(sketch.at_percentile(percentile) - true) <= sketch.relative_error * true * (1 + 1e-9)


@given(a_sketch(), st.sampled_from(Metric))
def test_what_is_stored_is_read_as_it_was(sketch, metric):
    kept = stored(sketch, 150, metric)
    assert (kept.rate_percent, kept.metric) == (150, metric)
    assert same(read(LatencySketch.model_validate_json(kept.model_dump_json())), sketch)


def test_the_stated_errors():
    assert f"{Sketch(scale=FINEST_SCALE).relative_error:.4f}" == "0.0027"
    assert f"{Sketch(scale=4).relative_error:.4f}" == "0.0217"
    assert f"{Sketch(scale=COARSEST_SCALE).relative_error:.4f}" == "0.3333"
