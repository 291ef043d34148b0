"""A measurement of live traffic, from histograms that are known to be of certain requests."""

import pytest

from sloguard.api.v1alpha1 import SLO, Metric, ServerSource
from sloguard.domain.increments import Series, between
from sloguard.domain.live import NotMeasuredError, live_measurement
from sloguard.domain.server_view import REQUESTS, under_way, window_of
from sloguard.domain.timeline import Covered
from tests.property.histogram_world import Page
from tests.unit.domain.test_cross_check import a_record

SLOS = [SLO(metric=Metric.TTFT, percentile=90, milliseconds=250)]
FAST, SLOW = a_record(ttft=100), a_record(ttft=300)
SECONDS = 20


def success(**reasons):
    return {Series(REQUESTS, (("finished_reason", reason),)): float(number) for reason, number in reasons.items()}


def watched(records, *, ends=None, unseen=(), seconds=SECONDS, open_after=0):
    """A window in which these requests ended; `ends` counts by reason, `unseen` were aborted before their end."""
    page = Page((("engine", "0"),))
    page.begin(FAST)
    page.finish(FAST)
    before = page.samples() | success(stop=1, abort=0)
    for record in records:
        page.begin(record)
        page.finish(record)
    for record in unseen:
        page.begin(record)
    after = page.samples() | success(**({"stop": 1 + len(records)} if ends is None else ends))
    grown = between(before, after)
    return Covered(window_of(grown, under_way(before)), grown, 0.0, float(seconds), 1, open_after=open_after)


def measured(*arguments, slos=SLOS, **more):
    return live_measurement(watched(*arguments, **more), slos, SECONDS)


def test_limits_on_edges_are_exact():
    told = measured([FAST] * 27 + [SLOW] * 3)
    assert (told.sent, told.completed, told.good, told.good_tokens) == (30, 30, 27, 27 * 11)
    assert told.violations.slow == 3
    assert told.requests_per_minute == 90
    assert told.goodput_tokens_per_second == 27 * 11 / 20
    (slo,) = told.slos
    assert (slo.met, slo.within, slo.of, slo.undecided) == (True, 27, 30, False)
    assert slo.measured_microseconds == 100_000, "the upper edge of its bucket"
    assert told.lower_bounds
    assert told.server_view.source is ServerSource.PROMETHEUS
    assert (told.server_view.good_low, told.server_view.good_high) == (27, 27)


def test_an_slo_that_is_surely_broken():
    (slo,) = measured([FAST] * 26 + [SLOW] * 4).slos
    assert (slo.met, slo.undecided, slo.within) == (False, False, 26)
    assert slo.measured_microseconds == 500_000, "the upper edge of its bucket"


def test_between_edges_the_lower_bound_counts_and_the_interval_is_kept():
    told = measured([FAST] * 20 + [SLOW] * 10, slos=[SLO(metric=Metric.TTFT, percentile=90, milliseconds=310)])
    (slo,) = told.slos
    assert (slo.within, slo.of) == (20, 30)
    assert told.good == told.server_view.good_low < told.server_view.good_high
    assert told.good_tokens == told.server_view.good_tokens_low < told.server_view.good_tokens_high
    assert (slo.met, slo.undecided) == (False, True)
    assert not told.slos_met


@pytest.mark.parametrize("among", [True, False])
def test_aborted_requests_have_failed_whether_histograms_hold_them_or_not(among):
    """27 fast requests, and 3 that were aborted after a first token in time."""
    records, unseen = ([FAST] * 30, []) if among else ([FAST] * 27, [FAST] * 3)
    told = measured(records, ends={"stop": 28, "abort": 3}, unseen=unseen)
    assert (told.sent, told.completed, told.violations.cut_off) == (30, 27, 3)
    assert told.good <= 27
    assert told.good_tokens <= 27 * 11
    assert told.sent == told.good + told.violations.total
    (slo,) = told.slos
    assert slo.of - slo.within >= 3, "each of them is over the limit"


def test_first_tokens_without_an_end_are_of_requests_that_vanished():
    """As vLLM 0.32 has it when a client goes away: it counts no end. What is under way may yet end."""
    told = measured([FAST] * 27, unseen=[FAST] * 4, open_after=1)
    assert (told.sent, told.completed, told.violations.cut_off) == (30, 27, 3)
    assert told.sent == told.good + told.violations.total
    (slo,) = told.slos
    assert (slo.within, slo.of, slo.met) == (28, 31, True)
    assert measured([FAST] * 27, unseen=[FAST] * 4, open_after=4).sent == 27
    none_ended = measured([], unseen=[FAST] * 40)
    assert (none_ended.sent, none_ended.violations.cut_off, none_ended.slos_met) == (40, 40, False)


def test_each_failed_request_counts_as_a_gap_that_is_too_long():
    slos = [SLO(metric=Metric.ITL, percentile=99, milliseconds=25)]
    (slo,) = measured([FAST] * 30, slos=slos).slos
    assert (slo.met, slo.of) == (True, 300)
    (slo,) = measured([FAST] * 27, slos=slos, ends={"stop": 28, "abort": 4}).slos
    assert (slo.met, slo.within, slo.of) == (False, 270, 274)


def test_too_little_traffic_is_nobodys_figure():
    with pytest.raises(NotMeasuredError, match=r"19 requests ended within 20 s and 0 were under way, .* from 20 or"):
        measured([FAST] * 19)
    assert measured([FAST] * 20).sent == 20


def test_requests_that_do_not_end_are_traffic():
    """A candidate that finishes little of what it has been sent is slow, and not without traffic."""
    told = measured([SLOW] * 2, open_after=40)
    assert (told.good, told.slos_met) == (0, False)
    none = measured([], open_after=40)
    assert (none.sent, none.good_tokens, none.slos_met) == (0, 0, False)


def test_what_cannot_be_measured_is_told():
    with pytest.raises(NotMeasuredError, match="scraped the pod over 9 of 20 s; let it scrape more often"):
        measured([FAST] * 30, seconds=9)
    with pytest.raises(NotMeasuredError, match="began anew"):
        measured([FAST] * 30, ends={"stop": 0})
    bare = watched([FAST] * 30)
    with pytest.raises(NotMeasuredError, match="no request histograms"):
        live_measurement(Covered(window_of(between({}, {})), bare.increments, 0.0, 20.0, 1), SLOS, SECONDS)
