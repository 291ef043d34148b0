"""Live traffic of a server, watched over a window through a real Prometheus."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from sloguard.api.v1alpha1 import SLO, Metric, ServerFaultKind
from sloguard.domain.activity import activity_of
from sloguard.domain.timeline import NotCoveredError
from sloguard.measure.live import watched
from sloguard.measure.load import run_load
from sloguard.measure.prometheus import Prometheus, PrometheusSettings
from tests.clusters import prometheus
from tests.prometheus.conftest import start, wait_ready
from tests.prometheus.test_cross_check import a_request, quiet

SLOS = [SLO(metric=Metric.TTFT, percentile=95, milliseconds=80_000)]


async def test_what_ended_within_the_window_is_measured_and_nothing_else(servers, scraping):
    await run_load(a_request(servers[0], warmup_seconds=0, duration_seconds=1))
    await quiet()
    begins = datetime.now(UTC)
    await quiet()
    ours, others = await asyncio.gather(*(run_load(a_request(one, warmup_seconds=0)) for one in servers))
    await quiet()
    ends = datetime.now(UTC)
    await asyncio.sleep(2)
    async with Prometheus(PrometheusSettings(scraping.url)) as client:
        told = await watched(client, servers[0].selector, begins, ends, SLOS)
        with pytest.raises(NotCoveredError, match="no series"):
            await watched(client, 'pod="nobody"', begins, ends, SLOS)
        before = await watched(client, servers[0].selector, begins - timedelta(seconds=60), begins, SLOS)
        after = await watched(client, servers[1].selector, begins, begins + timedelta(seconds=3), SLOS)
    assert told.invalid is told.fault is None
    (measured,), (sent,) = told.rates, ours.rates
    assert (measured.sent, measured.output_tokens, measured.prompt_tokens) == (
        sent.sent,
        sent.output_tokens,
        sent.prompt_tokens,
    )
    assert (measured.good, measured.good_tokens) == (sent.good, sent.good_tokens), "the limit is far off, on an edge"
    assert measured.slos_met
    assert measured.server.generation_tokens == sent.output_tokens
    assert others.rates[0].sent > 0
    assert "let it scrape more often" in before.invalid, "nothing is made up of the time before the first scrape"
    assert "0 requests ended" in after.invalid


async def test_a_server_that_hangs_is_found_out(tmp_path):
    server = start("llama-d", "--fault", "hang@1.5")
    wait_ready(server)
    try:
        with prometheus.running(tmp_path, [server.target]) as scraping:
            prometheus.wait_until("the target is up", lambda: scraping.targets_up() == 1, 30)
            begins = datetime.now(UTC)
            await quiet()
            load = asyncio.create_task(run_load(a_request(server, warmup_seconds=0, duration_seconds=10)))
            await asyncio.sleep(14)
            async with Prometheus(PrometheusSettings(scraping.url)) as client:
                ends = datetime.now(UTC)
                told = await watched(client, server.selector, begins, ends, SLOS, 5)
                activity = activity_of(await client.samples(server.selector, begins, ends), ends.timestamp())
    finally:
        server.stop()
    await load
    assert told.fault.kind is ServerFaultKind.GENERATION_STALLED
    assert begins < told.fault.at < told.finished_at - timedelta(seconds=5)
    assert "no token has been generated for" in told.fault.detail
    assert activity is not None
    assert activity.requests_running > 0
    assert activity.still_seconds >= 5
