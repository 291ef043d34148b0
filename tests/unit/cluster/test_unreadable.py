"""A study or a trial that this version cannot read ends well, says what is wrong, and goes on once it is mended."""

import copy

import pytest

from sloguard.api.changeable import FIXED
from sloguard.api.v1alpha1 import StudyPhase
from sloguard.cluster import clock
from sloguard.cluster.api import RefusedError
from sloguard.cluster.execute import Settings
from sloguard.cluster.reconcile import MOST_BACK_OFF_SECONDS, Reconciler
from sloguard.cluster.unreadable import readable_part
from tests.unit.cluster.objects import STUDY, T0, VLLM, begun, deployment, finished, pod, running, trial_object

KEY = ("prod", "s")
NEW = ["org/model", "--max-num-seqs=64", "--port=8000"]
STRICTER = STUDY | {"spec": STUDY["spec"] | {"trial": {"parallelism": 99}}}


class Namespace:
    """Objects by kind and name, and every write."""

    requests = 0

    def __init__(self, study=STRICTER, *objects):
        self.objects = {}
        self.writes = []
        self.refused = ()
        for obj in (study, deployment(), *objects):
            self.put(obj)

    def put(self, obj):
        kinds = {"SLOGuardStudy": "sloguardstudies", "SLOGuardTrial": "sloguardtrials"}
        plural = kinds.get(obj["kind"], obj["kind"].lower() + "s")
        self.objects[plural, obj["metadata"]["name"]] = copy.deepcopy(obj)

    async def get(self, resource, _namespace, name):
        return copy.deepcopy(self.objects.get((resource.plural, name)))

    async def items(self, resource, _namespace, **_):
        return [copy.deepcopy(o) for (plural, _), o in self.objects.items() if plural == resource.plural]

    async def pages(self, _resource, **_):
        yield []

    async def create(self, resource, _namespace, body):
        key = resource.plural, body["metadata"]["name"]
        self.writes.append(("create", *key))
        return body if self.objects.setdefault(key, body) is body else None

    async def replace_status(self, resource, body):
        self.writes.append(("status", resource.plural, body["metadata"]["name"]))
        if body["metadata"]["name"] in self.refused:
            raise RefusedError(422, "spec.purpose: Unsupported value", "Invalid")
        self.put(body)
        return body

    async def apply(self, resource, _namespace, name, body):
        self.writes.append(("apply", resource.plural, name))
        (container,) = body["spec"]["template"]["spec"]["containers"]
        self.objects[resource.plural, name]["spec"]["template"]["spec"]["containers"] = [VLLM | container]

    async def merge(self, resource, _namespace, name, body):
        self.writes.append(("merge", resource.plural, name))
        self.objects[resource.plural, name]["metadata"] |= body["metadata"]
        return copy.deepcopy(self.objects[resource.plural, name])

    async def delete(self, resource, _namespace, name):
        self.writes.append(("delete", resource.plural, name))
        self.objects.pop((resource.plural, name), None)

    def status(self, name="s", plural="sloguardstudies"):
        return self.objects[plural, name].get("status", {})

    def stalled(self):
        return next(c for c in self.status()["conditions"] if c["type"] == "Stalled")


def candidate(name):
    labels = {"sloguard.dev/study": "s", "sloguard.dev/trial": name, "sloguard.dev/role": "server"}
    owner = {"kind": "SLOGuardTrial", "name": name, "uid": f"uid-{name}"}
    made = {"name": name, "namespace": "prod", "labels": labels, "ownerReferences": [owner]}
    its_pod = pod(running(), name=f"{name}-7d9f8c6b5-x", ready=True)
    its_pod["metadata"] |= {"labels": labels, "ownerReferences": [{"kind": "ReplicaSet", "name": f"{name}-7d9f8c6b5"}]}
    return deployment(metadata=made), its_pod


async def looked_at(namespace, times=1):
    reconciler = Reconciler(namespace, Settings("image"))
    for _ in range(times):
        pause = await reconciler.reconcile(KEY)
    return pause


@pytest.fixture
def running_trial():
    return Namespace(
        STRICTER | {"status": {"phase": "Baselining", "trials": {"total": 1, "running": 1}, "gpuMinutes": 3}},
        trial_object(0, status=begun(arguments=VLLM["args"])),
        *candidate("s-0-1"),
    )


async def test_its_trial_is_ended_and_the_study_says_what_to_mend(running_trial):
    await looked_at(running_trial)
    assert ("delete", "deployments", "s-0-1") in running_trial.writes
    ended = running_trial.status("s-0-1", "sloguardtrials")
    assert (ended["phase"], ended["outcome"]) == ("Finished", "Cancelled")
    assert ended["gpuSeconds"] > 0
    assert "SpecInvalid: spec.trial.parallelism: 99 is too high; the most is 16" in ended["message"]
    assert running_trial.stalled()["reason"] == "SpecInvalid"
    assert running_trial.stalled()["message"] == "spec.trial.parallelism: 99 is too high; the most is 16"
    status = running_trial.status()
    assert (status["phase"], status["trials"]["running"], status["gpuMinutes"]) == ("Baselining", 0, 3)
    told = [o["reason"] for (plural, _), o in running_trial.objects.items() if plural == "events"]
    assert told == ["TrialCancelled", "SpecInvalid"]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {"workload": {**STUDY["spec"]["workload"], "warmupSeconds": 9999}},
            "9999 is too high; the most is 3600; spec.workload cannot be changed in a study: create a new one",
        ),
        (
            {"objective": "Joy", "trial": {"parallelism": 99}, "slos": []},
            "spec.objective and spec.slos cannot be changed in a study",
        ),
        (
            {"target": {**STUDY["spec"]["target"], "kind": "Process", "command": ["vllm", "serve", "m"]}},
            "spec.target cannot be changed in a study",
        ),
    ],
)
async def test_what_nobody_can_change_in_a_study_is_not_asked_to_be_mended_there(spec, told):
    namespace = Namespace(STUDY | {"spec": STUDY["spec"] | spec})
    await looked_at(namespace)
    assert namespace.stalled()["reason"] == "SpecInvalid"
    assert told in namespace.stalled()["message"]


def test_every_field_that_the_api_server_keeps_as_it_is_is_known():
    assert {"target", "slos", "objective", "workload", "measurement", "searchSpace", "optimizer"} == FIXED


async def test_nothing_is_written_when_nothing_changed(running_trial):
    await looked_at(running_trial)
    before = len(running_trial.writes)
    assert await looked_at(running_trial, 3) == MOST_BACK_OFF_SECONDS
    assert len(running_trial.writes) == before


async def test_once_it_is_mended_it_goes_on(running_trial):
    await looked_at(running_trial)
    running_trial.put(STUDY | {"status": running_trial.status()})
    await looked_at(running_trial)
    assert running_trial.stalled()["status"] == "False"


def promoting(state, arguments, **metadata):
    times = dict.fromkeys(("startedAt", "changedAt"), clock.now().isoformat())
    promotion = {"state": state, "trial": "s-2-1", "arguments": NEW, "previousArguments": VLLM["args"]} | times
    status = {"phase": "Promoting", "promotion": promotion, "finishedAt": T0}
    study = STRICTER | {"status": status, "metadata": STUDY["metadata"] | metadata}
    return Namespace(study, deployment(VLLM | {"args": arguments}), trial_object(2, status=finished()))


@pytest.mark.parametrize("state", ["Planned", "Promoting", "Verifying", "RollingBack"])
@pytest.mark.parametrize("arguments", [NEW, VLLM["args"]])
async def test_a_promotion_under_way_is_taken_back_and_then_let_go(state, arguments):
    namespace = promoting(state, arguments, finalizers=["sloguard.dev/promotion"])
    await looked_at(namespace, 4)
    (container,) = namespace.objects["deployments", "llama"]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == VLLM["args"]
    assert namespace.status()["promotion"]["state"] == "RolledBack"
    assert namespace.objects["sloguardstudies", "s"]["metadata"]["finalizers"] == []
    before = len(namespace.writes)
    await looked_at(namespace)
    assert len(namespace.writes) == before


async def test_the_way_back_is_written_down_before_production_is_touched():
    namespace = promoting("Promoting", NEW, finalizers=["sloguard.dev/promotion"])
    await looked_at(namespace)
    assert namespace.status()["promotion"]["state"] == "RollingBack"
    assert not [write for write in namespace.writes if write[0] == "apply"]


async def test_a_study_that_is_deleted_leaves_all_the_same():
    namespace = promoting("Verifying", NEW, finalizers=["sloguard.dev/promotion"], deletionTimestamp=T0)
    await looked_at(namespace)
    assert (
        namespace.objects["deployments", "llama"]["spec"]["template"]["spec"]["containers"][0]["args"] == VLLM["args"]
    )
    assert namespace.objects["sloguardstudies", "s"]["metadata"]["finalizers"] == []


async def test_what_is_over_stays_as_it_is():
    namespace = Namespace(STRICTER | {"status": {"phase": "Completed"}}, trial_object(0, status=finished()))
    assert await looked_at(namespace) == MOST_BACK_OFF_SECONDS
    assert namespace.writes == []


def test_a_status_keeps_what_can_be_read():
    """And the rest stays stored: see `kept`."""
    odd = STUDY | {"spec": {"target": 7}, "status": {"phase": "Searching", "best": 3, "gpuMinutes": 5, "novelty": 1}}
    study = readable_part(odd)
    assert (study.status.phase, study.status.gpu_minutes, study.status.best) == (StudyPhase.SEARCHING, 5, None)
    assert study.spec.target.name is None


async def test_what_cannot_be_read_of_a_status_stays_stored():
    namespace = Namespace(STUDY | {"status": {"phase": "Searching", "best": 3, "gpuMinutes": 5}})
    await looked_at(namespace)
    assert namespace.stalled()["reason"] == "SpecInvalid"
    assert namespace.stalled()["message"].startswith("status.best: 3 ")
    assert (namespace.status()["best"], namespace.status()["gpuMinutes"]) == (3, 5)


# One trial


@pytest.fixture
def odd_trial():
    odd = trial_object(0, status=begun(arguments=VLLM["args"], gpus="two", margins={"novelty": 1}))
    return Namespace(STUDY | {"status": {"phase": "Baselining"}}, odd, *candidate("s-0-1"))


async def test_a_trial_that_cannot_be_read_gives_back_its_gpus(odd_trial):
    await looked_at(odd_trial)
    assert ("delete", "deployments", "s-0-1") in odd_trial.writes
    ended = odd_trial.status("s-0-1", "sloguardtrials")
    assert (ended["outcome"], ended["gpus"], ended["margins"]) == ("Cancelled", "two", {"novelty": 1})
    assert odd_trial.stalled()["reason"] == "TrialInvalid"
    said = odd_trial.stalled()["message"]
    assert said.startswith("SLOGuardTrial s-0-1 cannot be read by this version of the operator: ")
    assert 'status.gpus: "two" is not a whole number; write one' in said
    before = len(odd_trial.writes)
    assert await looked_at(odd_trial, 2) == MOST_BACK_OFF_SECONDS
    assert len(odd_trial.writes) == before
    mended = odd_trial.objects["sloguardtrials", "s-0-1"]
    mended["status"]["gpus"] = 1
    await looked_at(odd_trial)
    assert odd_trial.stalled()["status"] == "False"


async def test_gpus_are_given_back_even_if_the_record_cannot_be_written(odd_trial):
    odd_trial.refused = ("s-0-1",)
    await looked_at(odd_trial)
    assert ("deployments", "s-0-1") not in odd_trial.objects


@pytest.mark.parametrize("change", [{"ownerReferences": []}, {"labels": {}}])
async def test_somebody_elses_trial_stalls_nothing(odd_trial, change):
    odd_trial.objects["sloguardtrials", "s-0-1"]["metadata"] |= change
    del odd_trial.objects["sloguardtrials", "s-0-1"]["status"]["startedAt"]
    await looked_at(odd_trial)
    assert ("deployments", "s-0-1") in odd_trial.objects
    assert odd_trial.stalled()["reason"] != "TrialInvalid"


async def test_a_promotion_does_not_wait_for_a_trial_that_cannot_be_read():
    namespace = promoting("Promoting", NEW)
    namespace.put(STUDY | {"status": namespace.status()})
    namespace.put(trial_object(1, status=finished(gpus="two")))
    await looked_at(namespace)
    assert namespace.status()["promotion"]["state"] == "Verifying"
