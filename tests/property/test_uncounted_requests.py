"""Whatever a server does, every request is counted, once, and only an answer that was well counts as completed."""

import asyncio
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import SLO, Metric
from sloguard.domain.goodput import Ending, tally
from sloguard.measure import window as window_module
from sloguard.measure.client import CompletionClient, open_session
from sloguard.measure.fault import FaultWatch
from sloguard.measure.pulse import Pulse
from sloguard.measure.requests import PlannedRequest
from sloguard.measure.window import Patience, Window
from tests.property.misbehaving_server import MisbehavingServer, behaviours

WANTED = 4
BODY = b'{"prompt":[1],"max_tokens":4,"stream":true}'
LIMITS = [SLO(metric=Metric.TTFT, milliseconds=50), SLO(metric=Metric.TPOT, milliseconds=5)]


async def load(server, number, drain_seconds=0.6):
    """Requests a millisecond apart; limits are looked after more often than every second."""
    planned = [PlannedRequest(index / 1000, 1, WANTED, lambda: BODY) for index in range(number)]
    watch = FaultWatch()
    async with server, open_session() as session:
        client = CompletionClient(session, server.url)
        with patch.object(window_module, "LOOK_SECONDS", 0.05):
            patience = Patience(request_seconds=0.4, silence_seconds=0.2, drain_seconds=drain_seconds)
            window = Window(client, watch, Pulse(session, server.url, client, watch), patience)
            return await window.run(iter(planned)), watch


@settings(max_examples=40)
@given(
    st.lists(behaviours(WANTED), min_size=1, max_size=12),
    st.integers(1, 40),
    st.none() | st.integers(0, 20),
    st.sampled_from([0.1, 0.6]),
)
def test_sent_is_good_plus_violations_by_kind(drawn, number, killed_after, drain_seconds):
    server = MisbehavingServer(drawn, killed_after)
    records, watch = asyncio.run(load(server, number, drain_seconds))
    counted = tally(records, LIMITS)
    assert len(records) == counted.sent == number
    assert counted.sent == counted.good + sum(counted.violations.model_dump().values())
    assert counted.violations.slow == counted.completed - counted.good
    for ending in set(Ending) - {Ending.COMPLETED}:
        assert getattr(counted.violations, ending.value) == sum(record.ending is ending for record in records)
    assert counted.completed <= sum(times for behaviour, times in server.served.items() if behaviour.well)
    assert all(record.detail for record in records if record.ending not in {Ending.COMPLETED, Ending.UNFINISHED})
    assert watch.own_fault is None
    assert all(record.completed or not record.gaps_microseconds for record in records)


@settings(max_examples=20)
@given(st.lists(behaviours(WANTED), min_size=1, max_size=12), st.integers(1, 30))
def test_a_bad_answer_spoils_no_good_one(drawn, number):
    """Without a kill and a dead engine all that was well served completes, unless it is over its time."""
    server = MisbehavingServer(drawn)
    records, watch = asyncio.run(load(server, number))
    if watch.fault is not None:
        return
    well = sum(times for behaviour, times in server.served.items() if behaviour.well)
    late = {Ending.TIMED_OUT, Ending.STALLED, Ending.UNFINISHED}
    assert sum(record.completed or record.ending in late for record in records) >= well
