"""The README's sequence for mode Git, as it stands there: from a Secret to production that is verified.

Ours are the hosts, the namespace, and a study that is as short as can be. A GitOps controller really applies the
repository; a person is played who merges what the README's commands have shown.
"""

import os
import re
import signal
import subprocess

import pytest
import yaml

from tests.apiserver.operator.conftest import ROOT
from tests.apiserver.operator.gitops_agent import Agent
from tests.apiserver.operator.test_git_promotion import MANIFEST, forge, hosted, https, ran_by
from tests.apiserver.operator.world import max_num_seqs
from tests.clusters.cache import wait_until
from tests.short_study import short_spec

__all__ = ["forge", "hosted", "https"]

SECTION = (ROOT / "README.md").read_text().partition("\n### Through Git\n")[2].partition("\n##")[0]
(BLOCK,) = re.findall(r"^```sh\n(.*?)^```", SECTION, flags=re.MULTILINE | re.DOTALL)
STUDY = yaml.safe_load((ROOT / "examples/gitops/study.yaml").read_text())
GIT = STUDY["spec"]["promotion"]["git"]


@pytest.fixture
def production(world, hosted, installed, tmp_path):
    """As the example's study names it."""
    name = f"  name: {GIT['file']['name']}\n  namespace: {world.namespace}\n"
    hosted.commit({GIT["file"]["path"]: MANIFEST.replace("  name: llama\n", name, 1)})
    world.git = ran_by(world, tmp_path)
    folder = tmp_path / "agent"
    folder.mkdir()
    agent = Agent(installed, world.namespace, hosted, "apps/llm", folder)
    try:
        wait_until("production is there", lambda: seqs(world), 60, hint=str(folder / "logs/agent.log"))
        yield
    finally:
        agent.stop()


def seqs(world):
    return max_num_seqs(world.container(GIT["file"]["name"])["args"])


def example(world, hosted, forge):
    """Of the example what is about Git; the rest is soon done."""
    place = {"forge": "GitHub", "api": f"https://127.0.0.1:{forge.port}/api/v3"}
    git = GIT | {"repository": hosted.url, "pullRequest": place}
    promotion = {"mode": "Git", "confirmations": 0, "verification": {"durationSeconds": 1}, "git": git}
    space = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 10, "max": 10}}]}
    spec = short_spec(target=STUDY["spec"]["target"], searchSpace=space, budget={"trials": 3}, promotion=promotion)
    return STUDY | {"metadata": STUDY["metadata"] | {"namespace": world.namespace}, "spec": spec}


@pytest.fixture
def typed(world, hosted, installed, https, forge, tmp_path):
    """The README's block in a person's shell."""
    (tmp_path / "token").write_text(https.token_file.read_text())
    (tmp_path / "ca.pem").write_text(https.ca_file.read_text())
    (tmp_path / "examples/gitops").mkdir(parents=True)
    (tmp_path / "examples/gitops/study.yaml").write_text(yaml.safe_dump(example(world, hosted, forge)))
    (tmp_path / "kubectl").symlink_to(installed.kubectl_program)
    assert f"repositories={GIT['repository']} " in BLOCK
    block = BLOCK.replace(GIT["repository"], '"$REPOSITORIES"').replace("-n serving ", f"-n {world.namespace} ")
    environment = installed.environment() | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "REPOSITORIES": f"{hosted.url}\nhttps://127.0.0.1:{forge.port}/api\n",
    }
    with (tmp_path / "said").open("w") as said:
        shell = subprocess.Popen(
            ["bash", "-eu", "-c", block],
            cwd=tmp_path,
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    yield shell
    if shell.poll() is None:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()


@pytest.mark.usefixtures("production")
def test_the_readme_s_sequence(world, hosted, forge, typed, tmp_path):
    def ended():
        requests = forge.open_ones()
        if requests and f"/pull/{requests[0]['number']}\n" in (tmp_path / "said").read_text():
            assert seqs(world) == 2, "nobody has merged it yet"
            requests[0] |= {"open": False, "merged": "2026-03-02T12:00:00Z"}
            hosted.git("update-ref", "refs/heads/main", hosted.tip(requests[0]["branch"]))
        return typed.poll() is not None

    world.play(ended, 240, poke=True)
    assert typed.returncode == 0, (tmp_path / "said").read_text()
    assert seqs(world) == 10
    assert world.phase("llama") == "Completed"
