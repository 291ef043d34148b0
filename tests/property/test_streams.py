"""However a server's steps are packed into chunks and delayed on their way, nobody says that ITL disagrees."""

from array import array
from dataclasses import replace
from itertools import pairwise
from random import Random

from sloguard.api.v1alpha1 import SLO, Metric
from sloguard.domain.cross_check import USUAL_DELAY_MICROSECONDS, compare
from sloguard.domain.goodput import Ending
from sloguard.domain.increments import between
from sloguard.domain.server_view import window_of
from tests.property.histogram_world import Page, a_request, measured

RUNS = 1_000
SLOS = [SLO(metric=Metric.ITL, milliseconds=25)]


def received(random, record, held_back=0):
    """As the client sees it: chunks of one step or several, each sent after its last step and never overtaking.

    Every chunk may be late by the usual delay of an answer; each after the first by `held_back` more.
    """
    at, sent = 0, [0]
    for gap in record.gaps_microseconds:
        at += gap
        if random.random() < 0.5:
            sent.append(at)
    if sent[-1] != at:
        sent.append(at)
    arrived, latest = [], 0
    for number, one in enumerate(sent):
        late = random.randrange(USUAL_DELAY_MICROSECONDS[Metric.E2E]) + (held_back if number else 0)
        latest = max(latest, one + late)
        arrived.append(latest)
    gaps = array("I", [later - earlier for earlier, later in pairwise(arrived)])
    ttft = record.ttft_microseconds + arrived[0]
    return replace(record, ttft_microseconds=ttft, gaps_microseconds=gaps, e2e_microseconds=ttft + sum(gaps))


def disagreeing(random, held_back=0):
    """Metrics in which a run's two sides are said to differ; some requests fail after the server began them."""
    page = Page((("engine", "0"),))
    before = page.samples()
    scale = random.choice([2_000, 20_000, 300_000])
    client = []
    for _ in range(random.randrange(1, 30)):
        record = a_request(random, scale)
        page.begin(record)
        if random.random() < 0.9:
            page.finish(record)
            client.append(received(random, record, held_back))
        else:
            client.append(replace(record, ending=Ending.CUT_OFF))
    seen = compare(measured(client, SLOS), window_of(between(before, page.samples())), SLOS)
    return {one.metric for one in seen.disagreements} if seen else set()


def test_packing_and_usual_delays_are_no_disagreement():
    for seed in range(RUNS):
        assert Metric.ITL not in disagreeing(Random(seed)), seed


def test_a_stream_that_is_held_back_is_found():
    found = [disagreeing(Random(seed), held_back=2_000_000) for seed in range(200)]
    assert sum(bool(metrics & {Metric.ITL, Metric.TPOT}) for metrics in found) > 150
