"""What keeps a study from going on stands in its condition Stalled, until it is mended."""

from sloguard.cluster.execute import COMPONENT
from tests.apiserver.operator.objects import ARGUMENTS, production, study

SPACE = {"preset": "None", "parameters": [{"name": "max_num_batched_tokens", "int": {"min": 64, "max": 128}}]}


def containers(*those):
    return {"spec": {"template": {"spec": {"containers": list(those)}}}}


def test_each_fault_of_the_target_is_named_and_goes_when_mended(world):
    world.create("sloguardstudies", study(searchSpace=SPACE))
    world.play(lambda: world.stalled("TargetNotFound"))
    assert world.condition("Stalled")["message"].startswith("there is no Deployment llama in this namespace")
    assert world.condition("Reconciling")["status"] == "False"

    other = production(container="web")
    world.create("deployments", other)
    world.play(lambda: world.stalled("ContainerNotFound"), poke=True)
    assert "spec.target.container can be one of: web" in world.condition("Stalled")["message"]

    program = {"name": "vllm", "image": "vllm"}
    shell = program | {"command": ["sh", "-c"], "args": ["vllm serve org/model $FLAGS"]}
    world.patch("deployments", "llama", containers(shell))
    world.play(lambda: world.stalled("ArgumentsNotUnderstood"), poke=True)
    assert "$FLAGS" in world.condition("Stalled")["message"]

    narrow = [*ARGUMENTS, "--max-model-len=4096", "--no-enable-chunked-prefill"]
    world.patch("deployments", "llama", containers(program | {"args": narrow}))
    world.play(lambda: world.stalled("SearchSpaceInvalid"), poke=True)

    labelled = containers(program | {"args": ARGUMENTS}) | {"metadata": {"labels": {"sloguard.dev/study": "other"}}}
    world.patch("deployments", "llama", labelled)
    world.play(lambda: world.stalled("TargetIsCandidate"), poke=True)
    assert world.trials() == {}

    world.patch("deployments", "llama", {"metadata": {"labels": {"sloguard.dev/study": None}}})
    world.play(lambda: world.condition("Stalled").get("status") == "False", poke=True)
    world.play(lambda: "s-0-1" in world.trials())
    ours = [e for e in world.items("events") if e.get("source", {}).get("component") == COMPONENT]
    reasons = [e["reason"] for e in ours if e["type"] == "Warning"]
    assert sorted(reasons) == [
        "ArgumentsNotUnderstood",
        "ContainerNotFound",
        "SearchSpaceInvalid",
        "TargetIsCandidate",
        "TargetNotFound",
    ]


def test_a_refusal_of_the_api_server_is_passed_on(world):
    """A Service cannot have such a port; the sentence is the API server's."""
    world.create("deployments", production(args=["org/model", "--max-num-seqs=2", "--port=80000"]))
    world.create("sloguardstudies", study())
    world.play(lambda: world.stalled("Refused"))
    assert "must be between 1 and 65535" in world.condition("Stalled")["message"]
    assert world.servers() == []
