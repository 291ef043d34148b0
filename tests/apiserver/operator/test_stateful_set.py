"""Production as a StatefulSet, with Kubernetes' own controller for it: measured, promoted, and taken back."""

from tests.apiserver.operator.objects import ARGUMENTS, BEST, stateful_set, study
from tests.apiserver.operator.world import OOM, arguments_of, max_num_seqs

TARGET = {"kind": "StatefulSet"}
ONE_CANDIDATE = {
    "searchSpace": {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 10, "max": 10}}]},
    "budget": {"trials": 3},
}
AUTOMATIC = {"mode": "Automatic", "confirmations": 0}


def pods_of_production(world):
    pods = [p for p in world.items("pods") if "sloguard.dev/trial" not in p["metadata"]["labels"]]
    return {p["metadata"]["name"]: arguments_of(p) for p in pods}


def test_a_winner_reaches_every_pod_and_candidates_have_volumes_of_their_own(world):
    world.create("statefulsets", stateful_set())
    world.create("sloguardstudies", study(target=TARGET, promotion=AUTOMATIC, **ONE_CANDIDATE))
    made = {}

    def is_over():
        made.update({d["metadata"]["name"]: d["spec"]["template"]["spec"] for d in world.servers()})
        return world.phase() == "Completed"

    world.play(is_over, poke=True)
    assert world.status()["promotion"]["state"] == "Promoted"
    assert pods_of_production(world) == {"llama-0": BEST, "llama-1": BEST}
    stored = world.get("statefulsets", "llama")
    (entry,) = [e for e in stored["metadata"]["managedFields"] if e["manager"] == "sloguard"]
    template = entry["fieldsV1"]["f:spec"]["f:template"]["f:spec"]
    assert template == {"f:containers": {'k:{"name":"vllm"}': {".": {}, "f:args": {}, "f:name": {}}}}
    assert set(made) == {"s-0-1", "s-1-1", "s-2-1"}
    for spec in made.values():
        (volume,) = spec["volumes"]
        claimed = volume["ephemeral"]["volumeClaimTemplate"]["spec"]
        assert (volume["name"], claimed["accessModes"]) == ("models", ["ReadWriteOnce"])
    told = world.condition("CandidatesDiffer")
    assert (told["status"], told["reason"]) == ("True", "Volumes")
    assert "volumes of their own for models" in told["message"]


def test_a_pod_that_dies_of_the_winner_is_not_waited_for(world):
    """Kubernetes leaves it where it is, even when the template has its previous arguments again."""
    world.production = lambda arguments: OOM if max_num_seqs(arguments) != 2 else None
    world.create("statefulsets", stateful_set())
    world.create("sloguardstudies", study(target=TARGET, promotion=AUTOMATIC, **ONE_CANDIDATE))
    world.play(lambda: world.phase() == "Failed", poke=True)
    promotion = world.status()["promotion"]
    assert promotion["state"] == "RolledBack"
    assert "pod llama-1 did not stay up: OOMKilled, exit code 137" in promotion["message"]
    assert pods_of_production(world) == {"llama-0": ARGUMENTS, "llama-1": ARGUMENTS}
    assert world.container(plural="statefulsets")["args"] == ARGUMENTS
    assert world.get("statefulsets", "llama")["status"]["availableReplicas"] == 2
    world.play(lambda: "finalizers" not in world.study()["metadata"])


def test_what_keeps_an_update_from_its_pods_is_told_before_anything_is_changed(world):
    world.create("statefulsets", stateful_set(replicas=1, updateStrategy={"type": "OnDelete"}))
    world.create("sloguardstudies", study(target=TARGET, promotion=AUTOMATIC, **ONE_CANDIDATE))
    world.play(lambda: world.stalled("PromotionWithheld"), poke=True)
    assert "updateStrategy OnDelete" in world.condition("Stalled")["message"]
    world.patch("statefulsets", "llama", {"spec": {"updateStrategy": {"type": "RollingUpdate"}}})
    world.play(lambda: world.stalled("PromotionNeedsDowntime"), poke=True)
    told = world.condition("Stalled")["message"]
    assert "ends the only replica before new ones are ready" in told
    assert "Give the StatefulSet more replicas, or allow it by spec.promotion.allowDowntime" in told
    assert world.container(plural="statefulsets")["args"] == ARGUMENTS
    world.patch("sloguardstudies", "s", {"spec": {"promotion": {"allowDowntime": True}}})
    world.play(lambda: world.phase() == "Completed", poke=True)
    assert pods_of_production(world) == {"llama-0": BEST}


def test_somebody_changes_its_image(world):
    world.create("statefulsets", stateful_set())
    world.create("sloguardstudies", study(target=TARGET, budget={"trials": 30}))
    world.play(lambda: len(world.trials()) > 2)
    world.patch("statefulsets", "llama", {"spec": {"replicas": 3}})
    world.play(lambda: len(world.trials()) > 3)
    assert world.condition("Stalled")["status"] == "False"
    program = world.container(plural="statefulsets") | {"image": "vllm/vllm-openai:v0.34.0"}
    world.patch("statefulsets", "llama", {"spec": {"template": {"spec": {"containers": [program]}}}})
    world.play(lambda: world.stalled("TargetChanged"), poke=True)
    assert (
        "its image from vllm/vllm-openai:v0.33.0 to vllm/vllm-openai:v0.34.0" in world.condition("Stalled")["message"]
    )
    world.play(lambda: not world.servers() and not world.items("jobs"))


def test_one_that_is_not_there(world):
    world.create("sloguardstudies", study(target=TARGET))
    world.play(lambda: world.stalled("TargetNotFound"))
    assert "there is no StatefulSet llama in this namespace" in world.condition("Stalled")["message"]
