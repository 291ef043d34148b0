"""What the end-to-end tests put into a cluster: the example's production and study, traffic, and a measurement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from sloguard.measure.encode import decode
from tests.clusters import image

if TYPE_CHECKING:
    from tests.clusters.handle import Cluster

Object = dict[str, Any]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/kind"
PRODUCTION = "llama-8b"

# Little enough that several servers and loads fit on one machine.
SMALL_LOAD: Object = {
    "arrival": {"pattern": "Poisson", "requestsPerMinute": 60},
    "promptTokens": {"mean": 200, "stddev": 50, "min": 64, "max": 400},
    "outputTokens": {"mean": 16, "stddev": 4, "min": 4, "max": 32},
    "warmupSeconds": 1,
    "durationSeconds": 8,
    "drainSeconds": 15,
    "dispatchLagFloorMilliseconds": 500,
}

# A short request every second or so, each on a connection of its own, as clients behind a load balancer have it.
TRAFFIC = """
import asyncio, json, time, aiohttp
async def main():
    told = {"sent": 0, "failed": 0, "slowest_seconds": 0.0, "errors": []}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        async with session.get("http://llama-8b:8000/v1/models") as answer:
            model = (await answer.json())["data"][0]["id"]
        tasks = set()
        while True:
            task = asyncio.create_task(one(session, model, told))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(EVERY_SECONDS)
            print(json.dumps(told), flush=True)
async def one(session, model, told):
    body = {"model": model, "prompt": [5] * 16, "max_tokens": 4, "ignore_eos": True}
    told["sent"] += 1
    begun = time.monotonic()
    try:
        async with session.post("http://llama-8b:8000/v1/completions", json=body,
                                timeout=aiohttp.ClientTimeout(total=60)) as answer:
            text = await answer.text()
            if answer.status != 200:
                raise RuntimeError(f"{answer.status} {text[:200]}")
    except Exception as error:
        told["failed"] += 1
        told["errors"] = (told["errors"] + [f"{time.time():.1f} {error!r}"])[:5]
    told["slowest_seconds"] = max(told["slowest_seconds"], round(time.monotonic() - begun, 2))
asyncio.run(main())
"""


def production(namespace: str, *, image_name: str = image.NAME) -> list[Object]:
    """The example's Deployment, Service and PodDisruptionBudget in a namespace of the test's own."""
    objects = [o for o in yaml.safe_load_all((EXAMPLE / "production.yaml").read_text()) if o["kind"] != "Namespace"]
    for one in objects:
        one["metadata"]["namespace"] = namespace
        if one["kind"] == "Deployment":
            one["spec"]["template"]["spec"]["containers"][0]["image"] = image_name
    return objects


def study(namespace: str, name: str, **changes: object) -> Object:
    """The example's study; `changes` replace whole sections of its spec.

    A promotion of a test's own has no soak unless it asks for one: the example's is soaked, and minutes are dear.
    """
    one = yaml.safe_load((EXAMPLE / "study.yaml").read_text())
    one["metadata"] = {"name": name, "namespace": namespace}
    one["spec"] |= changes
    if "promotion" in changes:
        one["spec"]["promotion"] = {"soakSeconds": 0} | one["spec"]["promotion"]
    return one


def install_production(cluster: Cluster, namespace: str, *, image_name: str = image.NAME) -> None:
    served = production(namespace, image_name=image_name)
    name = next(o["metadata"]["name"] for o in served if o["kind"] == "Deployment")
    cluster.apply(*served)
    cluster.kubectl("rollout", "status", f"deployment/{name}", "-n", namespace, "--timeout=90s", timeout_seconds=100)


def pod(namespace: str, name: str, command: list[str], **container: object) -> Object:
    program = {"name": "main", "image": image.NAME, "imagePullPolicy": "IfNotPresent", "command": command} | container
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [program]},
    }


def start_traffic(cluster: Cluster, namespace: str, *, every_seconds: float = 1) -> None:
    program = f"EVERY_SECONDS = {every_seconds}\n{TRAFFIC}"
    cluster.create(pod(namespace, "traffic", ["python3", "-c", program]))
    cluster.wait_for("traffic", lambda: traffic(cluster, namespace)["sent"] > 2, 60)
    assert traffic(cluster, namespace)["failed"] == 0, traffic(cluster, namespace)


def traffic(cluster: Cluster, namespace: str) -> Object:
    """What the traffic has seen until now."""
    return json.loads(cluster.kubectl("logs", "traffic", "-n", namespace, "--tail=1"))


def measure(cluster: Cluster, namespace: str, name: str) -> Object:
    """Production's own goodput through its Service, under the study's load: {rates: [...]}, as a trial has it."""
    spec = study(namespace, "any")["spec"]
    workload = {k: v for k, v in spec["workload"].items() if k != "sweepPercent"}
    request = {"url": f"http://{PRODUCTION}:8000", "workload": workload, "slos": spec["slos"]}
    environment = [{"name": "SLOGUARD_LOAD_REQUEST", "value": json.dumps(request)}]
    command = ["sloguard", "load", "--output", "/dev/termination-log"]
    cluster.create(pod(namespace, name, command, env=environment))
    cluster.wait_for(f"measurement {name}", lambda: _message(cluster, namespace, name), 120)
    return result(cluster, namespace, name)


def result(cluster: Cluster, namespace: str, name: str) -> Object:
    """What a load's pod left behind, which may be packed."""
    return decode(_message(cluster, namespace, name)).model_dump(mode="json", by_alias=True)


def _message(cluster: Cluster, namespace: str, name: str) -> str:
    statuses = cluster.get("pod", name, namespace)["status"].get("containerStatuses") or [{}]
    return statuses[0].get("state", {}).get("terminated", {}).get("message", "")


def trials(cluster: Cluster, namespace: str) -> list[Object]:
    found = cluster.get("slotrials", "", namespace)["items"]
    return sorted(found, key=lambda t: (t["spec"]["number"], t["spec"]["attempt"]))


def phase(cluster: Cluster, namespace: str, name: str) -> str:
    return cluster.get("slostudy", name, namespace).get("status", {}).get("phase", "")
