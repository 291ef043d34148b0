"""A real Prometheus in the cluster scrapes the trials' pods, and the operator holds every load against it."""

from __future__ import annotations

import json

import pytest

from tests.e2e import demo, scraping

STUDY = "held"
WORKLOAD = demo.SMALL_LOAD | {
    "arrival": {"pattern": "Poisson", "requestsPerMinute": 120},
    "sweepPercent": [50, 100],
    "warmupSeconds": 10,  # Prometheus takes up to five seconds to begin with a target that its discovery found
    "dispatchLagFloorMilliseconds": 1000,  # everything runs on one machine
}
LIVE = "watched"
LIVE_WORKLOAD = {"arrival": {"pattern": "Live"}, "warmupSeconds": 5, "durationSeconds": 20}
COUNTED = ("Restart", "OtherTraffic", "Missing", "Tokens")


# Sends to the study's Service all the time, as a gateway's mirror would; where it leads nowhere, nothing is lost.
MIRROR = f"""
import asyncio, json, aiohttp
URL = "http://{LIVE}-live:8000/v1/"
async def main():
    told = {{"answered": 0, "refused": 0}}
    tasks = set()
    while True:
        task = asyncio.create_task(one(told))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.sleep(0.25)
        print(json.dumps(told), flush=True)
async def one(told):
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            async with session.get(URL + "models") as answer:
                model = (await answer.json())["data"][0]["id"]
            body = {{"model": model, "prompt": [5] * 16, "max_tokens": 4, "ignore_eos": True}}
            async with session.post(URL + "completions", json=body) as answer:
                told["answered" if answer.status == 200 and await answer.text() else "refused"] += 1
    except (aiohttp.ClientError, TimeoutError):
        told["refused"] += 1
asyncio.run(main())
"""


@pytest.fixture(scope="module")
def scraped(operator, kind_cluster, module_namespace):
    """A namespace with production, and a Prometheus that the operator asks."""
    assert operator is kind_cluster
    demo.install_production(kind_cluster, module_namespace)
    with scraping.scraped(kind_cluster, module_namespace):
        yield module_namespace


def tuned(cluster, namespace: str, name: str, **spec: object) -> list[demo.Object]:
    """The trials of a short study, once it has ended."""
    short = {"budget": {"trials": 3, "gpuMinutes": 30, "wallClockMinutes": 30}}
    cluster.apply(demo.study(namespace, name, **short, **spec, promotion={"mode": "Off", "confirmations": 0}))
    cluster.wait_for("end of the study", lambda: demo.phase(cluster, namespace, name) == "Completed", 420)
    return [trial for trial in demo.trials(cluster, namespace) if trial["spec"]["study"] == name]


@pytest.fixture(scope="module")
def held(scraped, kind_cluster):
    """Each was under load while Prometheus scraped it."""
    return scraped, tuned(kind_cluster, scraped, STUDY, workload=WORKLOAD)


def measured(held) -> list[demo.Object]:
    return [trial for trial in held[1] if trial["status"]["outcome"] in {"Feasible", "Infeasible"}]


def test_every_rate_was_held_against_prometheus(held):
    assert len(measured(held)) >= 2
    for trial in measured(held):
        for rate in trial["status"]["measurements"]:
            view = rate["serverView"]
            assert view["source"] == "Prometheus", trial["metadata"]["name"]
            assert view["requests"] >= rate["completed"]
            # On a busy machine the client may well be late; but everything is counted, and nobody else sends.
            assert not {one["part"] for one in view.get("disagreements", [])} & set(COUNTED), view


def test_each_trial_says_whether_they_agree(held, kind_cluster):
    namespace, _ = held
    for trial in measured(held):
        (said,) = [one for one in trial["status"]["conditions"] if one["type"] == "MetricsDisagree"]
        apart = any(rate["serverView"].get("disagreements") for rate in trial["status"]["measurements"])
        assert said["status"] == str(apart)
        told = kind_cluster.kubectl("describe", "slotrial", trial["metadata"]["name"], "-n", namespace)
        assert "MetricsDisagree" in told


def test_trials_are_measured_by_the_traffic_that_their_service_leads_to_them(scraped, kind_cluster):
    cluster = kind_cluster
    cluster.create(demo.pod(scraped, "mirror", ["python3", "-c", MIRROR]))
    trials = tuned(cluster, scraped, LIVE, measurement="Prometheus", workload=LIVE_WORKLOAD)
    told = json.loads(cluster.kubectl("logs", "mirror", "-n", scraped, "--tail=1"))
    rates = [rate for trial in trials for rate in trial["status"].get("measurements", [])]
    assert len(rates) >= 2, [trial["status"]["message"] for trial in trials]
    for rate in rates:
        assert rate["lowerBounds"]
        assert rate["serverView"]["source"] == "Prometheus"
        assert rate["sent"] >= 20, "four a second, for as long as it was scraped"
        assert rate["outputTokens"] == 4 * rate["sent"]
        assert rate["promptTokens"] == 16 * rate["sent"]
    assert sum(rate["sent"] for rate in rates) <= told["answered"], "nobody else sent anything"
    jobs = cluster.get("jobs", "", scraped)["items"]
    assert not [job for job in jobs if job["metadata"]["labels"]["sloguard.dev/study"] == LIVE]
    (ended,) = [one["spec"]["selector"] for one in cluster.get("services", "", scraped)["items"] if _is_live(one)]
    assert ended["sloguard.dev/study"] == LIVE


CANARY = "tried"
APPROVED = f"{CANARY}-1-1"
BY_CANARY = {
    "mode": "Manual",
    "confirmations": 0,
    "strategy": "Canary",
    "canary": {"warmupSeconds": 5, "durationSeconds": 40},
    "verification": {"durationSeconds": 30},
}


def test_a_canary_in_productions_traffic_decides_and_no_request_is_lost(scraped, kind_cluster):
    """A person approves vLLM's defaults; what they are like is seen in one more pod before production is changed."""
    cluster = kind_cluster
    demo.start_traffic(cluster, scraped, every_seconds=0.2)
    short = {"budget": {"trials": 3, "gpuMinutes": 30, "wallClockMinutes": 30}, "workload": demo.SMALL_LOAD}
    cluster.apply(demo.study(scraped, CANARY, **short, promotion=BY_CANARY))
    cluster.wait_for("end of the search", lambda: demo.phase(cluster, scraped, CANARY) in ENDED, 420)
    approved = {"spec": {"promotion": {"approvedTrial": APPROVED}}}
    cluster.kubectl("patch", "slostudy", CANARY, "-n", scraped, "--type=merge", "-p", json.dumps(approved))
    cluster.wait_for("the canary's share", lambda: promotion(cluster, scraped)["state"] == "Analysing", 120)
    before = cluster.get("deployment", demo.PRODUCTION, scraped)
    assert before["metadata"]["generation"] == 1, "production is not touched before the canary has passed"
    assert len(ready_addresses(cluster, scraped)) == 2
    cluster.wait_for("the promotion's end", lambda: promotion(cluster, scraped)["state"] in DONE, 300)
    assert promotion(cluster, scraped)["state"] == "Promoted", promotion(cluster, scraped)
    (canary,) = (t for t in demo.trials(cluster, scraped) if t["spec"]["purpose"] == "Canary")
    assert canary["status"]["outcome"] == "Feasible"
    (seen,) = canary["status"]["measurements"]
    assert seen["sent"] >= 20
    assert promotion(cluster, scraped)["before"]["requests"] >= 20
    assert promotion(cluster, scraped)["since"]["requests"] >= 20
    left = [d["metadata"]["name"] for d in cluster.get("deployments", "", scraped)["items"]]
    assert left == [demo.PRODUCTION]
    assert demo.traffic(cluster, scraped)["failed"] == 0, demo.traffic(cluster, scraped)


ENDED = {"AwaitingApproval", "Completed"}
DONE = {"Promoted", "RolledBack", "Halted"}


def promotion(cluster, namespace: str) -> demo.Object:
    status = cluster.get("slostudy", CANARY, namespace)["status"]
    return status.get("promotion") or {"state": ""}


def ready_addresses(cluster, namespace: str) -> list[str]:
    """Where production's Service leads."""
    slices = cluster.get("endpointslices", "", namespace, "-l", f"kubernetes.io/service-name={demo.PRODUCTION}")
    ends = [end for one in slices["items"] for end in one["endpoints"] or [] if end["conditions"].get("ready")]
    return [address for end in ends for address in end["addresses"]]


def _is_live(service: demo.Object) -> bool:
    return service["metadata"]["name"] == f"{LIVE}-live"
