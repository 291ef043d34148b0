"""What an older version stored and this one refuses: it ends well, says what to mend, and goes on when it is mended."""

import copy
import json
import time
from contextlib import contextmanager

import pytest

from tests.apiserver.admission.rest import RefusedError
from tests.apiserver.operator.objects import production, study

SPACE = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 9, "max": 9}}]}
ONE_CANDIDATE = study(searchSpace=SPACE, budget={"trials": 3}, promotion={"mode": "Off", "confirmations": 0})


@pytest.fixture
def older(installed):
    """The definitions of an older version, in which a field takes more; those of this version afterwards."""

    @contextmanager
    def definition(plural, *path, **schema):
        name = f"{plural}.sloguard.dev"
        newer = json.loads(installed.kubectl("get", "crd", name, "-o", "json"))
        changed = copy.deepcopy(newer)
        at = changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for part in path:
            at = at["properties"][part]
        at.clear()
        at |= schema
        place = "/spec/versions/0/schema"
        installed.kubectl("patch", "crd", name, "--type=json", "-p", _replacing(place, changed))
        try:
            yield
        finally:
            installed.kubectl("patch", "crd", name, "--type=json", "-p", _replacing(place, newer))

    return definition


def _replacing(place, definition):
    value = definition["spec"]["versions"][0]["schema"]
    return json.dumps([{"op": "replace", "path": place, "value": value}])


def once_possible(write):
    """A definition is served a moment after it was changed."""
    for _ in range(100):
        try:
            return write()
        except RefusedError as error:
            last = error
            time.sleep(0.1)
    raise last


def once_refused(world, path, body):
    """Asked in a dry run: what was stored once may stay, whatever the definition says."""
    for _ in range(100):
        try:
            world.rest.request("PATCH", path, body, dryRun="All")
        except RefusedError:
            return
        time.sleep(0.1)
    raise AssertionError("never refused")


def test_a_study_that_an_upgrade_refuses_frees_its_gpus_and_goes_on_when_mended(world, process, older):
    world.create("deployments", production())
    world.create("sloguardstudies", ONE_CANDIDATE)
    world.play(world.servers)
    process.kill()
    many, few = ({"spec": {"trial": {"parallelism": n}}} for n in (99, 2))
    with older("sloguardstudies", "spec", "trial", "parallelism", type="integer"):
        once_possible(lambda: world.patch("sloguardstudies", "s", many))
    once_refused(world, world.path("sloguardstudies", "s"), {"spec": {"trial": {"parallelism": 98}}})
    process.start()
    world.play(lambda: world.stalled("SpecInvalid") and not world.servers())
    assert world.condition("Stalled")["message"] == "spec.trial.parallelism: 99 is too high; the most is 16"
    ended = world.trials()["s-0-1"]["status"]
    assert (ended["phase"], ended["outcome"]) == ("Finished", "Cancelled")
    assert "SpecInvalid: spec.trial.parallelism: 99" in ended["message"]
    assert "SpecInvalid" in {event["reason"] for event in world.items("events")}

    settled = world.study()["metadata"]["resourceVersion"]
    process.kill()
    process.forget()
    process.start()
    world.play(lambda: len(process.reconciles(world.namespace)) >= 1)
    assert not [line for line in process.requests(world.namespace) if not line["message"].startswith("GET ")]
    assert world.study()["metadata"]["resourceVersion"] == settled

    world.patch("sloguardstudies", "s", few)
    world.play(lambda: world.phase() == "Completed", seconds=120)
    assert world.condition("Stalled")["status"] == "False"
    assert {"s-0-1", "s-0-2", "s-1-1", "s-2-1"} <= set(world.trials())


def test_a_study_that_nobody_can_mend_in_place_says_so(world, process, older):
    world.create("deployments", production())
    process.kill()
    before = copy.deepcopy(ONE_CANDIDATE)
    before["spec"]["workload"] |= {"warmupSeconds": 9999}
    before["spec"]["budget"] |= {"gpuMinutes": 10_000}
    with older("sloguardstudies", "spec", "workload", "warmupSeconds", type="integer"):
        once_possible(lambda: world.create("sloguardstudies", before))
    process.start()
    world.play(lambda: world.stalled("SpecInvalid"))
    told = world.condition("Stalled")["message"]
    assert told.startswith("spec.workload.warmupSeconds: 9999 is too high; the most is 3600")
    assert "spec.workload cannot be changed in a study: create a new one" in told
    with pytest.raises(RefusedError, match="workload cannot be changed"):
        world.patch("sloguardstudies", "s", {"spec": {"workload": {"warmupSeconds": 0}}})


def test_a_trial_that_an_upgrade_refuses_frees_its_gpus(world, process, older):
    world.create("deployments", production())
    world.create("sloguardstudies", ONE_CANDIDATE)
    world.play(lambda: world.trials().get("s-0-1", {}).get("status", {}).get("startedAt") and world.servers())
    process.kill()
    loose = {"x-kubernetes-preserve-unknown-fields": True}
    with older("sloguardtrials", "status", "gpus", **loose):
        odd = {"status": {"gpus": "two"}}
        once_possible(lambda: world.patch("sloguardtrials", "s-0-1", odd, "status"))
    once_refused(world, world.path("sloguardtrials", "s-0-1", "status"), {"status": {"gpus": "three"}})
    process.start()
    world.play(lambda: world.stalled("TrialInvalid") and not world.servers())
    assert (
        'SLOGuardTrial s-0-1 cannot be read by this version of the operator: status.gpus: "two"'
        in (world.condition("Stalled")["message"])
    )
    ended = world.trials()["s-0-1"]["status"]
    assert (ended["phase"], ended["outcome"], ended["gpus"]) == ("Finished", "Cancelled", "two")

    world.patch("sloguardtrials", "s-0-1", {"status": {"gpus": 1}}, "status")
    world.play(lambda: world.phase() == "Completed", seconds=120, poke=True)
    assert world.trials()["s-0-2"]["status"]["outcome"] == "Feasible"
