"""What `sloguard promote` writes, as kubectl, kustomize and the API server take it."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner

from sloguard.cli import main
from sloguard.gitops.edit import with_settings
from tests.unit.gitops.corpus_files import shape
from tests.unit.gitops.test_corpus import NEW
from tests.unit.gitops.test_promote import results

PRODUCTION = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: llama
spec:
  selector: {matchLabels: {app: llama}}
  template:
    metadata: {labels: {app: llama}}
    spec:
      containers:
      - name: vllm
        image: vllm/vllm-openai
        args: [--model=m]   # the team's
"""
PATCHES = {
    "kustomize-strategic.yaml": ["--model=m", "--max-num-seqs=192", "--gpu-memory-utilization=0.93"],
    "kustomize-json6902.yaml": ["--model=m", "--max-num-seqs", "192", "--gpu-memory-utilization", "0.93"],
    "kustomize-json6902-add.yaml": [
        "--model=m",
        "--max-num-seqs=192",
        "--trust-remote-code",
        "--gpu-memory-utilization=0.93",
    ],
}
KUSTOMIZATIONS = {
    "kustomization-inline.yaml": ["--model", "m", "--max-num-seqs", "192", "--gpu-memory-utilization", "0.93"],
    "kustomization-inline-strategic.yaml": ["--max-num-seqs=192", "--model=m", "--gpu-memory-utilization=0.93"],
}


def edited(name):
    one = shape(name)
    return with_settings(one.text, one.find, set(NEW), NEW)


def args_of(deployment):
    return deployment["spec"]["template"]["spec"]["containers"][0]["args"]


def built(cluster, folder, kustomization):
    (folder / "production.yaml").write_text(PRODUCTION)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization | {"resources": ["production.yaml"]}))
    return args_of(yaml.safe_load(cluster.kubectl("kustomize", str(folder))))


@pytest.mark.parametrize("name", PATCHES)
def test_kustomize_applies_an_edited_patch(cluster, tmp_path, name):
    (tmp_path / "patch.yaml").write_text(edited(name))
    patches = [{"path": "patch.yaml", "target": {"kind": "Deployment"}}]
    assert built(cluster, tmp_path, {"patches": patches}) == PATCHES[name]


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_kustomize_applies_a_patch_within_an_edited_kustomization(cluster, tmp_path, name):
    content = yaml.safe_load(edited(name))
    content["patches"] = [patch for patch in content["patches"] if "patch" in patch]
    assert built(cluster, tmp_path, content) == KUSTOMIZATIONS[name]


def test_the_api_server_takes_an_edited_manifest(cluster, namespace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results(tmp_path)
    (tmp_path / "llama.yaml").write_text(PRODUCTION)
    done = CliRunner().invoke(main, ["promote", "results", "--manifest", "llama.yaml", "--write"])
    assert done.exit_code == 0, done.output
    cluster.kubectl("apply", "--server-side", "-n", namespace, "-f", str(tmp_path / "llama.yaml"))
    assert args_of(cluster.get("deployment", "llama", namespace)) == [
        "--model=m",
        "--max-num-seqs=192",
        "--gpu-memory-utilization=0.93",
    ]


def test_kubectl_takes_a_patch_of_its_own(cluster, namespace, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results(tmp_path)
    cluster.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=PRODUCTION)
    patch = CliRunner().invoke(main, ["promote", "results", "--patch", "--name", "llama", "--container", "vllm"]).stdout
    (tmp_path / "patch.yaml").write_text(patch)
    cluster.kubectl("patch", "deployment", "llama", "-n", namespace, "--patch-file", str(tmp_path / "patch.yaml"))
    (container,) = cluster.get("deployment", "llama", namespace)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "vllm/vllm-openai"
    assert container["args"][-2:] == ["--gpu-memory-utilization", "0.93"]
