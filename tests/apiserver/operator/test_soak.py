"""The best configuration dies late of its worst-case load, and the next one is recommended and promoted.

A soak's server is the real simulator, and its load is the real one that the Job asks for.
"""

import asyncio
import json
import subprocess
import sys

from sloguard.measure.encode import encode
from sloguard.measure.load import run_load
from sloguard.measure.request import LoadRequest
from tests.apiserver.operator.objects import BEST, production, study
from tests.apiserver.operator.world import World, arguments_of, max_num_seqs
from tests.clusters.control_plane import free_ports

SOAK_SECONDS = 3
DIES_AFTER_SECONDS = 1.5
"""Of serving: in the middle of a soak, and never in what the others are measured by."""

RUNNER_UP = [word.replace("10", "9") for word in BEST]


class SoakWorld(World):
    """Loads of trials leave the results of the usual world; those of soaks are carried out."""

    def _load(self, pod, pods):
        request = requested(pod)
        if request.soak is None:
            super()._load(pod, pods)
            return
        wanted = {"sloguard.dev/trial": pod["metadata"]["labels"]["sloguard.dev/trial"], "sloguard.dev/role": "server"}
        server = next(p for p in pods if wanted.items() <= p["metadata"]["labels"].items())
        result, exit_code = soaked(arguments_of(server), request)
        if exit_code is not None:
            self._report(server, {"exitCode": exit_code, "reason": "Completed"})
        self._report(pod, {"exitCode": 0, "reason": "Completed", "message": encode(result)})


def requested(pod):
    """What a Job's container is told to do."""
    (variable,) = pod["spec"]["containers"][0]["env"]
    return LoadRequest.model_validate(json.loads(variable["value"]))


def soaked(arguments, request):
    """What the load says of a server with these arguments, and how that has ended, if it has."""
    (port,) = free_ports(1)
    faults = [f"--fault=cuda-oom@{DIES_AFTER_SECONDS}"] if max_num_seqs(arguments) == 10 else []
    own = [word for word in arguments if not word.startswith("--port")]
    command = [sys.executable, "-m", "sloguard.simulator", *own, "--profile=tiny", "--startup-scale=0.001"]
    with subprocess.Popen([*command, f"--port={port}", *faults], stdout=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{port}"
            result = asyncio.run(run_load(request.model_copy(update={"url": url})))
            return result, server.wait(10) if result.fault is not None else server.poll()
        finally:
            server.kill()


def test_the_runner_up_is_recommended_and_promoted_where_the_winner_dies_late(world):
    world = SoakWorld(world.rest, world.namespace, log=world.log)
    world.create("deployments", production())
    promotion = {"mode": "Manual", "confirmations": 1, "soakSeconds": SOAK_SECONDS}
    world.create("sloguardstudies", study(promotion=promotion, budget={"trials": 12}))
    world.play(lambda: world.phase() == "AwaitingApproval", 120, poke=True)
    trials = world.trials()
    soaks = [t for t in trials.values() if t["spec"]["purpose"] == "Soak"]
    dead, lived = sorted(soaks, key=lambda t: t["spec"]["number"])
    assert [t["spec"]["parameters"] for t in (dead, lived)] == [{"max_num_seqs": "10"}, {"max_num_seqs": "9"}]
    assert (dead["status"]["outcome"], dead["status"]["crash"]["fault"]) == ("Crashed", "Configuration")
    assert dead["status"]["crash"]["phase"] == "Serving"
    assert lived["status"]["outcome"] == "Feasible"
    said = "9 requests at once (max_num_seqs), each a prompt of 64 and an answer of 16 tokens"
    assert lived["status"]["message"].startswith(f"outlived {SOAK_SECONDS} s of {said}")
    recommendation = world.status()["recommendation"]
    assert (recommendation["arguments"], recommendation["soakedSeconds"]) == (RUNNER_UP, SOAK_SECONDS)
    assert f"it outlived {SOAK_SECONDS} s of its worst-case load" in world.condition("Ready")["message"]
    assert dead["metadata"]["name"] in told(world, "TrialCrashed")
    assert lived["metadata"]["name"] in told(world, "TrialFeasible")
    assert_left_to_later_studies(world, dead)

    first = next(t for t in trials.values() if t["spec"]["purpose"] == "Search" and served_best(t))
    approve(world, first)
    world.play(lambda: world.stalled("SoakFailed"), poke=True)
    assert world.container()["args"] != BEST, "what died is not promoted, whoever wants it"
    approve(world, trials[recommendation["trial"]])
    world.play(lambda: world.phase() == "Completed", poke=True)
    assert world.container()["args"] == RUNNER_UP
    assert len([t for t in world.trials().values() if t["spec"]["purpose"] == "Soak"]) == len(soaks), "once is enough"


def test_a_trial_that_a_person_names_is_soaked_before_it_is_promoted(world):
    world = SoakWorld(world.rest, world.namespace, log=world.log)
    world.create("deployments", production())
    one = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 9, "max": 9}}]}
    promotion = {"mode": "Manual", "confirmations": 0, "minimumImprovementPercent": 1000}
    wanted = study(searchSpace=one, budget={"trials": 3}, promotion=promotion | {"soakSeconds": SOAK_SECONDS})
    world.create("sloguardstudies", wanted)
    world.play(lambda: world.phase() == "Completed", poke=True)
    assert world.condition("Ready")["reason"] == "NoImprovement"
    approve(world, world.trials()["s-2-1"])
    world.play(lambda: world.status().get("promotion", {}).get("state") == "Promoted", poke=True)
    (soak,) = (t for t in world.trials().values() if t["spec"]["purpose"] == "Soak")
    assert (soak["metadata"]["name"], soak["status"]["outcome"]) == ("s-3-1", "Feasible")
    assert soak["status"]["finishedAt"] <= world.status()["promotion"]["startedAt"]
    assert world.container()["args"] == RUNNER_UP


def served_best(trial):
    return trial["spec"].get("parameters") == {"max_num_seqs": "10"}


def approve(world, trial):
    spec = {"promotion": {"approvedTrial": trial["metadata"]["name"]}}
    world.patch("sloguardstudies", "s", {"spec": spec})


def told(world, reason):
    return " ".join(event["message"] for event in world.items("events") if event["reason"] == reason)


def assert_left_to_later_studies(world, dead):
    ledgers = (m for m in world.items("configmaps") if "sloguard.dev/ledger" in m["metadata"].get("labels", {}))
    records = [json.loads(line) for ledger in ledgers for line in ledger["data"]["records-v1.jsonl"].splitlines()]
    assert dead["spec"]["number"] in [r["number"] for r in records if r["crashed"]]
