"""Measurement Prometheus: trials are judged by live traffic alone, which a plain client sends while they are watched.

A simulator stands for every trial's pod, and a real Prometheus scrapes it under the pod's name. There is no network of
a cluster here: that traffic finds the pod through the Service is for tests/e2e; here the Service has to select it.
"""

import contextlib
import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.apiserver.admission.rest import RefusedError, Rest
from tests.apiserver.operator.objects import production, study
from tests.apiserver.operator.process import Operator
from tests.apiserver.operator.world import Object, World
from tests.clusters import prometheus
from tests.prometheus.conftest import Simulator, start, wait_ready

WARMUP_SECONDS, DURATION_SECONDS = 4, 14
LIMIT_SECONDS = 1.5
"""Lies on an edge of vLLM's histogram, far from what a short request takes and from what a long one takes."""

SHORT_TOKENS, LONG_TOKENS = 4, 1000
SHORT, LONG = 34, 6


def live_study(**spec) -> Object:
    whole = study(
        slos=[{"metric": "E2E", "percentile": 50, "milliseconds": round(LIMIT_SECONDS * 1000)}],
        promotion={"mode": "Off", "confirmations": 0},
        trial={"infrastructureRetries": 0},
        measurement="Prometheus",
        **spec,
    )
    whole["spec"]["workload"] = {
        "arrival": {"pattern": "Live"},
        "warmupSeconds": WARMUP_SECONDS,
        "durationSeconds": DURATION_SECONDS,
    }
    return whole


@dataclass
class Scraped(World):
    """A world in which every server's pod is the simulator, for Prometheus too."""

    simulator: Simulator | None = None
    targets: Path | None = None

    def _server(self, pod: Object, pods: list[Object]) -> None:
        labels = {"namespace": self.namespace, "pod": pod["metadata"]["name"]}
        found = self.targets.with_suffix(".new")
        found.write_text(json.dumps([{"targets": [self.simulator.address], "labels": labels}]))
        found.rename(self.targets)
        super()._server(pod, pods)

    def _report(self, pod: Object, ended: Object | None) -> None:
        """The simulator listens on this machine."""
        ip = self.simulator.address.partition(":")[0]
        address = {"status": {"podIP": ip, "podIPs": [{"ip": ip}]}}
        self.patch("pods", pod["metadata"]["name"], address, "status")
        super()._report(pod, ended)


@contextmanager
def scraping(access, installed, namespace, folder: Path, *flags: str, interval: str = "1s") -> Iterator[Scraped]:
    """A world, and an operator that knows of a Prometheus; `flags` are the simulator's."""
    targets = folder / "targets.json"
    targets.write_text("[]")
    simulator = start("stand-in", "--max-num-seqs", "64", *flags)
    wait_ready(simulator)
    running = prometheus.running(folder, [], interval, more=targets)
    with running as asked, closing(Rest(installed.kubeconfig)) as rest:
        own = Operator(access, folder / "log", f"--prometheus-url={asked.url}")
        own.start()
        try:
            yield Scraped(rest, namespace, log=own.tail, simulator=simulator, targets=targets)
        finally:
            assert own.stop() in (0, -15), own.tail()
            simulator.stop()
    assert "reconcile failed" not in own.tail()


@pytest.fixture
def scraped(process, access, installed, namespace, tmp_path):
    """With an operator instead of the one that knows of no Prometheus."""
    process.stop()
    with scraping(access, installed, namespace, tmp_path) as world:
        yield world


@dataclass
class Client:
    """Knows nothing of studies: sends requests and times them."""

    url: str
    seconds: list[tuple[float, int]] = field(default_factory=list)

    def send(self, tokens: int) -> None:
        body = {"model": "m", "prompt": [7] * 20, "max_tokens": tokens, "ignore_eos": True}
        request = urllib.request.Request(
            f"{self.url}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        began = time.monotonic()
        with urllib.request.urlopen(request, timeout=60) as answer:
            told = json.load(answer)["usage"]["completion_tokens"]
        self.seconds.append((time.monotonic() - began, told))

    def send_until_it_fails(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.send(SHORT_TOKENS)

    def send_all(self) -> None:
        with ThreadPoolExecutor(8) as several:
            list(several.map(self.send, [LONG_TOKENS] * LONG + [SHORT_TOKENS] * SHORT))


def watched_since(trial: Object) -> datetime | None:
    """When the trial's window began or will begin."""
    status = trial.get("status", {})
    if status.get("phase") != "Loading":
        return None
    return moment(status["loadStartedAt"]) + timedelta(seconds=WARMUP_SECONDS)


def moment(said: str) -> datetime:
    return datetime.fromisoformat(said)


def selects(world: World, trial: str) -> bool:
    """Whether the live Service leads to the trial's pod and to no other pod of the namespace."""
    try:
        selector = world.get("services", "s-live")["spec"]["selector"]
    except RefusedError:
        return False
    chosen = [p for p in world.items("pods") if selector.items() <= p["metadata"]["labels"].items()]
    return [p["metadata"]["labels"]["sloguard.dev/trial"] for p in chosen] == [trial]


def outcome(world: World, trial: str) -> str | None:
    return world.trials().get(trial, {}).get("status", {}).get("outcome")


def in_window(world: World, trial: str) -> bool:
    """Far enough into it that a scrape came before."""
    since = watched_since(world.trials().get(trial, {}))
    return since is not None and datetime.now(since.tzinfo) > since + timedelta(seconds=2.5)


def test_baselines_are_measured_by_live_traffic_alone(scraped):
    """Then the traffic ends, and the next trial says where it was expected."""
    world = scraped
    world.create("deployments", production())
    world.create("sloguardstudies", live_study())
    for trial in ("s-0-1", "s-1-1"):
        world.play(lambda name=trial: in_window(world, name), poke=True)
        assert selects(world, trial)
        client = Client(world.simulator.url)
        traffic = threading.Thread(target=client.send_all)
        traffic.start()
        world.play(lambda name=trial: outcome(world, name), poke=True)
        traffic.join()
        status = world.trials()[trial]["status"]
        (measured,) = status["measurements"]
        good = [tokens for seconds, tokens in client.seconds if seconds <= LIMIT_SECONDS]
        assert len(client.seconds) == SHORT + LONG == measured["sent"] == measured["completed"]
        assert measured["outputTokens"] == sum(tokens for _, tokens in client.seconds)
        assert measured["promptTokens"] == 20 * (SHORT + LONG)
        assert measured["good"] == len(good) == SHORT
        view = measured["serverView"]
        assert (view["source"], view["goodLow"], view["goodHigh"]) == ("Prometheus", SHORT, SHORT)
        assert view["goodTokensLow"] == measured["goodTokens"] <= sum(good) <= view["goodTokensHigh"]
        (slo,) = measured["slos"]
        assert (slo["met"], slo["within"], slo["of"]) == (True, SHORT, SHORT + LONG)
        assert measured["lowerBounds"]
        assert DURATION_SECONDS / 2 <= measured["durationMilliseconds"] / 1000 <= DURATION_SECONDS
        assert status["outcome"] == "Feasible"
        assert "of live traffic (34 to 34 of 40 requests good)" in status["message"]
        assert not [one for one in status.get("conditions", []) if one["type"] == "MetricsDisagree"]
    assert world.items("jobs") == [], "nothing is sent"

    world.play(lambda: outcome(world, "s-2-1"), poke=True)
    status = world.trials()["s-2-1"]["status"]
    assert (status["outcome"], status["crash"]["class"]) == ("Infrastructure", "LiveTraffic")
    assert "0 requests ended within" in status["message"]
    assert "Service s-live expects the traffic" in status["message"]
    service = world.get("services", "s-live")
    assert [owner["kind"] for owner in service["metadata"]["ownerReferences"]] == ["SLOGuardStudy"]
    world.play(lambda: not world.servers() and not selects(world, "s-2-1"), poke=True)  # it leads nowhere now


def test_without_a_prometheus_the_study_says_what_to_set(world):
    world.create("deployments", production())
    world.create("sloguardstudies", live_study())
    world.play(lambda: world.stalled("NoPrometheus"))
    assert "start it with --prometheus-url" in world.condition("Stalled")["message"]
    assert world.trials() == {}


def test_anothers_service_is_not_taken(scraped):
    world = scraped
    theirs = {"metadata": {"name": "s-live"}, "spec": {"selector": {"app": "llama"}, "ports": [{"port": 80}]}}
    world.create("services", theirs)
    world.create("deployments", production())
    world.create("sloguardstudies", live_study())
    world.play(lambda: world.stalled("NameTaken"), poke=True)
    assert "Service s-live exists and is not this study's" in world.condition("Stalled")["message"]
    assert world.get("services", "s-live")["spec"]["selector"] == {"app": "llama"}
    assert world.servers() == []


def test_a_server_that_hangs_is_found_out_however_seldom_it_is_scraped(process, access, installed, namespace, tmp_path):
    """Prometheus' first two scrapes are a minute apart; the server itself is asked every other second."""
    process.stop()
    with scraping(access, installed, namespace, tmp_path, "--fault", "hang@1.5", interval="60s") as world:
        port = world.simulator.url.rpartition(":")[2]
        world.create("deployments", production(args=["org/model", "--max-num-seqs=2", f"--port={port}"]))
        one = live_study()
        one["spec"]["trial"] |= {"standstillSeconds": 6}
        one["spec"]["workload"] |= {"durationSeconds": 90}
        world.create("sloguardstudies", one)
        world.play(lambda: watched_since(world.trials().get("s-0-1", {})))
        for _ in range(4):
            threading.Thread(target=Client(world.simulator.url).send_until_it_fails, daemon=True).start()
        world.play(lambda: outcome(world, "s-0-1"))
        status = world.trials()["s-0-1"]["status"]
        assert (status["outcome"], status["crash"]["class"]) == ("Crashed", "Hang"), status
        assert "no token has been generated for" in status["crash"]["cause"]
        assert moment(status["finishedAt"]) < moment(status["loadStartedAt"]) + timedelta(seconds=90)
