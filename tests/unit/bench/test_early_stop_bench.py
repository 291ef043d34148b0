"""The bench of stopping early runs, and says what it must: more patience saves less and loses no more."""

from tests.bench.early_stop import judged, search, tables
from tests.bench.optimizers import land


def test_rules_are_judged_on_whole_searches():
    searches = [search(land(name), 0, 24) for name in ("tight", "benign")]
    eager, patient = (judged(searches, 0.5, in_a_row, 24) for in_a_row in (1, 8))
    assert eager.trials_saved >= patient.trials_saved
    assert judged(searches, 0.0, 2, 24).trials_saved == 0, "never without any doubt"
    assert judged(searches, 1.0, 1, 24).trials_saved > 0.4, "any promise is too little: it stops as soon as it may"
    printed = list(tables(searches, [24]))
    assert sum(line.startswith("| tight | 24 |") for line in printed) == 1
