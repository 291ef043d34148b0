"""The memory model's intervals hold what they promise of real servers, however few it has seen."""

import pytest

from tests.bench import memory_model


def test_quick_run(capsys):
    memory_model.main(["--orders", "1"])
    assert len(capsys.readouterr().out.splitlines()) == 2 + len(memory_model.KNOWN)


@pytest.mark.parametrize("known", memory_model.KNOWN)
def test_ninety_percent_intervals_hold_about_that_share_of_later_starts(known):
    kv, free = memory_model.calibration(known, 8)
    assert 0.80 <= kv.coverage <= 0.98
    assert 0.80 <= free.coverage <= 0.98


def test_after_a_few_starts_it_is_much_nearer_than_the_starts_themselves():
    kv, free = memory_model.calibration(5, 8)
    assert kv.median_error_gib < 0.4
    assert free.median_error_gib < 0.7
    assert kv.median_error_gib < 0.25 * memory_model.np.median(kv.reference_errors)
    assert free.median_error_gib < 0.5 * memory_model.np.median(free.reference_errors)
