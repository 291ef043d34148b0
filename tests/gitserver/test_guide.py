"""The commands of examples/gitops/README.md, as they stand there; only hosts and ports are ours."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gitserver.asked import FILES
from tests.gitserver.servers import create
from tests.unit.gitops.corpus_files import FOLDER
from tests.unit.gitops.test_promote import results

GUIDE = (Path(__file__).resolve().parents[2] / "examples/gitops/README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL)
APPLICATION = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: llama
spec:
  source:
    helm:
      valuesObject:
        engine:
          extraArgs: [--max-num-seqs=64]  # the team's
"""
REPOSITORY = FILES | {
    "overlays/production/kustomization.yaml": (FOLDER / "kustomization-inline.yaml").read_text(),
    "argocd/llama.yaml": APPLICATION,
    "flux/llama.yaml": (FOLDER / "flux-helmrelease.yaml").read_text(),
}


@pytest.fixture
def here(tmp_path, gitea, ssh, monkeypatch):
    """What the guide says is there."""
    monkeypatch.chdir(tmp_path)
    results(tmp_path)
    (tmp_path / "results").rename(tmp_path / "found")
    (tmp_path / "results").mkdir()
    (tmp_path / "found").rename(tmp_path / "results" / "one-gpu")
    shutil.copy(gitea.ca_file, "ca.pem")
    shutil.copy(ssh.key, "deploy-key")
    gitea.new_token(tmp_path / "token", "write:repository", "write:issue")


def run(block, **hosts):
    for name, ours in hosts["ours"].items():
        assert name in block
        block = block.replace(name, ours)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-eu", "-c", block], check=False, capture_output=True, text=True, env=os.environ | {"PATH": path}
    )


def test_the_guide_has_three_blocks():
    """What is typed for the operator stands in the README: tests/apiserver/operator/test_through_git.py."""
    assert len(BLOCKS) == 3


@pytest.mark.usefixtures("here")
def test_a_pull_request_and_other_places(gitea):
    hosted = gitea.repository(REPOSITORY)
    ours = {"https://git.example.com/team/apps.git": hosted.url}
    for block in (BLOCKS[0], BLOCKS[0], BLOCKS[1]):
        done = run(block, ours=ours)
        assert done.returncode == 0, done.stderr
    (one,) = hosted.pull_requests()
    assert "### Settings" in one["body"]
    assert sorted(hosted.branches()) == ["main", "sloguard/argo", "sloguard/flux", "sloguard/llama", "sloguard/overlay"]
    for branch in hosted.branches()[1:]:
        assert hosted.ahead(branch) == 1
        assert "192" in hosted.git("diff", "main", branch)


@pytest.mark.usefixtures("here")
def test_by_ssh(ssh):
    hosted = create(ssh.root, ssh.url, REPOSITORY)
    ours = {"ssh-keyscan git.example.com": f"ssh-keyscan -p {ssh.port} 127.0.0.1"}
    done = run(BLOCKS[2], ours=ours | {"ssh://git@git.example.com/team/apps.git": hosted.url})
    assert done.returncode == 0, done.stderr
    assert '"192"' in hosted.text("apps/llm/llama.yaml")
    assert "BEGIN SSH SIGNATURE" in hosted.git("cat-file", "commit", "main")


def test_the_reasons_are_those_that_there_are():
    from sloguard.gitops.remote.proposal import Reason

    table = GUIDE[GUIDE.index("| reason |") :]
    named = re.findall(
        r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", " ".join(row.split("|")[1] for row in table.splitlines()[2:])
    )
    told_by_options = {Reason.INVALID_REQUEST, Reason.CREDENTIALS_UNREADABLE, Reason.EDIT_REFUSED}
    assert set(named) == {reason for reason in Reason if not reason.succeeded} - told_by_options
