"""The operator's own part: a trial's load is held against a real Prometheus before it counts."""

from datetime import timedelta

from sloguard.api.v1alpha1 import DisagreementPart, ServerSource, TrialPhase
from sloguard.cluster.cross_check import PATIENCE, cross_checked
from sloguard.engine.snapshot import Load, LoadState
from sloguard.measure.load import run_load
from sloguard.measure.prometheus import Prometheus, PrometheusSettings
from tests.prometheus.test_cross_check import COUNTED, SLOS, a_request, quiet
from tests.unit.engine.builders import T0, make_trial

LOADING = make_trial(0, phase=TrialPhase.LOADING, started_at=T0, ready_at=T0, load_started_at=T0)


def pod(name):
    return {"metadata": {"name": name, "namespace": "serving"}}


async def settled(prometheus, load, *, name="llama-a"):
    """As often as a reconcile would ask."""
    for _ in range(20):
        told = await cross_checked(prometheus, "serving", LOADING, pod(name), load, SLOS)
        if told.state is LoadState.DONE:
            return told
    raise AssertionError("never settled")


async def test_a_finished_load_waits_for_the_scrape_after_it(servers, scraping):
    await quiet()
    result = await run_load(a_request(servers[0], warmup_seconds=0, duration_seconds=1))
    async with Prometheus(PrometheusSettings(scraping.url)) as prometheus:
        told = await settled(prometheus, Load(LoadState.DONE, result))
    view = told.result.rates[0].server_view
    assert view.source is ServerSource.PROMETHEUS
    assert not COUNTED & {one.part for one in view.disagreements}
    direct = result.rates[0].server_view
    assert (view.good_low, view.good_high) == (direct.good_low, direct.good_high), "the narrower bounds are kept"


async def test_anothers_pod_does_not_pass_for_it(servers, scraping):
    await quiet()
    result = await run_load(a_request(servers[0], warmup_seconds=0, duration_seconds=1))
    await quiet()
    async with Prometheus(PrometheusSettings(scraping.url)) as prometheus:
        told = await settled(prometheus, Load(LoadState.DONE, result), name="llama-b")
    assert DisagreementPart.MISSING in {one.part for one in told.result.rates[0].server_view.disagreements}


async def test_without_prometheus_the_loads_own_readings_have_to_do(servers, scraping):
    result = await run_load(a_request(servers[0], warmup_seconds=0, duration_seconds=1))
    load = Load(LoadState.DONE, result)
    assert await cross_checked(None, "serving", LOADING, pod("llama-a"), load, SLOS) is load
    async with Prometheus(PrometheusSettings("http://127.0.0.1:9")) as gone:
        assert await cross_checked(gone, "serving", LOADING, pod("llama-a"), load, SLOS) is load
    async with Prometheus(PrometheusSettings(scraping.url)) as prometheus:
        assert await cross_checked(prometheus, "serving", LOADING, pod("nobody"), load, SLOS) is load
        assert await cross_checked(prometheus, "serving", LOADING, None, load, SLOS) is load


async def test_a_scrape_that_does_not_come_is_not_waited_for_for_ever(servers, scraping):
    result = await run_load(a_request(servers[0], warmup_seconds=0, duration_seconds=1))
    ahead = timedelta(hours=1)
    early = result.model_copy(update={"started_at": result.started_at, "finished_at": result.finished_at + ahead})
    rates = [rate.model_copy(update={"ended_milliseconds": 3_600_000}) for rate in result.rates]
    waiting = Load(LoadState.DONE, early.model_copy(update={"rates": rates}))
    late = Load(
        LoadState.DONE, result.model_copy(update={"finished_at": result.finished_at - PATIENCE, "rates": rates})
    )
    async with Prometheus(PrometheusSettings(scraping.url)) as prometheus:
        told = await cross_checked(prometheus, "serving", LOADING, pod("llama-a"), waiting, SLOS)
        assert told == Load(LoadState.RUNNING)
        assert await cross_checked(prometheus, "serving", LOADING, pod("llama-a"), late, SLOS) is late
