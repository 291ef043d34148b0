"""Loads on simulators that a real Prometheus scrapes: its figures and the client's have to agree."""

import asyncio
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from sloguard.api.v1alpha1 import (
    SLO,
    Arrival,
    DisagreementPart,
    LoadResult,
    Metric,
    ServerSource,
    TokenLengths,
    Workload,
)
from sloguard.domain.cross_check import compare
from sloguard.domain.timeline import NotCoveredError, bracketed
from sloguard.measure.load import run_load
from sloguard.measure.prometheus import Prometheus, PrometheusError, PrometheusSettings
from sloguard.measure.prometheus_check import checked
from sloguard.measure.request import LoadRequest
from tests.clusters import prometheus
from tests.clusters.debian_package import unpacked
from tests.prometheus.conftest import start, wait_ready

SLOS = [SLO(metric=metric, milliseconds=60_000) for metric in (Metric.TTFT, Metric.TPOT, Metric.E2E)]
COUNTED = {DisagreementPart.OTHER_TRAFFIC, DisagreementPart.MISSING, DisagreementPart.TOKENS, DisagreementPart.RESTART}


def a_request(server, **changes):
    fields = {
        "arrival": Arrival(requests_per_minute=1200),
        "prompt_tokens": TokenLengths(mean=40, stddev=20, min=1, max=100),
        "output_tokens": TokenLengths(mean=8, stddev=8, min=1, max=20),
        "warmup_seconds": 1,
        "duration_seconds": 3,
        "drain_seconds": 30,
    }
    return LoadRequest(url=server.url, workload=Workload(**fields | changes), slos=SLOS)


async def checked_later(client, selector, result, slos=SLOS):
    """As the operator does it: again while scrapes that bound the load may still come."""
    for _ in range(60):
        try:
            return await checked(client, selector, result, slos)
        except NotCoveredError as error:
            if not error.later:
                raise
        await asyncio.sleep(0.5)
    raise AssertionError("Prometheus never scraped after the load")


def bare(result: LoadResult):
    """As if the load itself could not read /metrics."""
    rates = [rate.model_copy(update={"server_view": None, "server": None}) for rate in result.rates]
    return result.model_copy(update={"rates": rates})


async def quiet():
    """So that a scrape lies between what went before and what comes now."""
    await asyncio.sleep(3.5)


async def test_client_and_prometheus_agree_on_two_rates_at_once_on_two_servers(servers, scraping):
    await quiet()
    results = await asyncio.gather(*(run_load(a_request(server, sweep_percent=[50, 100])) for server in servers))
    async with Prometheus(PrometheusSettings(scraping.url)) as client:
        for server, result in zip(servers, results, strict=True):
            told = await checked_later(client, server.selector, bare(result))
            for rate in told.rates:
                view = rate.server_view
                assert view.source is ServerSource.PROMETHEUS
                assert view.good_low <= rate.good <= view.good_high
                assert view.good_tokens_low <= rate.good_tokens <= view.good_tokens_high
                assert view.requests >= rate.completed == rate.sent > 0
                # On a busy machine the client may well be late; but everything is counted, and nobody else sends.
                assert not COUNTED & {one.part for one in view.disagreements}, view.disagreements


async def test_a_drained_load_between_two_scrapes_is_counted_exactly(servers, scraping):
    await quiet()
    result = await run_load(a_request(servers[0], warmup_seconds=0))
    await quiet()
    async with Prometheus(PrometheusSettings(scraping.url)) as client:
        (rate,) = (await checked_later(client, servers[0].selector, bare(result))).rates
        (other,) = (await checked_later(client, servers[1].selector, bare(result))).rates
    view = rate.server_view
    assert view.requests == rate.sent
    assert (view.prompt_tokens, view.output_tokens) == (rate.prompt_tokens, rate.output_tokens)
    assert other.server_view.requests == 0
    assert [one.part for one in other.server_view.disagreements] == [DisagreementPart.MISSING]


async def test_other_clients_traffic_is_seen_by_prometheus(servers, scraping):
    await quiet()
    result, _ = await asyncio.gather(
        run_load(a_request(servers[0], warmup_seconds=0)), run_load(a_request(servers[0], warmup_seconds=0))
    )
    await quiet()
    async with Prometheus(PrometheusSettings(scraping.url)) as client:
        (rate,) = (await checked_later(client, servers[0].selector, result)).rates
    assert DisagreementPart.OTHER_TRAFFIC in {one.part for one in rate.server_view.disagreements}


async def test_what_prometheus_has_not_scraped_is_not_made_up(servers, scraping):
    now = datetime.now(UTC)
    before = LoadResult(started_at=now - timedelta(minutes=4), finished_at=now - timedelta(minutes=3))
    result = await run_load(a_request(servers[0], warmup_seconds=0, duration_seconds=1))
    async with Prometheus(PrometheusSettings(scraping.url)) as client:
        with pytest.raises(NotCoveredError, match="from before") as raised:
            await checked(client, servers[0].selector, before.model_copy(update={"rates": result.rates}), SLOS)
        assert not raised.value.later
        with pytest.raises(NotCoveredError, match="no series"):
            await checked(client, 'pod="nobody"', result, SLOS)


async def test_a_server_that_began_anew_is_found_out_and_nothing_is_made_of_its_counters(tmp_path):
    server = start("llama-c")
    wait_ready(server)
    began = datetime.now(UTC)
    with prometheus.running(tmp_path, [server.target]) as scraping:
        prometheus.wait_until("the target is up", lambda: scraping.targets_up() == 1, 30)
        await run_load(a_request(server, warmup_seconds=0))
        await quiet()
        server.stop()
        again = start("llama-c", port=int(server.address.rpartition(":")[2]))
        wait_ready(again)
        try:
            result = await run_load(a_request(again, warmup_seconds=0, duration_seconds=1))
            await quiet()
            async with Prometheus(PrometheusSettings(scraping.url)) as client:
                timeline = await client.samples(again.selector, began - timedelta(minutes=1), datetime.now(UTC))
        finally:
            again.stop()
    first = min(points[0][0] for points in timeline.values())
    covered = bracketed(timeline, datetime.fromtimestamp(first + 1, UTC), result.finished_at)
    assert covered.window.restarted == 1
    seen = compare(result.rates[0], covered.window, SLOS)
    assert [one.part for one in seen.disagreements] == [DisagreementPart.RESTART]
    assert seen.good_low is None


async def test_prometheus_says_what_is_wrong_with_a_question(scraping):
    async with Prometheus(PrometheusSettings(scraping.url)) as client:
        with pytest.raises(PrometheusError, match=r"answered HTTP 400: .*parse error"):
            await client.instant("sum(", datetime.now(UTC))
        now = datetime.now(UTC)
        with pytest.raises(PrometheusError, match="a matrix where a vector was asked for"):
            await client.instant("up[5m]", now)
        assert set((await client.instant("up", now)).values()) == {1.0}
        steps = await client.range("up", now - timedelta(seconds=4), now, 2)
        assert {value for points in steps.values() for _, value in points} == {1.0}


async def test_another_address_is_told_in_a_sentence(servers):
    async with Prometheus(PrometheusSettings(servers[0].url)) as client:
        with pytest.raises(PrometheusError, match=r"answered HTTP 404: .*; is this Prometheus\?"):
            await client.instant("up", datetime.now(UTC))
    async with Prometheus(PrometheusSettings("http://127.0.0.1:9")) as client:
        with pytest.raises(PrometheusError, match=r"Prometheus at http://127\.0\.0\.1:9 gave no answer: "):
            await client.instant("up", datetime.now(UTC))


def test_debians_package_is_unpacked_and_runs():
    program = unpacked(prometheus.PACKAGE) / prometheus.PROGRAM
    told = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    assert "prometheus, version 2" in told.stdout + told.stderr
