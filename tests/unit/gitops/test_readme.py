"""The README's ways into production's files, as they stand there, one after the other."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from sloguard.cli import main
from tests.programs import needs
from tests.unit.gitops.corpus_files import FOLDER
from tests.unit.gitops.test_promote import MANIFEST, results

README = (Path(__file__).resolve().parents[3] / "README.md").read_text()
FILES = {
    "deploy/llama.yaml": MANIFEST,
    "overlays/production/patch.yaml": (FOLDER / "kustomize-strategic.yaml").read_text(),
    "values.yaml": "engine:\n  extraArgs: [--max-num-seqs=64]   # the team's\n",
}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "A Person")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "a@example.com")
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "production")
    results(tmp_path)
    (tmp_path / "results").rename(tmp_path / "found")
    (tmp_path / "results").mkdir()
    (tmp_path / "found").rename(tmp_path / "results" / "one-gpu")
    return tmp_path


def git(*words):
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


@needs("git")
def test_the_ways_of_the_readme(repository):
    lines = re.findall(r"^sloguard promote .*$", README, flags=re.MULTILINE)
    said = []
    for line in lines:
        done = CliRunner().invoke(main, shlex.split(line)[1:])
        assert done.exit_code == 0, f"{line}\n{done.output}"
        said.append(done.stdout)
    assert '+        - "192"' in said[0]
    assert (repository / "deploy/llama.yaml").read_text() == MANIFEST
    assert git("diff", "--name-only") == "overlays/production/patch.yaml\n"
    assert "- --max-num-seqs=192" in (repository / "overlays/production/patch.yaml").read_text()
    assert git("show", "tuned-llama:values.yaml") == (
        "engine:\n  extraArgs: [--max-num-seqs=192, --gpu-memory-utilization=0.93]   # the team's\n"
    )
    assert len(said) == 3
