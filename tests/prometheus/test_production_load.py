"""Pattern FromProduction: rate and lengths of two production pods, one of which restarts, from a real Prometheus."""

import asyncio

from sloguard.api.v1alpha1 import ArrivalPattern, LengthDistribution
from sloguard.cluster.production_load import with_production_load
from sloguard.measure.load import run_load
from sloguard.measure.prometheus import Prometheus, PrometheusSettings
from tests.clusters import prometheus
from tests.prometheus.conftest import start, wait_ready
from tests.prometheus.test_cross_check import a_request
from tests.unit.engine.builders import make_study

LENGTHS = {"distribution": "Uniform", "min": 1, "max": 64}


def a_study():
    workload = {"arrival": {"pattern": "FromProduction", "productionMinutes": 5}, "warmupSeconds": 0}
    workload |= {"durationSeconds": 10, "drainSeconds": 5, "promptTokens": LENGTHS, "outputTokens": LENGTHS}
    study = make_study()
    spec = study.spec.model_dump(by_alias=True, exclude_none=True) | {"workload": workload}
    return type(study)(metadata=study.metadata, spec=spec)


async def test_trials_are_loaded_as_production_is(tmp_path):
    pods = [start(f"llama-7d9f8c6b5-abcd{end}") for end in "12"]
    other = start("llama-2-7d9f8c6b5-abcd1")
    for one in (*pods, other):
        wait_ready(one)
    try:
        with prometheus.running(tmp_path, [one.target for one in (*pods, other)]) as scraping:
            prometheus.wait_until("the targets are up", lambda: scraping.targets_up() == 3, 30)
            await asyncio.sleep(7)  # longer than a step of five seconds
            results = await asyncio.gather(*(run_load(a_request(one, warmup_seconds=0)) for one in (*pods, other)))
            await asyncio.sleep(8)
            pods[1].stop()
            pods[1] = start(pods[1].pod, port=int(pods[1].address.rpartition(":")[2]))
            wait_ready(pods[1])
            results.append(await run_load(a_request(pods[1], warmup_seconds=0, duration_seconds=5)))
            await asyncio.sleep(8)
            async with Prometheus(PrometheusSettings(scraping.url)) as client:
                loaded = await with_production_load(client, "serving", a_study())
                again = await with_production_load(None, "serving", loaded.study)
    finally:
        for one in (*pods, other):
            one.stop()
    assert loaded.problem is None
    assert loaded.derived
    seen = loaded.study.status.production_workload
    sent = sum(result.rates[0].sent for result in (results[0], results[1], results[3]))
    assert sum(one.requests for one in seen.prompt_tokens) == sent, "of its own pods, restarts included, and no others"
    assert sum(one.requests for one in seen.output_tokens) == sent
    assert all(one.max <= 200 for one in seen.prompt_tokens)
    workload = loaded.study.spec.workload
    assert workload.arrival.pattern is ArrivalPattern.POISSON
    assert workload.arrival.requests_per_minute == seen.requests_per_minute
    assert seen.requests_per_minute == round(sent * 60 / (seen.until - seen.since).total_seconds())
    assert workload.prompt_tokens.distribution is LengthDistribution.EMPIRICAL
    assert workload.prompt_tokens.longest <= 64
    assert again.study == loaded.study.model_copy(update={"spec": loaded.study.spec}), "taken once, for every trial"


async def test_without_prometheus_the_study_stalls():
    loaded = await with_production_load(None, "serving", a_study())
    assert loaded.problem.reason == "NoPrometheus"
    assert "SLOGUARD_PROMETHEUS_URL" in loaded.problem.message
    async with Prometheus(PrometheusSettings("http://127.0.0.1:9")) as gone:
        loaded = await with_production_load(gone, "serving", a_study())
    assert loaded.problem.reason == "ProductionLoadUnknown"
