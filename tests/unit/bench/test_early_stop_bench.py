"""The bench of stopping early runs, and says what it must: more patience saves less and loses no more."""

from tests.bench.early_stop import Offered, judged, search, served_table, tables
from tests.bench.optimizers import land


def test_rules_are_judged_on_whole_searches():
    searches = [search(land(name), 0, 24) for name in ("tight", "benign")]
    eager, patient = (judged(searches, 0.5, in_a_row, 24) for in_a_row in (1, 8))
    assert eager.trials_saved >= patient.trials_saved
    assert judged(searches, 0.0, 2, 24).trials_saved == 0, "never without any doubt"
    assert judged(searches, 1.0, 1, 24).trials_saved > 0.4, "any promise is too little: it stops as soon as it may"
    printed = list(tables(searches, [24]))
    assert sum(line.startswith("| tight | 24 |") for line in printed) == 1


def test_a_search_that_expects_little_a_minute_ends_the_sooner_the_more_is_asked():
    searches = [search(land("benign"), 0, 24)]
    asked, undemanding = (judged(searches, least, 1, 24, by_gain=True) for least in (1.0, 0.0))
    assert asked.trials_saved > 0.4
    assert undemanding.trials_saved == 0


def test_where_less_is_offered_all_of_it_is_served_sooner():
    lines = list(served_table(["tight"], 1, 20, offered=(0.6, 3.0)))
    little, too_much = (line.split("|") for line in lines[2:])
    assert float(little[4]) == 100
    assert float(little[5]) > 20
    assert float(too_much[4]) == 0


def test_no_more_is_measured_than_is_offered():
    where = Offered.of(land("benign"), 0.5)
    assert where.oracle == where.most
    assert all(where.measure(i, {}, i).objective <= where.most for i in range(5))
