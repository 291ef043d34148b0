import json

from click.testing import CliRunner

from sloguard.api.v1alpha1 import OptimizerName
from sloguard.cli import main


def listed(*options):
    result = CliRunner().invoke(main, ["list-optimizers", *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_each_is_listed_with_what_it_is_for_and_what_it_needs():
    entries = json.loads(listed("--json"))
    assert [entry["name"] for entry in entries] == [name.value for name in OptimizerName]
    text = listed()
    for entry in entries:
        assert f"{entry['name']}\n    for    {entry['purpose']}\n    needs  {entry['needs']}" in text
        assert len(entry["purpose"]) > 30 or entry["name"] == "auto"


def test_packages_that_an_optimizer_needs_are_named():
    needs = {entry["name"]: entry["needs"] for entry in json.loads(listed("--json"))}
    assert "optuna" in needs["tpe"]
    assert "scikit-learn" in needs["tba"]
    assert "scikit-learn" in needs["constrained-bo"]
    assert needs["random"] == "nothing"
