"""Somebody changes production while a study searches."""

from tests.apiserver.operator.objects import production, study


def image(name):
    return {"spec": {"template": {"spec": {"containers": [{"name": "vllm", "image": name, "args": ARGUMENTS}]}}}}


ARGUMENTS = production()["spec"]["template"]["spec"]["containers"][0]["args"]
OLD, NEW = "vllm/vllm-openai:v0.33.0", "vllm/vllm-openai:v0.34.0"


def test_a_new_image_stalls_and_with_restart_begins_anew(world, operator):
    world.create("deployments", production())
    world.create("sloguardstudies", study(budget={"trials": 30}))
    world.play(lambda: len(world.trials()) > 3)
    world.patch("deployments", "llama", {"spec": {"replicas": 2}, "metadata": {"annotations": {"note": "scaled"}}})
    world.play(lambda: len(world.trials()) > 4)
    assert world.condition("Stalled")["status"] == "False"

    world.patch("deployments", "llama", image(NEW))
    world.play(lambda: world.stalled("TargetChanged"), poke=True)
    assert f"its image from {OLD} to {NEW}" in world.condition("Stalled")["message"]
    world.play(lambda: not world.servers() and not world.items("jobs"))
    made = len(world.trials())

    world.patch("sloguardstudies", "s", {"spec": {"onTargetChange": "Restart"}})
    world.play(lambda: world.status().get("target", {}).get("firstTrial", 0) > 0, poke=True)
    operator.kill()
    operator.start()
    world.play(lambda: world.phase() == "AwaitingApproval", seconds=120)
    first = world.status()["target"]["firstTrial"]
    assert first == made
    trials = world.trials()
    numbers = sorted(t["spec"]["number"] for t in trials.values())
    assert numbers == list(range(len(numbers)))
    purposes = [trials[f"s-{number}-1"]["spec"]["purpose"] for number in (first, first + 1)]
    assert purposes == ["Production", "Default"]
    assert int(world.status()["recommendation"]["trial"].split("-")[1]) >= first
    assert world.status()["trials"]["total"] == len(numbers)
