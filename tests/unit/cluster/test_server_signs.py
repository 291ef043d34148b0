"""Signs of life read from the servers themselves: a hang is known of however seldom Prometheus scrapes."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sloguard.api.v1alpha1 import ServerFaultKind
from sloguard.cluster import server_signs
from sloguard.cluster.live_traffic import live_load
from sloguard.cluster.production_traffic import canary_load
from sloguard.cluster.server_signs import Readings, ServerSigns, Watched, metrics_url
from sloguard.cluster.sources import Sources
from sloguard.domain.increments import Series
from sloguard.engine.snapshot import LoadState
from sloguard.measure.prometheus import Prometheus
from tests.unit.cluster.objects import pod, study, trial
from tests.unit.cluster.test_execute import FakeApi
from tests.unit.cluster.test_live_traffic import LIVE, loading, service

KEY = ("prod", "s")
STANDSTILL_SECONDS = 1
READ_SECONDS = 0.1
TOKENS, RUNNING = Series("vllm:generation_tokens_total"), "vllm:num_requests_running"


@dataclass
class Engine:
    """Gives its /metrics; `steps` says whether it generates, `running` how many requests it has."""

    steps: bool = True
    running: int = 3
    asked: int = 0

    async def metrics(self, _: web.Request) -> web.Response:
        self.asked += 1
        tokens = self.asked if self.steps else 7
        return web.Response(text=f"vllm:generation_tokens_total {tokens}\n{RUNNING} {self.running}\npython_info 1\n")


@pytest.fixture
async def engine():
    return Engine()


@pytest.fixture
async def url(engine):
    app = web.Application()
    app.router.add_get("/metrics", engine.metrics)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
async def woken():
    return []


@pytest.fixture
async def signs(woken):
    async with ServerSigns(woken.append, READ_SECONDS) as made:
        yield made


def watched(url, uid="u"):
    return Watched(KEY, uid, url, STANDSTILL_SECONDS)


async def until(holds):
    for _ in range(400):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not within 8 s")


async def test_the_study_of_a_server_that_stands_still_is_woken(signs, url, engine, woken):
    engine.steps = False
    signs.follow(watched(url))
    await until(lambda: woken)
    assert woken[0] == KEY
    assert engine.asked >= STANDSTILL_SECONDS / READ_SECONDS / 2, "it stood still for that long"


@pytest.mark.parametrize(("steps", "running"), [(True, 3), (False, 0)], ids=["lives", "has nothing to do"])
async def test_nobody_is_woken_for_one_that(signs, url, engine, woken, steps, running):
    engine.steps, engine.running = steps, running
    signs.follow(watched(url))
    await until(lambda: engine.asked > 2.5 * STANDSTILL_SECONDS / READ_SECONDS)
    assert woken == []
    assert signs.timeline("u")


async def test_one_that_cannot_be_reached_says_nothing(signs, woken):
    signs.follow(watched("http://127.0.0.1:9"))
    await asyncio.sleep(3 * READ_SECONDS)
    assert signs.timeline("u") is None
    assert woken == []


async def test_readings_of_long_ago_say_nothing(signs, url, engine):
    signs.follow(watched(url))
    await until(lambda: engine.asked > 2)
    assert signs.timeline("u")
    signs._readings.get("u").last_at -= server_signs.STALE_SECONDS + 1
    assert signs.timeline("u") is None


async def test_a_pod_that_is_of_no_interest_any_more_is_left_alone(signs, url, engine):
    signs.follow(watched(url))
    signs.follow(watched(url, "other"))
    signs.keep(KEY, ["u", "other"])
    await until(lambda: engine.asked > 4)
    signs.keep(KEY, ["other"])
    assert signs.timeline("u") is None
    assert signs.timeline("other")
    signs.keep(KEY, [])
    await asyncio.sleep(2 * READ_SECONDS)
    asked = engine.asked
    await asyncio.sleep(5 * READ_SECONDS)
    assert engine.asked == asked


def test_what_is_kept_is_bounded():
    readings = Readings()
    for second in range(1000):
        readings.add({TOKENS: float(second)}, float(second), since=second - 45.0)
    assert len(readings.timeline[TOKENS]) == 46
    assert readings.timeline[TOKENS][-1] == (999.0, 999.0)


@pytest.mark.parametrize(
    ("address", "url"),
    [("10.2.3.4", "http://10.2.3.4:8000"), ("fd00::7", "http://[fd00::7]:8000"), ("", None), (None, None)],
)
def test_where_a_server_is_reached(address, url):
    assert metrics_url(pod(status={} if address is None else {"podIP": address}), 8000) == url


def listening(url):
    """A pod whose server is that one, and the arguments that say so."""
    host, port = url.removeprefix("http://").split(":")
    return pod({"running": {}}, status={"podIP": host}), [f"--port={port}"]


PATIENT = study(measurement="Prometheus", workload=LIVE, trial={"standstillSeconds": STANDSTILL_SECONDS})


async def seldom(_self, _selector, _since, until):
    """A Prometheus that scraped once, long ago, when there were requests."""
    at = until.timestamp() - 50
    return {TOKENS: [(at, 1.0)], Series(RUNNING): [(at, 5.0)]}


@pytest.fixture
def sources(signs, monkeypatch):
    monkeypatch.setattr(Prometheus, "samples", seldom)
    monkeypatch.setattr("sloguard.cluster.standstill.pod_selector", lambda *_: "")
    return Sources(Prometheus.__new__(Prometheus), signs=signs)


def with_arguments(one, arguments):
    return one.model_copy(update={"status": one.status.model_copy(update={"arguments": arguments})})


async def live(sources, url):
    server, arguments = listening(url)
    one = with_arguments(loading(70), arguments)
    return await live_load(FakeApi(s_live=service()), sources, "prod", PATIENT, one, server)


async def canary(sources, url):
    server, arguments = listening(url)
    began = loading(10).status
    one = with_arguments(trial(purpose="Canary").model_copy(update={"status": began}), arguments)
    return await canary_load(sources, "prod", PATIENT, one, server)


@pytest.mark.parametrize("load", [live, canary])
async def test_a_hang_ends_the_watch_long_before_prometheus_could_tell(load, sources, url, engine, woken):
    engine.steps = False
    assert (await load(sources, url)).state is LoadState.RUNNING, "it is followed from the first look on"
    await until(lambda: woken)
    told = await load(sources, url)
    assert told.state is LoadState.DONE
    assert told.result.fault.kind is ServerFaultKind.GENERATION_STALLED
    assert "requests are open and no token has been generated for" in told.result.fault.detail
    assert told.result.finished_at - told.result.fault.at >= timedelta(seconds=STANDSTILL_SECONDS)


@pytest.mark.parametrize("load", [live, canary])
async def test_the_servers_own_word_counts_where_prometheus_is_behind(load, sources, url, engine):
    """By what was scraped last, requests are open; they have ended since."""
    engine.steps, engine.running = False, 0
    await load(sources, url)
    await until(lambda: engine.asked > 2 * STANDSTILL_SECONDS / READ_SECONDS)
    assert (await load(sources, url)).state is LoadState.RUNNING
