"""Production as a LeaderWorkerSet, by that project's own definition. Its controller is played: it needs nodes."""

import pytest

from tests.apiserver.admission.rest import RefusedError
from tests.apiserver.operator.objects import ARGUMENTS, BEST, production, study
from tests.apiserver.operator.test_stateful_set import AUTOMATIC, ONE_CANDIDATE
from tests.apiserver.operator.world import OOM, max_num_seqs
from tests.clusters.definitions import LEADER_WORKER_SET

NAME = "leaderworkersets.leaderworkerset.x-k8s.io"
LABELS = {"leaderworkerset.sigs.k8s.io/name": "llama", "leaderworkerset.sigs.k8s.io/worker-index": "0"}
TARGET = {"kind": "LeaderWorkerSet"}


def leader_worker_set(size=1, template="workerTemplate", **fields):
    program = production(**fields)["spec"]["template"]
    group = {"size": size, "workerTemplate": production()["spec"]["template"]} | {template: program}
    return {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "llama", "labels": {"app": "llama"}},
        "spec": {"replicas": 2, "leaderWorkerTemplate": group},
    }


@pytest.fixture
def installs(installed):
    """Installs the definition when it is called; it goes when the test is over."""

    def install():
        installed.kubectl("apply", "--server-side", "-f", str(LEADER_WORKER_SET.path))
        installed.wait_for("LeaderWorkerSets", lambda: installed.kubectl("get", NAME, "-A") == "")

    yield install
    installed.kubectl("delete", "customresourcedefinition", NAME, "--ignore-not-found")


@pytest.fixture
def lws(installs, world):
    installs()
    return world


def template_of(world):
    group = world.get("leaderworkersets", "llama")["spec"]["leaderWorkerTemplate"]
    return group.get("leaderTemplate") or group["workerTemplate"]


def control(world):
    """What the controller of LeaderWorkerSets does, a group at a time: pods with today's template, and its status."""
    template, serves = template_of(world), 0
    arguments = template["spec"]["containers"][0]["args"]
    pods = {p["metadata"]["name"]: p for p in world.items("pods")}
    for number in (1, 0):
        name = f"llama-{number}"
        pod = pods.get(name)
        if pod is not None and pod["spec"]["containers"][0]["args"] != arguments:
            world.delete("pods", name)
            break
        if pod is None:
            metadata = {"name": name, "labels": template["metadata"]["labels"] | LABELS}
            world.create("pods", {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]})
            break
        if not any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", [])):
            break
        serves += 1
    if serves == 2:
        status = {"replicas": 2, "readyReplicas": 2, "updatedReplicas": 2}
        world.patch("leaderworkersets", "llama", {"status": status}, "status")


def played(world, is_so):
    def until():
        control(world)
        return is_so()

    return until


def test_without_its_definition_the_study_says_what_is_missing_and_goes_on_once_it_is_there(world, installs, operator):
    world.create("sloguardstudies", study(target=TARGET, promotion={"mode": "Off"}))
    world.play(lambda: world.stalled("TargetKindNotInstalled"))
    told = world.condition("Stalled")["message"]
    assert "this cluster knows no LeaderWorkerSet (leaderworkerset.x-k8s.io/v1)" in told
    assert "spec.target.kind" in told
    before = len(operator.reconciles(world.namespace))
    world.play(lambda: len(operator.reconciles(world.namespace)) > before, seconds=30)
    assert len(operator.reconciles(world.namespace)) == before + 1, "it is looked at as seldom as any other study"
    installs()
    world.play(lambda: world.stalled("TargetNotFound"), poke=True)
    world.create("leaderworkersets", leader_worker_set())
    world.play(played(world, lambda: len(world.trials()) > 1), poke=True)


@pytest.mark.parametrize("template", ["workerTemplate", "leaderTemplate"])
def test_a_winner_is_applied_to_the_template_that_serves(lws, template):
    lws.create("leaderworkersets", leader_worker_set(template=template))
    lws.create("sloguardstudies", study(target=TARGET, promotion=AUTOMATIC, **ONE_CANDIDATE))
    environment = []

    def is_over():
        environment.extend(d["spec"]["template"]["spec"]["containers"][0]["env"] for d in lws.servers())
        return lws.phase() == "Completed"

    lws.play(played(lws, is_over), poke=True)
    assert lws.status()["promotion"]["state"] == "Promoted"
    assert template_of(lws)["spec"]["containers"][0]["args"] == BEST
    (entry,) = [
        e for e in lws.get("leaderworkersets", "llama")["metadata"]["managedFields"] if e["manager"] == "sloguard"
    ]
    owned = entry["fieldsV1"]["f:spec"]["f:leaderWorkerTemplate"]
    containers = {'k:{"name":"vllm"}': {".": {}, "f:args": {}, "f:name": {}}}
    assert owned == {f"f:{template}": {"f:spec": {"f:containers": containers}}}
    assert environment
    assert all({"name": "LWS_GROUP_SIZE", "value": "1"} in each for each in environment)


def test_a_winner_that_does_not_hold_is_taken_back(lws):
    lws.production = lambda arguments: OOM if max_num_seqs(arguments) != 2 else None
    lws.create("leaderworkersets", leader_worker_set())
    lws.create("sloguardstudies", study(target=TARGET, promotion=AUTOMATIC, **ONE_CANDIDATE))
    lws.play(played(lws, lambda: lws.phase() == "Failed"), poke=True)
    assert lws.status()["promotion"]["state"] == "RolledBack"
    assert template_of(lws)["spec"]["containers"][0]["args"] == ARGUMENTS


def test_groups_of_several_pods_are_refused(lws):
    lws.create("leaderworkersets", leader_worker_set(size=4))
    lws.create("sloguardstudies", study(target=TARGET))
    lws.play(lambda: lws.stalled("TargetHasSeveralPods"))
    assert "groups of 4 pods" in lws.condition("Stalled")["message"]
    assert not lws.trials()


def test_the_definition_itself_says_what_arguments_are(lws):
    """So what is applied is checked there, as it is of Kubernetes' own kinds."""
    lws.create("leaderworkersets", leader_worker_set())
    group = {"workerTemplate": {"spec": {"containers": [{"name": "vllm", "args": "--max-num-seqs=4"}]}}}
    with pytest.raises(RefusedError, match=r"containers\[0\].args.* must be of type array"):
        lws.patch("leaderworkersets", "llama", {"spec": {"leaderWorkerTemplate": group}})
