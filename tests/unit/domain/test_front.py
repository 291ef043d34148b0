"""Why one point of the front was chosen and no other."""

from sloguard.domain.front import Point, choice, front_of

SLOS = ["TTFT p99", "ITL p99"]
FAST = Point("s-7-1", 97.0, (0.4, 0.5))
MOST = Point("s-3-1", 100.0, (0.8, 0.6))
SLOWER = Point("s-4-1", 99.0, (0.9, 0.7))


def test_a_dominated_point_is_not_on_it():
    assert front_of([FAST, SLOWER, MOST]) == [MOST, FAST]


def test_the_most_is_chosen_and_what_a_calmer_one_would_cost_is_said():
    assert choice(MOST, [MOST, FAST], SLOS) == (
        "the highest figure of 2 on the front, which is the objective while the SLOs hold; s-7-1 gives 3 % less but "
        "takes 40 % of the TTFT p99 limit instead of 80 %"
    )


def test_one_that_seemed_better_is_named():
    assert choice(FAST, [MOST, FAST], SLOS) == (
        "s-3-1 gave 3 % more in the search, which is within noise or was not shown by repeats"
    )


def test_where_nothing_is_calmer_there_is_nothing_to_trade():
    alike = Point("s-9-1", 96.0, (0.79, 0.6))
    assert "none of the others has noticeably more room" in choice(MOST, [MOST, alike], SLOS)
    assert "none of the others" in choice(MOST, [MOST], SLOS)
