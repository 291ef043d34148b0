"""Which repeats are wanted next, and how a candidate's contest ends."""

import pytest

from sloguard.domain.contest import ERROR, Arm, Ledger, Run, Standing, Terms, contest

TERMS = Terms(1.05, repeats=3, baseline_repeats=3)
HELD, BROKEN = 0.5, 1.5


def arm(name, first, *repeats, slo=HELD, **more):
    ratios = slo if isinstance(slo, tuple) else (slo,) * (1 + len(repeats))
    runs = [Run(figure, ratio, ratio) for figure, ratio in zip((first, *repeats), ratios, strict=True)]
    return Arm(name, tuple(runs[:1]), tuple(runs[1:]), **more)


def verdict(candidate, *baselines, terms=TERMS, ledger=None):
    return contest(candidate, baselines, ledger or Ledger(), terms)


def test_the_first_block_repeats_all():
    found = verdict(arm("c", 150), arm("p", 100), arm("d", 50))
    assert (found.standing, found.wanted) == (Standing.OPEN, ("p", "d", "c"))


def test_what_was_repeated_already_is_not_wanted_again():
    assert verdict(arm("c", 150), arm("p", 100, 100), arm("d", 50)).wanted == ("d", "c")


def test_one_repeat_never_wins():
    found = verdict(arm("c", 900, 900), arm("p", 100, 100), arm("d", 50, 50))
    assert (found.standing, found.wanted) == (Standing.OPEN, ("c",)), "both baselines are beaten already"


def test_a_clear_improvement_wins_with_two():
    found = verdict(arm("c", 150, 149, 151), arm("p", 100, 100), arm("d", 50, 51))
    assert (found.standing, found.block) == (Standing.WON, 2)


def test_a_baseline_that_is_not_clearly_beaten_is_repeated_again():
    close = arm("c", 112, 110), arm("p", 100, 99), arm("d", 50, 51)
    assert verdict(*close).wanted == ("p", "c")


def test_noise_keeps_it_open_and_the_last_block_decides():
    baselines = arm("p", 100, 108, 92, 101), arm("d", 10, 10, 11, 10)
    assert verdict(arm("c", 130, 128, 122), *baselines).standing is Standing.OPEN
    last = arm("c", 130, 128, 122, 104), *baselines
    found = verdict(*last)
    assert (found.standing, found.against) == (Standing.UNPROVEN, "p")


def test_luck_of_the_search_is_found_out_by_the_first_repeat():
    found = verdict(arm("c", 130, 99), arm("p", 100, 101), arm("d", 50, 51))
    assert (found.standing, found.block, found.against) == (Standing.HOPELESS, 1, "p")


def test_it_has_to_be_better_than_both():
    found = verdict(arm("c", 150, 151, 150, 149), arm("p", 100, 100), arm("d", 160, 161, 159, 160))
    assert (found.standing, found.against) == (Standing.HOPELESS, "d")


def test_a_crash_spends_the_error_of_the_looks_before_it():
    """One that crashes at once was never looked at; one that crashes at its last repeat could have won before."""
    baselines = arm("p", 100, 108, 92, 101), arm("d", 10, 10, 11, 10)
    at_once = Arm("c", (Run(130.0),), (Run(0.0, crashed=True),))
    late = Arm("c", (Run(130.0),), (Run(128.0), Run(122.0), Run(0.0, crashed=True)))
    assert verdict(at_once, *baselines).after.spent == 0
    found = verdict(late, *baselines)
    assert (found.standing, found.block) == (Standing.CRASHED, 3)
    assert found.after.spent == pytest.approx(TERMS.chance(Ledger().next_error, 2))


def test_a_crash_ends_it():
    crashed = Arm("c", (Run(150.0),), (Run(0.0, crashed=True),))
    assert verdict(crashed, arm("p", 100, 100), arm("d", 50, 50)).standing is Standing.CRASHED


def test_a_dead_baseline_is_not_repeated():
    assert verdict(arm("c", 150), arm("p", 0, dead=True), arm("d", 0, dead=True)).wanted == ("c",)
    assert verdict(arm("c", 150, 150, 150), arm("p", 0, dead=True), arm("d", 0, dead=True)).standing is Standing.WON


def test_an_slo_broken_by_a_hair_once_is_no_verdict():
    ratios = (0.9, 0.95, 0.92, 1.02)
    found = verdict(arm("c", 150, 150, 150, 150, slo=ratios), arm("p", 100, 100, 99), arm("d", 50, 50, 50))
    assert (found.standing, found.block) == (Standing.WON, 2)


@pytest.mark.parametrize("ratios", [(0.5, 0.5, 4.0), (0.5, 1.1, 1.1), (0.5, 10.0)])
def test_an_slo_broken_badly_or_mostly_is(ratios):
    candidate = arm("c", *[150] * len(ratios), slo=ratios)
    found = verdict(candidate, arm("p", 100, 100, 100), arm("d", 50, 50, 50))
    assert (found.standing, found.against) == (Standing.SLO_BROKEN, "p")


def test_where_the_baseline_breaks_it_too_figures_decide():
    breaking = [arm("p", 100, 100, slo=BROKEN), arm("d", 50, 50, slo=BROKEN)]
    assert verdict(arm("c", 150, 150, 150, slo=BROKEN), *breaking).standing is Standing.WON


def test_one_that_holds_what_baselines_break_need_not_serve_more():
    broken = [arm("p", 100, 100, 100, slo=BROKEN), arm("d", 50, 50, 50, slo=BROKEN)]
    assert verdict(arm("c", 101, 101, 101), *broken).standing is Standing.WON
    assert verdict(arm("c", 101, 99, 98, 99), *broken).standing is not Standing.WON


def test_holding_it_by_a_hair_is_not_holding_more():
    near = [arm("p", 100, 100, 100, 100, slo=(1.02, 0.97, 1.04, 1.01)), arm("d", 50, 50, slo=BROKEN)]
    found = verdict(arm("c", 101, 101, 101, 101, slo=(0.9, 0.98, 1.01, 0.97)), *near)
    assert found.standing is not Standing.WON


def test_the_error_is_spent_over_looks_and_candidates():
    ledger, spent = Ledger(), 0.0
    while not ledger.over:
        spent += sum(TERMS.chance(ledger.next_error, block) for block in (2, 3))
        ledger = verdict(arm("c", 130, 80), arm("p", 100, 100), arm("d", 50, 50), ledger=ledger).after
    assert 0.7 * ERROR < spent < ERROR


def test_later_repeats_of_a_baseline_do_not_change_what_was_decided():
    """The first candidate's contest is read again at each plan, with the repeats that it was decided by."""
    lost = arm("c", 130, 80)
    before = verdict(lost, arm("p", 100, 100), arm("d", 50, 50))
    after = verdict(lost, arm("p", 100, 100, 20, 20), arm("d", 50, 50, 1, 1))
    assert before == after
