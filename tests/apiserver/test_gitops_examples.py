"""examples/gitops for Argo CD, Flux and kustomize: taken by these projects' own definitions, and by kustomize."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from sloguard.cli import main
from tests.clusters.definitions import ARGO_APPLICATION, FLUX_KUSTOMIZATION, FLUX_REPOSITORY
from tests.unit.gitops.test_promote import results

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/gitops"
PATCH = "overlays/production/arguments.yaml"
STUDY = yaml.safe_load((EXAMPLES / "study.yaml").read_text())


@pytest.fixture(scope="module")
def served(cluster):
    definitions = [ARGO_APPLICATION, FLUX_KUSTOMIZATION, FLUX_REPOSITORY]
    files = [argument for one in definitions for argument in ("-f", str(one.path))]
    cluster.kubectl("apply", "--server-side", *files)
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=120s", *files, timeout_seconds=130)
    yield cluster
    cluster.kubectl("delete", *files)


@pytest.mark.parametrize("name", ["argocd/application.yaml", "flux/llama.yaml"])
def test_their_definitions_take_every_field(served, namespace, name):
    objects = list(yaml.safe_load_all((EXAMPLES / name).read_text()))
    for one in objects:
        one["metadata"]["namespace"] = namespace
    text = yaml.safe_dump_all(objects)
    # a field that a definition does not have is an error then, and not left out
    served.kubectl("apply", "--server-side", "--validate=strict", "-f", "-", stdin=text)


def test_their_names_are_those_of_the_study():
    target, metadata = STUDY["spec"]["target"], STUDY["metadata"]
    namespace, repository = metadata["namespace"], STUDY["spec"]["promotion"]["git"]["repository"]
    application = yaml.safe_load((EXAMPLES / "argocd/application.yaml").read_text())
    assert application["spec"]["source"]["repoURL"] == repository
    source, flux = yaml.safe_load_all((EXAMPLES / "flux/llama.yaml").read_text())
    assert source["spec"]["url"] == repository
    checked = {(c["kind"], c["name"], c["namespace"]) for c in flux["spec"]["healthChecks"]}
    assert checked == {("SLOGuardStudy", metadata["name"], namespace), (target["kind"], target["name"], namespace)}


def test_kustomize_makes_of_it_what_promote_has_written(cluster, tmp_path, monkeypatch):
    shutil.copytree(EXAMPLES / "kustomize", tmp_path / "apps")
    monkeypatch.chdir(tmp_path)
    results(tmp_path)
    assert arguments_of(cluster, tmp_path)[-1] == "--max-num-seqs=64"
    done = CliRunner().invoke(main, ["promote", "results", "--kustomize", f"apps/{PATCH}", "--write"])
    assert done.exit_code == 0, done.output
    made = arguments_of(cluster, tmp_path)
    assert made[:2] == ["--model=meta-llama/Llama-3.1-8B-Instruct", "--max-model-len=8192"]
    assert {"--max-num-seqs=192", "--gpu-memory-utilization=0.93"} <= set(made)
    assert "# by folklore" in (tmp_path / "apps" / PATCH).read_text()


def arguments_of(cluster, folder):
    made = yaml.safe_load(cluster.kubectl("kustomize", str(folder / "apps/overlays/production")))
    return made["spec"]["template"]["spec"]["containers"][0]["args"]
