"""What of a study may change after its creation, and that a trial is a record."""

import pytest

from tests.apiserver.admission.rest import RefusedError
from tests.unit.api.studies import BASE, changed

IMMUTABLE = {
    "target": {"target": {"name": "another"}},
    "slos": {"slos": [{"metric": "TTFT", "percentile": 99, "milliseconds": 501}]},
    "workload": {"workload": {"seed": 8}},
    "searchSpace": {"searchSpace": {"preset": "Extended"}},
    "optimizer": {"optimizer": {"seed": None}},
}
MUTABLE = {
    "more trials": {"budget": {"trials": 40}},
    "fewer trials": {"budget": {"trials": 8}},
    "more time": {"budget": {"gpuMinutes": 300, "wallClockMinutes": 2880}},
    "windows": {"windows": []},
    "suspend": {"suspend": True},
    "knowledge": {"knowledge": "Isolated"},
    "what a change of production means": {"onTargetChange": "Restart"},
    "how many objects are kept": {"historyLimit": 20},
    "parallelism": {"trial": {"parallelism": 2}},
    "approval": {"promotion": {"approvedTrial": "llama-8b-4-1"}},
    "promotion": {"promotion": {"mode": "Automatic", "confirmations": 1}},
}
TRIAL = {
    "apiVersion": "sloguard.dev/v1alpha1",
    "kind": "SLOGuardTrial",
    "metadata": {"name": "llama-8b-4-1"},
    "spec": {
        "study": "llama-8b",
        "number": 4,
        "attempt": 1,
        "purpose": "Search",
        "parameters": {"max_num_seqs": "64", "kv_cache_dtype": "fp8"},
        "seed": 3,
        "targetHash": "abc",
        "reason": "TPE",
    },
}


@pytest.fixture
def study(studies):
    studies.create(BASE)
    return studies


@pytest.mark.parametrize("field", IMMUTABLE)
def test_what_earlier_trials_rest_on_stays(field, study):
    with pytest.raises(RefusedError) as caught:
        study.patch("llama-8b", {"spec": IMMUTABLE[field]})
    message = f"{field} cannot be changed: it would make earlier trials incomparable; create a new study"
    assert f"spec.{field}: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize("field", IMMUTABLE)
def test_what_is_not_given_stays_too(field, studies):
    """A default is as immutable as a value: adding the first value is a change like any other."""
    removed = {"spec.optimizer": {}, "spec.searchSpace": {}}
    studies.create(changed({path: value for path, value in removed.items() if path.endswith(field)}))
    with pytest.raises(RefusedError, match=f"{field} cannot be changed"):
        studies.patch("llama-8b", {"spec": IMMUTABLE[field] if field != "optimizer" else {"optimizer": {"seed": 1}}})


@pytest.mark.parametrize("change", MUTABLE)
def test_the_rest_may_change(change, study):
    before = study.get("llama-8b")
    after = study.patch("llama-8b", {"spec": MUTABLE[change]})
    assert after["spec"] != before["spec"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1


def test_a_change_is_held_against_the_rules_too(study):
    with pytest.raises(RefusedError, match=r"budget\.trials 4 leaves no trial to search with"):
        study.patch("llama-8b", {"spec": {"budget": {"trials": 4}}})


@pytest.mark.parametrize("change", [{"parameters": {"max_num_seqs": "65"}}, {"number": 5}, {"reason": "another"}])
def test_a_trial_is_a_record(change, trials):
    trials.create(TRIAL)
    with pytest.raises(RefusedError, match="spec cannot be changed: a trial is a record; change the study instead"):
        trials.patch("llama-8b-4-1", {"spec": change})


def test_a_trial_sets_only_known_settings(trials):
    with pytest.raises(RefusedError) as caught:
        trials.create(TRIAL | {"spec": TRIAL["spec"] | {"parameters": {"api_key": "x"}}})
    assert "spec.parameters: " in str(caught.value)
    assert "api_key is not known; use max_num_seqs, " in str(caught.value)


def test_a_setting_can_never_be_read_as_a_flag(trials):
    with pytest.raises(RefusedError, match='"--help" is not a value for a command line'):
        trials.create(TRIAL | {"spec": TRIAL["spec"] | {"parameters": {"quantization": "--help"}}})
