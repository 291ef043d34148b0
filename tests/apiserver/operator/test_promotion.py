"""A winner that does not hold in production is taken back, however the arguments are written down there."""

import pytest

from tests.apiserver.operator.objects import ARGUMENTS, production, study
from tests.apiserver.operator.world import OOM, max_num_seqs

SHAPES = {
    "command": (
        {"command": ["vllm", "serve", *ARGUMENTS], "args": []},
        {"command": ["vllm", "serve", *ARGUMENTS]},
    ),
    # settings on both sides: they cannot go back to where they stood, but they mean the same
    "both": (
        {"command": ["vllm", "serve", *ARGUMENTS[:2]], "args": ARGUMENTS[2:]},
        {"command": ["vllm", "serve"], "args": ARGUMENTS},
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_production_comes_back(shape, world):
    before, after = SHAPES[shape]
    world.production = lambda arguments: OOM if max_num_seqs(arguments) != 2 else None
    world.create("deployments", production(**before))
    # one candidate, not confirmed: as short as can be
    promotion = {"mode": "Automatic", "confirmations": 0}
    space = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 10, "max": 10}}]}
    world.create("sloguardstudies", study(promotion=promotion, searchSpace=space, budget={"trials": 3}))
    world.play(lambda: world.phase() == "Failed", poke=True)
    promotion = world.status()["promotion"]
    assert promotion["state"] == "RolledBack"
    assert "did not stay up: OOMKilled, exit code 137" in promotion["message"]
    assert world.stalled("PromotionRolledBack")
    kept = {field: world.container()[field] for field in ("command", "args") if field in world.container()}
    assert kept == after
    world.play(lambda: "finalizers" not in world.study()["metadata"])
