"""Each command of the README is run by a test, and this table says by which."""

import re
from pathlib import Path

import pytest

from sloguard.api.loading import load_study
from sloguard.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()

RUN_BY = {
    # command: (file, what in it runs the command)
    "examples/quickstart": ("tests/quickstart/test_quickstart.py", '"examples" / "quickstart"'),
    "tests/run": (".ci/run", "tests/run"),
    "tests/run unit": ("tests/driver/tiers.py", '"unit": Tier('),
    "tests/run simulation": ("tests/driver/tiers.py", '"simulation": Tier('),
    "tests/run quickstart": ("tests/driver/tiers.py", '"quickstart": Tier('),
    "tests/run apiserver": ("tests/driver/tiers.py", '"apiserver": Tier('),
    "tests/run e2e": ("tests/driver/tiers.py", '"e2e": Tier('),
    "tests/run vllm": ("tests/driver/tiers.py", '"vllm": Tier('),
    "tests/run git": ("tests/driver/tiers.py", '"git": Tier('),
    "pip install .": ("Dockerfile", "install --root-user-action ignore --no-deps --target /app ."),
    "sloguard tune examples/one-gpu.yaml --output results/one-gpu": ("tests/unit/local/test_one_gpu.py", "README"),
    "sloguard report results/one-gpu": ("tests/unit/local/test_one_gpu.py", "README"),
    "sloguard promote results/one-gpu --manifest deploy/llama.yaml": ("tests/unit/gitops/test_readme.py", "README"),
    "sloguard promote results/one-gpu --kustomize overlays/production/patch.yaml --write": (
        "tests/unit/gitops/test_readme.py",
        "README",
    ),
    "sloguard promote results/one-gpu --helm-values values.yaml --path engine.extraArgs --git tuned-llama": (
        "tests/unit/gitops/test_readme.py",
        "README",
    ),
    "examples/kind/up": ("tests/clusters/kind.py", "examples/kind/up"),
    "examples/kind/down": ("tests/clusters/kind.py", "[DOWN, "),
}
"""`kubectl` is left out: tests/apiserver/test_readme.py takes those lines from the README and runs them as they are."""


def commands() -> list[str]:
    """Lines of the fenced sh blocks, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.mark.parametrize("command", [line for line in commands() if not line.startswith("kubectl ")])
def test_command_is_run(command: str):
    file, piece = RUN_BY[command]
    assert piece in (ROOT / file).read_text()


def test_table_of_commands_is_whole():
    named = set(re.findall(r"^\| `sloguard ([a-z-]+)", README, flags=re.MULTILINE))
    assert named == set(COMMANDS)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_links_lead_somewhere(target: str):
    assert (ROOT / target).exists()


@pytest.mark.parametrize("name", ["quickstart.yaml", "one-gpu.yaml", "kind/study.yaml", "gitops/study.yaml"])
def test_examples_are_valid_studies(name: str):
    load_study(ROOT / "examples" / name)
