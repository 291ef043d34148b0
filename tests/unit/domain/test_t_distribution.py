"""Our own t distribution against SciPy's, and its limits."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sloguard.domain.t_distribution import quantile, upper_tail


@given(t=st.floats(-60, 60), df=st.floats(0.3, 1e5))
def test_tails_are_scipys(t, df):
    assert upper_tail(t, df) == pytest.approx(stats.t.sf(t, df), rel=1e-7, abs=1e-10)


@given(tail=st.floats(1e-6, 1 - 1e-6), df=st.floats(0.5, 1e5))
def test_quantiles_are_scipys(tail, df):
    assert quantile(tail, df) == pytest.approx(stats.t.isf(tail, df), rel=1e-5, abs=1e-7)


def test_without_end_it_is_the_normal_distribution():
    assert upper_tail(1.6448536, math.inf) == pytest.approx(0.05)
    assert (upper_tail(math.inf, 3), upper_tail(-math.inf, 3)) == (0, 1)


@pytest.mark.parametrize(("t", "df"), [(1, 0), (1, -1), (math.nan, 3), (1, math.nan)])
def test_nonsense_is_refused(t, df):
    with pytest.raises(ValueError, match="no t distribution"):
        upper_tail(t, df)
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile(t, 3)
