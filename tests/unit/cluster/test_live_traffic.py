"""When live traffic is led to a trial, watched, and read."""

from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sloguard.api.v1alpha1 import ServerFaultKind
from sloguard.cluster import render
from sloguard.cluster.execute import Settings, execute
from sloguard.cluster.live_traffic import PATIENCE, live_load, missing_prometheus
from sloguard.cluster.sources import Sources
from sloguard.engine.actions import StartLoad, StartServer, StopTrial
from sloguard.engine.snapshot import Load, LoadState
from sloguard.measure.prometheus import Prometheus, PrometheusSettings
from tests.unit.cluster.objects import STUDY, VLLM, deployment, pod, study, trial
from tests.unit.cluster.test_execute import FakeApi, gathered, planned

ARGUMENTS = tuple(VLLM["args"])
LIVE = {"arrival": {"pattern": "Live"}, "warmupSeconds": 20, "durationSeconds": 60}
LIVE |= {"promptTokens": None, "outputTokens": None}
WATCHED = study(measurement="Prometheus", workload=LIVE)


def loading(seconds_ago):
    began = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    status = {"phase": "Loading", "startedAt": began, "readyAt": began, "loadStartedAt": began}
    return trial(status=status | {"arguments": list(ARGUMENTS)})


def service(to=None, **metadata):
    made = render.live_service(WATCHED, to or trial(), deployment(), "vllm", ARGUMENTS)
    return made | {"metadata": made["metadata"] | metadata}


def test_the_service_leads_to_one_trials_server_and_belongs_to_the_study():
    made = service()
    assert made["metadata"]["name"] == "s-live"
    assert [owner["uid"] for owner in made["metadata"]["ownerReferences"]] == ["study-uid"]
    server = render.deployment(trial(), deployment(), "vllm", ARGUMENTS)
    own = server["spec"]["template"]["metadata"]["labels"]
    assert made["spec"]["selector"].items() <= own.items()
    other = render.deployment(trial(3), deployment(), "vllm", ARGUMENTS)["spec"]["template"]["metadata"]["labels"]
    assert not made["spec"]["selector"].items() <= other.items()
    assert not made["spec"]["selector"].items() <= deployment()["spec"]["template"]["metadata"]["labels"].items()
    assert made["spec"]["ports"][0]["port"] == 8000
    assert "publishNotReadyAddresses" not in made["spec"]


async def seen(seconds_ago, there, *, server=None):
    api = FakeApi(**({} if there is None else {"s_live": there}))
    async with Prometheus(PrometheusSettings("http://127.0.0.1:9")) as gone:
        return await live_load(api, Sources(gone), "prod", WATCHED, loading(seconds_ago), server or pod())


@pytest.mark.parametrize(
    "there",
    [None, service(trial(3)), service(ownerReferences=[{"uid": "another"}])],
    ids=["gone", "another trial's", "another study's"],
)
async def test_traffic_that_goes_elsewhere_has_to_be_led_here(there):
    assert await seen(200, there) == Load()


async def test_a_window_is_left_alone_until_it_is_over():
    assert (await seen(79, service())).state is LoadState.RUNNING
    assert (await seen(81, service())).state is LoadState.RUNNING, "a scrape may still be on its way"


@pytest.fixture
async def scraped():
    """Has samples of one server, every ten seconds until now: what was asked for, by name."""
    values = {}

    async def reply(_):
        now = datetime.now(UTC).timestamp()
        found = [
            {"metric": {"__name__": name}, "values": [[now - 10 * (len(of) - n), str(v)] for n, v in enumerate(of, 1)]}
            for name, of in values.items()
        ]
        return web.json_response({"status": "success", "data": {"resultType": "matrix", "result": found}})

    app = web.Application()
    app.router.add_post("/{path:.*}", reply)
    async with TestServer(app) as server, Prometheus(PrometheusSettings(str(server.make_url("/")))) as prometheus:
        yield prometheus, values


@pytest.mark.parametrize(
    ("tokens", "running", "state"),
    [
        ([5, 9, 9, 9, 9], [3, 3, 3, 3, 3], LoadState.DONE),
        ([5, 6, 7, 8, 9], [3, 3, 3, 3, 3], LoadState.RUNNING),
        ([5, 9, 9, 9, 9], [3, 1, 0, 0, 0], LoadState.RUNNING),
    ],
    ids=["stands still", "lives", "has nothing to do"],
)
async def test_a_standstill_ends_the_watch(scraped, tokens, running, state):
    prometheus, values = scraped
    values |= {"vllm:generation_tokens_total": tokens, "vllm:num_requests_running": running}
    told = await live_load(FakeApi(s_live=service()), Sources(prometheus), "prod", WATCHED, loading(70), pod())
    assert told.state is state
    if state is LoadState.DONE:
        assert told.result.fault.kind is ServerFaultKind.GENERATION_STALLED
        assert told.result.fault.at < datetime.now(UTC) - timedelta(seconds=25)


@pytest.mark.parametrize(("limit", "quiet", "state"), [(60, 4, LoadState.RUNNING), (15, 3, LoadState.DONE)])
async def test_how_long_it_may_stand_still_is_the_studys_to_say(scraped, limit, quiet, state):
    patient = study(measurement="Prometheus", workload=LIVE, trial={"standstillSeconds": limit})
    prometheus, values = scraped
    values |= {
        "vllm:generation_tokens_total": [5, *range(6, 10), *[10] * quiet],
        "vllm:num_requests_running": [3] * (5 + quiet),
    }
    told = await live_load(FakeApi(s_live=service()), Sources(prometheus), "prod", patient, loading(70), pod())
    assert told.state is state


async def test_a_limit_that_is_longer_than_a_look_back_is_looked_back_for(monkeypatch):
    asked = []

    async def samples(_self, _selector, since, until):
        asked.append((until - since).total_seconds())
        return {}

    monkeypatch.setattr(Prometheus, "samples", samples)
    patient = study(
        measurement="Prometheus",
        workload=LIVE | {"durationSeconds": 3000},
        trial={"standstillSeconds": 600},
        budget={"gpuMinutes": 1000},
    )
    async with Prometheus(PrometheusSettings("http://127.0.0.1:9")) as prometheus:
        await live_load(FakeApi(s_live=service()), Sources(prometheus), "prod", patient, loading(1500), pod())
    assert asked[0] > 600


async def test_prometheus_is_asked_for_a_while_and_then_named():
    assert (await seen(90, service())).state is LoadState.RUNNING
    told = await seen(80 + PATIENCE.total_seconds() + 1, service())
    assert told.state is LoadState.FAILED
    assert told.detail.startswith("Prometheus at http://127.0.0.1:9 gave no answer")


async def test_only_a_trial_under_load_is_watched():
    assert await live_load(FakeApi(s_live=service()), Sources(), "prod", WATCHED, trial(), pod()) == Load()


async def test_the_study_stalls_without_a_prometheus():
    assert missing_prometheus(WATCHED, None).reason == "NoPrometheus"
    assert missing_prometheus(study(), None) is None
    async with Prometheus(PrometheusSettings("http://127.0.0.1:9")) as there:
        assert missing_prometheus(WATCHED, there) is None


def of_watched(*actions):
    found = gathered()
    snapshot = type(found.snapshot)(WATCHED, (), found.snapshot.target)
    return type(found)(snapshot, STUDY, {}, found.production, {}), planned(*actions)


async def test_what_is_asked_of_the_cluster():
    """The Service comes with the first server, follows the trials, and stays when one is stopped."""
    api = FakeApi()
    await execute(api, Settings("image"), *of_watched(StartServer(trial(), ARGUMENTS)))
    assert [(verb, plural, body["metadata"]["name"]) for verb, plural, body in api.asked] == [
        ("create", "services", "s-2-1"),
        ("create", "services", "s-live"),
        ("create", "deployments", "s-2-1"),
    ]
    api = FakeApi(s_live=service(trial(3), uid="seen"))
    await execute(api, Settings("image"), *of_watched(StartLoad(loading(0))))
    (_, _, _), (verb, plural, body) = api.asked
    assert (verb, plural) == ("apply", "services")
    assert body["spec"]["selector"]["sloguard.dev/trial"] == "s-2-1"
    assert body["metadata"]["uid"] == "seen", "of the object that was looked at"
    api = FakeApi()
    await execute(api, Settings("image"), *of_watched(StopTrial(trial())))
    assert "s-live" not in {name for _, _, name in api.asked}
