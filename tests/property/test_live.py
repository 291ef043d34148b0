"""What is said of live traffic holds, whatever the requests were that the histograms were made of."""

from sloguard.domain.goodput import tally
from sloguard.domain.increments import between
from sloguard.domain.live import NotMeasuredError, live_measurement
from sloguard.domain.timeline import Covered
from tests.property.histogram_world import a_case
from tests.property.test_server_view import values_of

RUNS = 2_000


def measured(case):
    """As if Prometheus had scraped at the case's two ends, ten seconds apart; None where there was too little."""
    covered = Covered(case.window, between(case.before, case.after), 0.0, 10.0, 1, open_after=20)
    try:
        return live_measurement(covered, case.slos, 10)
    except NotMeasuredError:
        return None


def test_no_figure_is_more_than_the_requests_deserve():
    seen = 0
    for seed in range(RUNS):
        case = a_case(seed)
        told = measured(case)
        if told is None:
            continue
        truth = tally(case.finished, case.slos)
        assert told.sent == told.completed == truth.sent, seed
        assert told.good <= truth.good <= told.server_view.good_high, seed
        assert told.good_tokens <= truth.good_tokens <= told.server_view.good_tokens_high, seed
        assert told.sent == told.good + told.violations.total, seed
        seen += told.good > 0
    assert seen > RUNS / 4, "figures that are always 0 would say nothing"


def test_an_slo_is_met_or_broken_only_where_it_is():
    verdicts = set()
    for seed in range(RUNS):
        case = a_case(seed, failures=False, others=False)
        told = measured(case)
        if told is None:
            continue
        for held in told.slos:
            values = values_of(case.records, held.metric)
            within = sum(value <= held.limit_milliseconds * 1000 for value in values)
            exact = bool(values) and 100 * within >= held.percentile * len(values)
            assert held.of == len(values), seed
            assert held.within <= within, seed
            if not held.undecided:
                assert held.met == exact, seed
            if held.met:
                assert held.measured_microseconds <= held.limit_milliseconds * 1000, seed
            verdicts.add((held.met, held.undecided))
    assert verdicts == {(True, False), (False, False), (False, True)}
