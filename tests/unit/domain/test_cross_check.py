"""What the cross-check says of typical troubles, each made from one set of requests."""

from array import array
from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import SLO, DisagreementPart, Metric
from sloguard.domain.cross_check import compare
from sloguard.domain.disagreement import explain
from sloguard.domain.goodput import Ending, RequestRecord
from sloguard.domain.increments import between
from sloguard.domain.server_view import HISTOGRAMS, under_way, window_of
from tests.property.histogram_world import Page, measured

SLOS = [SLO(metric=Metric.TTFT, milliseconds=500), SLO(metric=Metric.TPOT, milliseconds=50)]


def a_record(ttft=200, gap=20, tokens=11):
    gaps = array("I", [gap * 1000] * (tokens - 1))
    return RequestRecord(0, 64, tokens, Ending.COMPLETED, ttft * 1000, ttft * 1000 + sum(gaps), gaps)


def served(records, *, earlier=()):
    """The server's page before and after it served these."""
    page = Page((("engine", "0"),))
    for record in [a_record(), *earlier]:
        page.begin(record)
        page.finish(record)
    before = page.samples()
    for record in records:
        page.begin(record)
        page.finish(record)
    return before, page.samples()


def held(client, before, after, slos=SLOS):
    return compare(measured(client, slos), window_of(between(before, after), under_way(before)), slos)


def parts(view):
    return [one.part for one in view.disagreements]


HUNDRED = [a_record(ttft=100 + number) for number in range(100)]


def late(record, *, first=0, gap=0):
    gaps = array("I", [value + gap * 1000 for value in record.gaps_microseconds])
    ttft = record.ttft_microseconds + first * 1000
    return replace(record, ttft_microseconds=ttft, gaps_microseconds=gaps, e2e_microseconds=ttft + sum(gaps))


def test_the_same_requests_agree():
    assert parts(held(HUNDRED, *served(HUNDRED))) == []


def test_usual_delays_agree():
    assert parts(held([late(one, first=20, gap=1) for one in HUNDRED], *served(HUNDRED))) == []


def test_time_before_the_server_is_a_queue():
    (one,) = held([late(one, first=400) for one in HUNDRED], *served(HUNDRED)).disagreements
    assert one.part is DisagreementPart.QUEUE
    assert one.metric is Metric.TTFT
    assert explain(one).startswith("Queue: TTFT p99 is 598.01 ms for the client, 100 to 250 ms for the server (time ")


def test_late_tokens_are_the_network():
    view = held([late(one, first=300, gap=100) for one in HUNDRED], *served(HUNDRED))
    assert parts(view) == [DisagreementPart.NETWORK, DisagreementPart.NETWORK]
    assert [one.metric for one in view.disagreements] == [Metric.TPOT, Metric.TTFT]


def test_streams_that_are_held_back_less_than_the_edges_of_tpot():
    """From 30 to 45 ms a token: the same bucket, but not the same sum."""
    server = [a_record(gap=30, tokens=101) for _ in range(20)]
    (one,) = held([late(record, gap=15) for record in server], *served(server)).disagreements
    assert (one.part, one.metric, one.percentile) == (DisagreementPart.NETWORK, Metric.ITL, None)
    assert explain(one).startswith("Network: mean ITL is 45 ms for the client, at most 30 ms for the server (tokens ")
    more = held([late(record, gap=15) for record in server], *served([*server, *server[:12]]))
    assert Metric.ITL not in {one.metric for one in more.disagreements}, "others' gaps may be among the server's"


def packed(record, size):
    """The same tokens at the same times, so many to a chunk."""
    gaps = record.gaps_microseconds
    return replace(record, gaps_microseconds=array("I", [sum(gaps[i : i + size]) for i in range(0, len(gaps), size)]))


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_tokens_packed_into_chunks_agree(size):
    server = [a_record(gap=20, tokens=101) for _ in range(20)]
    client = [packed(record, size) for record in server]
    slos = [*SLOS, SLO(metric=Metric.ITL, milliseconds=25)]
    assert parts(held(client, *served(server), slos)) == []


def test_a_client_faster_than_its_server():
    view = held([late(one, first=-95) for one in HUNDRED], *served(HUNDRED))
    assert parts(view) == [DisagreementPart.CLOCK]


def test_others_requests():
    view = held(HUNDRED, *served([*HUNDRED, *[a_record()] * 7]))
    assert parts(view) == [DisagreementPart.OTHER_TRAFFIC]
    assert "requests: client 100, server 107" in explain(view.disagreements[0])


def test_requests_that_failed_for_the_client_only_are_not_others():
    client = [*HUNDRED, *(replace(one, ending=Ending.CUT_OFF) for one in [a_record()] * 7)]
    assert parts(held(client, *served([*HUNDRED, *[a_record()] * 7]))) == []


def test_requests_that_were_spared_may_have_been_served():
    spared = [replace(one, ending=Ending.SPARED) for one in HUNDRED[:20]]
    assert parts(held([*HUNDRED[20:], *spared], *served(HUNDRED))) == []


def test_a_server_that_served_only_a_part():
    assert parts(held(HUNDRED, *served(HUNDRED[:40]))) == [DisagreementPart.MISSING]


def test_tokens_that_are_counted_otherwise():
    told = [replace(one, prompt_tokens=128) for one in HUNDRED]
    (one,) = held(told, *served(HUNDRED)).disagreements
    assert explain(one).startswith("Tokens: tokens: client 12800, server 6400 (")


def test_a_token_before_each_prompt_is_usual():
    assert parts(held([replace(one, prompt_tokens=63) for one in HUNDRED], *served(HUNDRED))) == []


def test_counters_that_began_anew_say_only_that():
    _, after = served(HUNDRED[:20])
    before, _ = served([], earlier=[a_record()] * 50)
    view = held(HUNDRED, before, after)
    assert parts(view) == [DisagreementPart.RESTART]
    assert view.requests == 21, "at the least"
    assert view.restarts == 1
    assert view.good_low is view.good_high is None
    assert view.slos == []


def test_good_requests_that_only_the_server_saw():
    """Latencies pass unnoticed within one bucket; on its edge they decide."""
    slos = [SLO(metric=Metric.E2E, percentile=50, milliseconds=300)]
    records = [a_record(ttft=99, gap=20, tokens=11) for _ in range(100)]
    view = held([late(one, first=10) for one in records], *served(records), slos)
    assert parts(view) == [DisagreementPart.GOOD_REQUESTS]
    assert "good requests: client 0, server 100" in explain(view.disagreements[0])


@pytest.mark.parametrize("drop", ["_bucket", "_sum", "everything"])
def test_what_the_server_does_not_tell_is_not_held_against_anybody(drop):
    before, after = (
        {series: value for series, value in page.items() if drop != "everything" and not series.name.endswith(drop)}
        for page in served(HUNDRED)
    )
    view = held(HUNDRED, before, after)
    assert view is None if drop != "_sum" else parts(view) == []


def test_a_family_that_is_missing_bounds_nothing():
    name = HISTOGRAMS[Metric.TTFT]
    before, after = ({s: v for s, v in page.items() if not s.name.startswith(name)} for page in served(HUNDRED))
    view = held(HUNDRED, before, after)
    assert (view.good_low, view.good_high) == (0, 100)
    assert [bounds.metric for bounds in view.slos] == [Metric.TPOT]


def test_buckets_that_make_no_sense_are_no_histogram():
    before, after = served(HUNDRED)
    torn = {s: 0.0 if s.edge == 1.0 else v for s, v in after.items()}
    before = {s: 0.0 if s.edge == 1.0 else v for s, v in before.items()}
    assert window_of(between(before, torn)).latencies(Metric.TTFT) is None
