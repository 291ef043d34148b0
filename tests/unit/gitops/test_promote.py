"""`sloguard promote`, on results as `sloguard tune` leaves them."""

import shutil
import subprocess

import pytest
import yaml
from click.testing import CliRunner

from sloguard.api.v1alpha1 import KnobName, Recommendation, Study, StudyStatus
from sloguard.cli import main
from sloguard.domain.arguments import with_parameters
from sloguard.local.directory import RunDirectory
from tests.programs import needs
from tests.unit.gitops.corpus_files import FOLDER

PRODUCTION = ["org/m", "--port", "8000", "--max-num-seqs", "64", "--enforce-eager"]
PARAMETERS = {KnobName.MAX_NUM_SEQS: "192", KnobName.GPU_MEMORY_UTILIZATION: "0.93"}
STUDY = {
    "apiVersion": "sloguard.dev/v1alpha1",
    "kind": "SLOGuardStudy",
    "metadata": {"name": "s"},
    "spec": {
        "target": {"kind": "Process", "command": ["vllm", "serve", *PRODUCTION]},
        "slos": [{"metric": "TTFT", "percentile": 99, "milliseconds": 500}],
        "workload": {
            "arrival": {"pattern": "Poisson", "requestsPerMinute": 600},
            "promptTokens": {"mean": 64, "stddev": 0, "min": 64, "max": 64},
            "outputTokens": {"mean": 64, "stddev": 0, "min": 64, "max": 64},
        },
        "budget": {"trials": 8, "gpuMinutes": 60, "wallClockMinutes": 60},
    },
}
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: llama
spec:
  template:
    spec:
      containers:
      - name: vllm
        image: vllm/vllm-openai
        args:  # of the team
        - org/m
        - --max-num-seqs
        - "64"
        - --enforce-eager
        - --port=8000
"""
WANTED = """\
--- a/llama.yaml
+++ b/llama.yaml
@@ -11,6 +11,7 @@
         args:  # of the team
         - org/m
         - --max-num-seqs
-        - "64"
-        - --enforce-eager
+        - "192"
         - --port=8000
+        - --gpu-memory-utilization
+        - "0.93"
"""


def results(tmp_path, parameters=PARAMETERS, *, recommended=True, **spec):
    study = Study.model_validate(STUDY | {"spec": STUDY["spec"] | spec})
    arguments = with_parameters(PRODUCTION, {KnobName.ENFORCE_EAGER}, parameters)
    found = Recommendation(
        trial="s-3-1", parameters=parameters, arguments=arguments, goodput_tokens_per_second=100, slos_met=True
    )
    with RunDirectory(tmp_path / "results", study) as directory:
        directory.write_status(StudyStatus(recommendation=found if recommended else None))
    return tmp_path / "results"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "llama.yaml").write_text(MANIFEST)
    results(tmp_path)
    return tmp_path


def promote(*options):
    return CliRunner().invoke(main, ["promote", "results", *options])


def test_the_change_is_printed_and_nothing_written(here):
    done = promote("--manifest", "llama.yaml")
    assert done.exit_code == 0
    assert done.stdout == WANTED
    assert done.stderr == ""
    assert (here / "llama.yaml").read_text() == MANIFEST


@needs("git")
def test_git_applies_what_is_printed_and_it_is_what_is_written(here):
    printed = promote("--manifest", "llama.yaml").stdout
    assert promote("--manifest", "llama.yaml", "--write").exit_code == 0
    written = (here / "llama.yaml").read_text()
    (here / "llama.yaml").write_text(MANIFEST)
    subprocess.run(["git", "apply", "-"], input=printed, text=True, check=True, cwd=here)
    assert (here / "llama.yaml").read_text() == written


@pytest.mark.usefixtures("here")
def test_doing_it_twice_changes_nothing_more():
    promote("--manifest", "llama.yaml", "--write")
    again = promote("--manifest", "llama.yaml")
    assert again.exit_code == 0
    assert again.stdout == ""
    assert "has these settings already" in again.stderr


def test_another_production_than_the_measured_one_is_told(here):
    (here / "llama.yaml").write_text(MANIFEST.replace('"64"', '"16"'))
    done = promote("--manifest", "llama.yaml")
    assert done.exit_code == 0
    assert "max_num_seqs is 16 there, was 64" in done.stderr


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("kustomization-inline.yaml", ["--kustomize"]),
        ("kustomize-strategic.yaml", ["--kustomize"]),
        ("production-stack-extra-args.yaml", ["--path", "servingEngineSpec.modelSpec[0].vllmConfig.extraArgs"]),
        ("flux-helmrelease.yaml", ["--path", "vllm.args"]),
        ("argo-values-string.yaml", ["--path", "engine.extraArgs"]),
    ],
)
def test_every_way_writes_what_it_prints(here, name, options):
    shutil.copy(FOLDER / name, here / "file.yaml")
    way = ["--kustomize", "file.yaml"] if options[0] == "--kustomize" else ["--helm-values", "file.yaml", *options]
    printed = promote(*way)
    assert printed.exit_code == 0, printed.output
    assert "+" in printed.stdout
    assert promote(*way, "--write").exit_code == 0
    assert promote(*way).stdout == ""


def test_a_folder_stands_for_its_kustomization(here):
    (here / "overlay").mkdir()
    shutil.copy(FOLDER / "kustomization-inline.yaml", here / "overlay" / "kustomization.yaml")
    assert "b/overlay/kustomization.yaml" in promote("--kustomize", "overlay").stdout
    (here / "empty").mkdir()
    assert "no kustomization.yaml" in promote("--kustomize", "empty").output


@pytest.mark.usefixtures("here")
def test_a_patch_of_its_own():
    done = promote("--patch", "--name", "llama", "--container", "vllm")
    assert done.exit_code == 0
    patch = yaml.safe_load(done.stdout)
    assert patch["metadata"] == {"name": "llama"}
    (container,) = patch["spec"]["template"]["spec"]["containers"]
    assert container == {
        "name": "vllm",
        "args": ["org/m", "--port", "8000", "--max-num-seqs", "192", "--gpu-memory-utilization", "0.93"],
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "give one of --manifest"),
        (["--manifest", "llama.yaml", "--patch"], "give one of"),
        (["--helm-values", "llama.yaml"], "go together"),
        (["--manifest", "llama.yaml", "--path", "a"], "go together"),
        (["--patch"], "--name and its --container"),
        (["--patch", "--name", "a", "--container", "b", "--kind", "Service"], "can be made for Deployment"),
        (["--patch", "--name", "a", "--container", "b", "--write"], "redirect it into a file"),
        (["--manifest", "missing.yaml"], "missing.yaml cannot be read: No such file"),
        (["--manifest", "llama.yaml", "--name", "other"], "llama.yaml: no container fits"),
        (["--manifest", "binary"], "no text in UTF-8"),
    ],
)
def test_what_is_not_as_needed_is_told(here, options, says):
    (here / "binary").write_bytes(b"\xff\xfe\x00")
    done = promote(*options)
    assert done.exit_code == 2
    assert says in done.output
    assert (here / "llama.yaml").read_text() == MANIFEST


def test_without_a_recommendation_there_is_nothing_to_promote(here):
    shutil.rmtree(here / "results")
    results(here, recommended=False)
    done = promote("--manifest", "llama.yaml")
    assert done.exit_code == 3
    assert "recommends nothing" in done.output


def test_what_clients_may_send_is_never_narrowed_unasked(here):
    shutil.rmtree(here / "results")
    results(here, {KnobName.MAX_MODEL_LEN: "4096"})
    (here / "llama.yaml").write_text(MANIFEST + "        - --max-model-len=32k\n")
    done = promote("--manifest", "llama.yaml")
    assert done.exit_code == 2
    assert "max_model_len would go from 32000 down to 4096" in done.output
    shutil.rmtree(here / "results")
    results(here, {KnobName.MAX_MODEL_LEN: "4096"}, searchSpace={"allowQualityChange": True})
    assert "+        - --max-model-len=4096" in promote("--manifest", "llama.yaml").stdout


def test_permissions_and_links_stay(here):
    (here / "llama.yaml").chmod(0o640)
    (here / "link.yaml").symlink_to("llama.yaml")
    assert promote("--manifest", "link.yaml", "--write").exit_code == 0
    assert (here / "link.yaml").is_symlink()
    assert (here / "llama.yaml").stat().st_mode & 0o777 == 0o640
    assert "192" in (here / "llama.yaml").read_text()
    assert not list(here.glob(".*sloguard"))


@pytest.mark.usefixtures("here")
def test_a_directory_without_results_is_told():
    done = CliRunner().invoke(main, ["promote", "nowhere", "--manifest", "llama.yaml"])
    assert done.exit_code == 2
