"""Production that a GitOps controller really applies from a repository and heals by itself.

Patched in place nothing would stay, and nothing is patched; by Git it comes, and stays.
"""

import time

import pytest

from tests.apiserver.operator.gitops_agent import RESYNC_SECONDS, Agent
from tests.apiserver.operator.test_git_promotion import FILE, MANIFEST, Shop, hosted, https, ran_by
from tests.apiserver.operator.world import max_num_seqs
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
