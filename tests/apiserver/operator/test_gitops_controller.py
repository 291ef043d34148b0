"""Production that a GitOps controller really applies from a repository and heals by itself.

Patched in place nothing stays, and the operator patches nothing; by Git it comes and stays, or is reverted.
"""

import json
import time

import pytest

from tests.apiserver.operator.gitops_agent import RESYNC_SECONDS, Agent
from tests.apiserver.operator.test_git_promotion import FILE, MANIFEST, Shop, hosted, https, ran_by
from tests.apiserver.operator.test_promotion import assert_remembered
from tests.apiserver.operator.world import OOM, max_num_seqs
from tests.clusters.cache import wait_until

__all__ = ["hosted", "https"]


@pytest.fixture
def shop(world, hosted, installed, https, tmp_path):
    hosted.commit({FILE: manifest(world.namespace)})
    world.git = ran_by(world, tmp_path)
    one = Shop(world, hosted, installed, https, syncs=False)
    folder = tmp_path / "agent"
    folder.mkdir()
    agent = Agent(installed, world.namespace, hosted, "apps", folder)
    try:
        wait_until("production is there", world.container, 60, hint=str(folder / "logs/agent.log"))
        yield one
        one.holds()
    finally:
        agent.stop()


def manifest(namespace):
    """The controller watches one namespace, and takes what says that it is of it."""
    return MANIFEST.replace("  name: llama\n", f"  name: llama\n  namespace: {namespace}\n", 1)


def by_hand(shop, seqs):
    """As somebody in a hurry does it."""
    args = json.dumps(["org/model", "--port=8000", f"--max-num-seqs={seqs}"])
    change = f'[{{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": {args}}}]'
    shop.installed.kubectl("patch", "deployment", "llama", "-n", shop.world.namespace, "--type=json", "-p", change)


def rolled_out(shop):
    production = shop.world.get("deployments", "llama")
    status = production["status"]
    seen = status["observedGeneration"] == production["metadata"]["generation"]
    return seen and status.get("updatedReplicas") == status.get("availableReplicas") == 1


def settings(shop):
    return max_num_seqs(shop.world.container()["args"])


def test_patching_is_refused_and_git_ends_with_production_verified(shop, hosted):
    shop.secret()
    shop.study(mode="Automatic", base="main")
    shop.until(lambda: shop.world.stalled("TargetManagedByGitOps"))
    assert "spec.promotion.mode Git does all that" in shop.world.condition("Stalled")["message"]
    assert settings(shop) == 2
    shop.world.patch("sloguardstudies", "s", {"spec": {"promotion": {"mode": "Git"}}})
    shop.until(lambda: shop.state() == "Promoted", 90)
    assert shop.promotion["git"]["commit"] == hosted.tip("main")
    time.sleep(3 * RESYNC_SECONDS)
    assert settings(shop) == 10, "it stays, since it is what the repository says"
    assert not shop.world.stalled("TargetManagedByGitOps")
    by_hand(shop, 5)
    shop.until(lambda: settings(shop) == 10)
    shop.until(lambda: rolled_out(shop))
    assert shop.state() == "Promoted"
    assert hosted.ahead("main", hosted.tip("main") + "~1") == 1, "nothing more is asked of the repository"


def test_what_fails_in_production_goes_back_by_the_revert(shop, hosted):
    before = hosted.text(FILE)
    shop.world.production = lambda arguments: OOM if max_num_seqs(arguments) == 10 else None
    shop.secret()
    shop.study(base="main")
    shop.until(lambda: shop.state() == "RolledBack", 90)
    assert hosted.text(FILE) == before
    git = shop.promotion["git"]
    assert [git["commit"], git["revertCommit"]] == hosted.git("rev-parse", "main~1", "main").split()
    assert settings(shop) == 2
    assert shop.world.stalled("PromotionRolledBack")
    time.sleep(2 * RESYNC_SECONDS)
    assert settings(shop) == 2
    assert_remembered(shop.world)
