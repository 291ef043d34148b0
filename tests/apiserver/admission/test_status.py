"""A status is stored as it was written: no field of the models is unknown to the definitions."""

from sloguard.api.v1alpha1 import Study, StudyStatus, Trial, TrialStatus
from tests.apiserver.admission.test_changes import TRIAL
from tests.unit.api.full_status import filled
from tests.unit.api.studies import BASE


def test_a_studys_status_keeps_every_field(studies):
    studies.create(BASE)
    status = filled(StudyStatus).dump()
    stored = studies.patch_status("llama-8b", status)
    assert stored["status"] == status
    assert Study.model_validate(stored).status.dump() == status


def test_a_trials_status_keeps_every_field(trials):
    trials.create(TRIAL)
    status = filled(TrialStatus).dump()
    stored = trials.patch_status("llama-8b-4-1", status)
    assert stored["status"] == status
    assert Trial.model_validate(stored).status.dump() == status


def test_a_status_comes_only_through_its_subresource(studies):
    """Who may write studies but not their status cannot make the operator believe that trials were run."""
    created = studies.create(BASE | {"status": filled(StudyStatus).dump()})
    assert "status" not in created
    patched = studies.patch("llama-8b", {"status": {"phase": "Completed"}, "spec": {"suspend": True}})
    assert "status" not in patched


def test_what_was_not_observed_is_not_filled_in(studies):
    studies.create(BASE)
    assert studies.patch_status("llama-8b", {"phase": "Searching"})["status"] == {"phase": "Searching"}
