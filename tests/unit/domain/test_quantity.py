"""Kubernetes' quantities in all their notations."""

import pytest

from sloguard.domain.quantity import QuantityError, milli, shown


@pytest.mark.parametrize(
    ("text", "thousandths"),
    [
        ("1", 1000),
        (8, 8000),
        ("500m", 500),
        ("0.5", 500),
        (".25", 250),
        ("1.5Gi", 1536 * 2**20 * 1000),
        ("128M", 128_000_000_000),
        ("1e3", 1_000_000),
        ("1E3", 1_000_000),
        ("2E", 2 * 10**21),
        ("12u", 1),
        ("100n", 1),
        ("0", 0),
        ("+3k", 3_000_000),
    ],
)
def test_every_notation(text, thousandths):
    assert milli(text) == thousandths


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1gi", "Gi", "1.2.3", "1e", "--1", None])
def test_what_is_no_quantity(text):
    with pytest.raises(QuantityError, match="no quantity"):
        milli(text)


@pytest.mark.parametrize("text", ["500m", "4", "16Gi", "1536Mi", "100", "3Ti"])
def test_it_is_shown_as_it_was_written(text):
    assert shown(milli(text)) == text
