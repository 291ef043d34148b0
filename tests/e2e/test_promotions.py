"""Promotions and rollbacks in a row under constant streaming load, while the operator is killed at random.

Several servers of production, each behind its Service with five users who stream all the time, are changed side by
side, each by one strategy. Study after study promotes other arguments; some promote one sequence at a time, which is
slower than the SLO allows, so that it has to be taken back: by what production's traffic says while it is verified
(Rolling), or what the canary's says (Canary). One production has no GPU to spare, so that its replicas go one after the
other, at the operator's pace. Nothing but preStop protects an open stream: these servers cut all of them at SIGTERM.

What a study would have measured is written by the test: it is promotions that are proved here, not trials.

    SLOGUARD_PROMOTIONS=all tests/run e2e tests/e2e/test_promotions.py -n 0 -s     20 promotions, 10 rollbacks
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e import demo, scraping, streams
from tests.e2e.operator_pod import replace_operator
from tests.finished_trials import finished_trials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clusters.kind import KindCluster

Object = dict[str, Any]

ALL = os.environ.get("SLOGUARD_PROMOTIONS") == "all"
USERS = 5
GPUS = 12
"""Of the worker: production's, canaries, surges, and old pods on their leave."""

PACED, REPLICAS = "paced", 2
"""The production whose replicas take all GPUs of the other node, so that they have to go one after the other."""

ARGUMENTS = ("--profile=8b-l4", "--startup-scale=0.02", "--max-model-len=8192", "--drain-seconds=0")
FIRST, SECOND, CRAWLING = 16, 24, 1
"""max_num_seqs: two that serve all users at once, and one that lets them wait for each other."""

PLACES = {
    "rolled": ("Rolling", [SECOND, FIRST, CRAWLING] * 4 + [SECOND]),
    PACED: ("Rolling", [SECOND, CRAWLING]),
    "tried": ("Canary", [SECOND, FIRST, CRAWLING] * 2 + [SECOND]),
    "shared": ("Canary", [SECOND, FIRST, CRAWLING] * 2 + [SECOND, CRAWLING]),
}
"""Productions by name: what the studies of each are after, one after the other. Before a rollback it was well."""

FEW = {"rolled": ("Rolling", [SECOND, CRAWLING]), "tried": ("Canary", [SECOND]), PACED: ("Rolling", [SECOND])}

BETWEEN_KILLS_SECONDS = (15, 60) if ALL else (10, 30)
DONE = {"Promoted", "RolledBack", "Halted"}


@dataclass
class Served:
    """One production: its name, its strategy, what was promoted, and how that ended."""

    name: str
    strategy: str
    sequences: list[int]
    promotions: list[Object] = field(default_factory=list)
    streams: Object = field(default_factory=dict)
    arguments: list[list[str]] = field(default_factory=list)
    """Production's after each of them."""


@dataclass
class Proof:
    """All that the tests below look at."""

    served: list[Served]
    kills: int = 0
    seconds: float = 0


@pytest.fixture(scope="module")
def proof(operator, kind_cluster, module_namespace):
    assert operator is kind_cluster
    cluster, namespace = kind_cluster, module_namespace
    served = [Served(name, *place) for name, place in (PLACES if ALL else FEW).items()]
    told = Proof(served)
    with many_gpus(cluster), scraping.scraped(cluster, namespace):
        for one in served:
            cluster.apply(*production(cluster, namespace, one.name))
        for one in served:
            watched = ("rollout", "status", f"deployment/{one.name}", "-n", namespace, "--timeout=120s")
            cluster.kubectl(*watched, timeout_seconds=130)
            start_streams(cluster, namespace, one.name)
        begun, over = time.monotonic(), threading.Event()
        with killing(cluster) as kills, ThreadPoolExecutor(len(served)) as pool:
            ends = [pool.submit(promote_in_turn, cluster, namespace, one, over) for one in served]
            try:
                for end in ends:
                    end.result()
            finally:
                over.set()
        told.kills, told.seconds = kills.count, time.monotonic() - begun
        for one in served:
            one.streams = seen(cluster, namespace, one.name)
    report(told)
    return told


@contextlib.contextmanager
def many_gpus(cluster: KindCluster) -> Iterator[None]:
    """As a device plugin would offer them, until the end."""
    offer(cluster, cluster.worker, str(GPUS))
    offer(cluster, cluster.control_plane, str(REPLICAS))
    yield
    for node in (cluster.worker, cluster.control_plane):
        offer(cluster, node, cluster.get("node", node)["metadata"]["labels"]["nvidia.com/gpu.count"])


def offer(cluster: KindCluster, node: str, count: str) -> None:
    gpus = {"nvidia.com/gpu": count}
    cluster.patch_status("node", node, {"capacity": gpus, "allocatable": gpus})


def production(cluster: KindCluster, namespace: str, name: str) -> list[Object]:
    """The example's, by another name, with a preStop hook that outlasts every answer."""
    text = json.dumps(demo.production(namespace)).replace(demo.PRODUCTION, name).replace('"chat"', f'"{name}"')
    objects: list[Object] = json.loads(text)
    (one,) = [o for o in objects if o["kind"] == "Deployment"]
    if name == PACED:
        one["spec"]["replicas"] = REPLICAS
        # Without a strategy of its own, or whoever applies that has the say.
        del one["spec"]["strategy"]
    pod = one["spec"]["template"]["spec"]
    pod["nodeSelector"] = {"kubernetes.io/hostname": cluster.control_plane if name == PACED else cluster.worker}
    pod["terminationGracePeriodSeconds"] = 60
    (container,) = pod["containers"]
    container["args"] = arguments_with(FIRST)
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": 20}}}
    return objects


def arguments_with(max_num_seqs: int) -> list[str]:
    return [*ARGUMENTS, f"--max-num-seqs={max_num_seqs}"]


def start_streams(cluster: KindCluster, namespace: str, name: str) -> None:
    program = Path(streams.__file__).read_text()
    command = ["python3", "-c", program, f"http://{name}.{namespace}.svc:8000", str(USERS)]
    cluster.create(demo.pod(namespace, f"streams-{name}", command))
    cluster.wait_for("streams", lambda: seen(cluster, namespace, name)["completed"] > 2 * USERS, 90)


def seen(cluster: KindCluster, namespace: str, name: str) -> Object:
    return json.loads(cluster.kubectl("logs", f"streams-{name}", "-n", namespace, "--tail=1"))


@dataclass
class Kills:
    count: int = 0
    trouble: list[str] = field(default_factory=list)


@contextlib.contextmanager
def killing(cluster: KindCluster) -> Iterator[Kills]:
    """The operator, at moments that are random and the same each time."""
    kills, over, random = Kills(), threading.Event(), Random(7)

    def kill() -> None:
        while not over.wait(random.uniform(*BETWEEN_KILLS_SECONDS)):
            try:
                replace_operator(cluster)
                kills.count += 1
            except Exception as error:  # noqa: BLE001 - it is told in the test's own thread
                kills.trouble.append(repr(error))
                return

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield kills
    finally:
        over.set()
        thread.join()
    assert kills.trouble == []


def promote_in_turn(cluster: KindCluster, namespace: str, one: Served, over: threading.Event) -> None:
    """All of them, unless another production's have failed or the test is interrupted."""
    before = FIRST
    for turn, wanted in enumerate(one.sequences):
        name = f"{one.name}-{turn}"
        ask_for(cluster, namespace, one, name, before, wanted)
        cluster.wait_for(
            f"end of {name}",
            lambda name=name: over.is_set() or promotion(cluster, namespace, name)["state"] in DONE,
            480,
        )
        if over.is_set():
            return
        ended = promotion(cluster, namespace, name)
        one.promotions.append(ended)
        print(f"{name} ({one.strategy}, {before} to {wanted} sequences): {ended['state']}: {ended['message']}")
        stored = cluster.get("deployment", one.name, namespace)
        one.arguments.append(stored["spec"]["template"]["spec"]["containers"][0]["args"])
        if ended["state"] == "Promoted":
            before = wanted


def promotion(cluster: KindCluster, namespace: str, name: str) -> Object:
    return cluster.get("slostudy", name, namespace)["status"].get("promotion") or {"state": ""}


def ask_for(cluster: KindCluster, namespace: str, one: Served, name: str, before: int, wanted: int) -> None:
    """A study that has measured all it may, and a person who approves its last trial."""
    study = cluster.create(study_of(namespace, one, name))
    parameters = {"max_num_seqs": str(wanted)}
    made = finished_trials(study, arguments_with(before), arguments_with(wanted), parameters)
    cluster.apply(*({key: value for key, value in trial.items() if key != "status"} for trial in made))
    for trial in made:
        cluster.patch_status("slotrial", trial["metadata"]["name"], trial["status"], namespace)
    asked = {"spec": {"suspend": False, "promotion": {"approvedTrial": made[-1]["metadata"]["name"]}}}
    cluster.kubectl("patch", "slostudy", name, "-n", namespace, "--type=merge", "-p", json.dumps(asked))


def study_of(namespace: str, one: Served, name: str) -> Object:
    return demo.study(
        namespace,
        name,
        suspend=True,
        target={"kind": "Deployment", "name": one.name, "container": "vllm"},
        slos=[{"metric": "TTFT", "percentile": 75, "milliseconds": 1000}],
        workload=demo.SMALL_LOAD,
        searchSpace={
            "preset": "None",
            "parameters": [{"name": "max_num_seqs", "int": {"min": CRAWLING, "max": SECOND}}],
        },
        budget={"trials": 3, "gpuMinutes": 60, "wallClockMinutes": 60},
        knowledge="Isolated",
        promotion={
            "mode": "Manual",
            "confirmations": 0,
            "strategy": one.strategy,
            "canary": {"warmupSeconds": 5, "durationSeconds": 30},
            "verification": {"durationSeconds": 30},
        },
    )


def report(told: Proof) -> None:
    """For people, and for operator/README.md."""
    for one in told.served:
        states = [ended["state"] for ended in one.promotions]
        s = one.streams
        print(
            f"{one.name} ({one.strategy}): {states.count('Promoted')} promotions, {states.count('RolledBack')} "
            f"rollbacks; {s['completed']} streaming requests, {s['failed']} failed, {s['tokens']} tokens; longest "
            f"stall between two tokens {s['longest_gap_milliseconds']} ms, longest wait for a first one "
            f"{s['longest_first_token_milliseconds']} ms"
        )
    print(f"the operator was killed {told.kills} times in {told.seconds:.0f} s")


def test_each_promotion_came_to_the_end_that_it_deserves(proof):
    for one in proof.served:
        wanted = one.sequences
        assert [ended["state"] for ended in one.promotions] == [
            "RolledBack" if sequences == CRAWLING else "Promoted" for sequences in wanted
        ]
        runs = [wanted[i] if wanted[i] != CRAWLING else wanted[i - 1] for i in range(len(wanted))]
        assert one.arguments == [arguments_with(sequences) for sequences in runs]


def test_what_was_taken_back_served_worse(proof):
    for one in proof.served:
        for ended in one.promotions:
            if ended["state"] == "RolledBack":
                assert "TTFT within 1000 ms" in ended["message"], ended


def test_no_streaming_request_failed(proof):
    for one in proof.served:
        assert one.streams["completed"] > 50 * len(one.promotions)
        assert one.streams["errors"] == []
        assert one.streams["failed"] == 0


def test_the_operator_was_killed_meanwhile(proof):
    assert proof.kills >= max(len(one.sequences) for one in proof.served)
    print(f"{proof.kills} kills")


def test_without_a_spare_gpu_replicas_went_one_after_the_other(proof, kind_cluster, module_namespace):
    (paced,) = (one for one in proof.served if one.name == PACED)
    for ended in paced.promotions:
        assert ended["pace"] == {"maxSurge": "0", "maxUnavailable": "1", "minReadySeconds": 30}
    stored = kind_cluster.get("deployment", PACED, module_namespace, "--show-managed-fields")
    assert stored["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert "minReadySeconds" not in stored["spec"]
    assert "sloguard-pace" not in {entry["manager"] for entry in stored["metadata"]["managedFields"]}


def test_nothing_of_a_canary_is_left(proof, kind_cluster, module_namespace):
    left = [d["metadata"]["name"] for d in kind_cluster.get("deployments", "", module_namespace)["items"]]
    assert sorted(left) == sorted(one.name for one in proof.served)
