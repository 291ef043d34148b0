"""What people see of studies and trials through kubectl."""

import json

import pytest
import yaml

from tests.apiserver.admission.test_changes import TRIAL
from tests.clusters.handle import KubectlError
from tests.unit.api.studies import BASE, changed

TIME = "2026-01-02T03:04:05Z"
STUDY_STATUS = {
    "phase": "AwaitingApproval",
    "trials": {"total": 12, "crashed": 3},
    "baseline": {"trial": "llama-8b-0-1", "goodputTokensPerSecond": 810, "objectiveValue": 810},
    "best": {"trial": "llama-8b-7-1", "goodputTokensPerSecond": 1490, "objectiveValue": 1490},
    "recommendation": {"trial": "llama-8b-7-1", "goodputTokensPerSecond": 1490, "improvementPercent": 84},
    "promotion": {
        "state": "Proposed",
        "trial": "llama-8b-7-1",
        "startedAt": TIME,
        "changedAt": TIME,
        "git": {"job": {"number": 1}, "pullRequest": "https://forge/7"},
    },
    "conditions": [
        {
            "type": "Ready",
            "status": "False",
            "lastTransitionTime": TIME,
            "reason": "AwaitingApproval",
            "message": "Approve.",
        }
    ],
}


@pytest.fixture
def kubectl(installed, namespace):
    def run(*arguments, **options):
        return installed.kubectl("-n", namespace, *arguments, **options)

    return run


def rows(table):
    """Cells of a table; columns are two spaces or more apart."""
    return [[cell for cell in line.split("  ") if cell.strip()] for line in table.splitlines()]


def cells(table):
    head, row = ([cell.strip() for cell in line] for line in rows(table))
    return dict(zip(head, row, strict=True))


def test_the_columns_tell_a_studys_story(kubectl, studies):
    studies.create(BASE)
    studies.patch_status("llama-8b", STUDY_STATUS)
    told = cells(kubectl("get", "slostudy"))
    assert told.pop("AGE")
    assert told == {
        "NAME": "llama-8b",
        "PHASE": "AwaitingApproval",
        "TRIALS": "12",
        "CRASHED": "3",
        "BASELINE": "810",
        "BEST": "1490",
        "GAIN %": "84",
        "PROMOTION": "Proposed",
    }
    wide = cells(kubectl("get", "slostudy", "-o", "wide"))
    assert (wide["READY"], wide["REASON"], wide["MESSAGE"]) == ("False", "AwaitingApproval", "Approve.")
    assert wide["PULL REQUEST"] == "https://forge/7"


def test_a_study_that_nobody_has_picked_up_shows_no_phase(kubectl, studies):
    studies.create(BASE)
    assert kubectl("get", "slostudy", "--no-headers").split()[:1] == ["llama-8b"]
    assert "Pending" not in kubectl("get", "slostudy")


def test_the_columns_tell_a_trials_story(kubectl, trials):
    trials.create(TRIAL)
    crash = {"class": "NoKVCacheRoom", "fault": "Configuration"}
    status = {"phase": "Finished", "outcome": "Crashed", "crash": crash, "message": "No room."}
    trials.patch_status("llama-8b-4-1", status | {"goodputTokensPerSecond": 0})
    told = cells(kubectl("get", "slotrial", "-o", "wide"))
    assert told.pop("AGE")
    assert json.loads(told.pop("PARAMETERS")) == {"max_num_seqs": "64", "kv_cache_dtype": "fp8"}
    assert told == {
        "NAME": "llama-8b-4-1",
        "STUDY": "llama-8b",
        "NUMBER": "4",
        "PURPOSE": "Search",
        "PHASE": "Finished",
        "OUTCOME": "Crashed",
        "CRASH": "NoKVCacheRoom",
        "GOODPUT": "0",
        "ATTEMPT": "1",
        "MESSAGE": "No room.",
    }


def test_the_category_shows_both_kinds(kubectl, studies, trials):
    studies.create(BASE)
    trials.create(TRIAL)
    names = kubectl("get", "sloguard", "-o", "name").split()
    assert names == ["sloguardstudy.sloguard.dev/llama-8b", "sloguardtrial.sloguard.dev/llama-8b-4-1"]


def test_trials_can_be_asked_for_by_study(kubectl, trials):
    trials.create(TRIAL)
    trials.create(TRIAL | {"metadata": {"name": "qwen-0-1"}, "spec": TRIAL["spec"] | {"study": "qwen"}})
    found = kubectl("get", "slotrial", "--field-selector=spec.study=qwen", "-o", "name")
    assert found.split() == ["sloguardtrial.sloguard.dev/qwen-0-1"]


def test_a_condition_can_be_waited_for(kubectl, studies):
    studies.create(BASE)
    studies.patch_status("llama-8b", STUDY_STATUS)
    kubectl("wait", "slostudy/llama-8b", "--for=condition=Ready=false", "--timeout=10s")


def test_a_mistyped_field_is_refused(kubectl):
    text = yaml.safe_dump(changed({"spec.fooo": 1}))
    for command in (["apply"], ["apply", "--server-side"]):
        with pytest.raises(KubectlError, match=r"spec\.fooo"):
            kubectl(*command, "-f", "-", stdin=text)


def test_without_validation_a_mistyped_field_is_dropped(kubectl, studies):
    text = yaml.safe_dump(changed({"spec.fooo": 1, "spec.target.hostPath": "/"}))
    kubectl("apply", "--validate=false", "-f", "-", stdin=text)
    spec = studies.get("llama-8b")["spec"]
    assert "fooo" not in spec
    assert "hostPath" not in spec["target"]


def test_without_validation_a_rule_still_holds(kubectl):
    with pytest.raises(KubectlError, match="leaves no trial to search with"):
        kubectl("apply", "--validate=false", "-f", "-", stdin=yaml.safe_dump(changed({"spec.budget.trials": 4})))


def test_every_field_is_explained(kubectl):
    told = kubectl("explain", "slostudy.spec", "--recursive")
    assert "sweepPercent" in told
    assert "approvedTrial" in told
