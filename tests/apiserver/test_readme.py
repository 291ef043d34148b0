"""The README's kubectl commands, as they stand there, against a real API server."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WATCH_SECONDS = 2


def kubectl_lines() -> list[str]:
    """Installing first: the README tells of the demonstration before it. Through Git: operator/test_through_git.py."""
    readme = re.sub(r"^### Through Git\n.*?^##", "##", (ROOT / "README.md").read_text(), flags=re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```sh\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("kubectl ")]
    return sorted(lines, key=lambda line: ("apply" not in line, "my-study.yaml" in line))


@pytest.fixture
def machine(cluster: Any, tmp_path: Path) -> dict[str, str]:
    """A user's shell: kubectl on the PATH, and a kubeconfig with the context that kind would have made."""
    config = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))
    own = next(c for c in config["contexts"] if c["name"] == config["current-context"])
    config["contexts"].append({"name": "kind-sloguard", "context": own["context"]})
    (tmp_path / "config").write_text(json.dumps(config))
    (tmp_path / "kubectl").symlink_to(cluster.kubectl_program)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "KUBECONFIG": str(tmp_path / "config")}


def run(line: str, environment: dict[str, str], folder: Path) -> str:
    """As typed. A watch has no end of its own."""
    limited = f"timeout {WATCH_SECONDS} {line} || [ $? = 124 ]" if line.endswith("--watch") else line
    ended = subprocess.run(
        ["bash", "-c", limited], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, f"{line}\n{ended.stdout}{ended.stderr}"
    return ended.stdout


def test_kubectl_commands(cluster: Any, machine: dict[str, str], tmp_path: Path):
    for name in ("crds", "charts"):
        (tmp_path / name).symlink_to(ROOT / name)
    study = yaml.safe_load((ROOT / "examples" / "kind" / "study.yaml").read_text())
    manual = {**study["spec"], "promotion": {"mode": "Manual"}}
    mine = {**study, "metadata": {"name": "my-study"}, "spec": manual}
    (tmp_path / "my-study.yaml").write_text(yaml.safe_dump(mine))
    lines = kubectl_lines()
    installing = [line for line in lines if "my-study" not in line and "apply" in line]
    said = {line: run(line, machine, tmp_path) for line in installing}
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(ROOT / "crds"))
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}}, study)
    try:
        said |= {line: run(line, machine, tmp_path) for line in lines if line not in installing}
        assert len(said) == len(lines)
        shown = next(text for line, text in said.items() if "slostudies,slotrials" in line)
        assert "first" in shown
        approved = cluster.get("sloguardstudies", "my-study", "default")["spec"]["promotion"]["approvedTrial"]
        assert approved == "my-study-7-1"
    finally:
        cluster.kubectl("delete", "sloguardstudies", "my-study", "-n", "default", "--ignore-not-found")
        cluster.kubectl("delete", "sloguardstudies", "first", "-n", "demo", "--ignore-not-found")
