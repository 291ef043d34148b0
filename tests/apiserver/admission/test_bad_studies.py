"""The API server refuses every bad study in words that name field, value and remedy, and takes every good one."""

import pytest

from sloguard.api.v1alpha1 import Study
from tests.apiserver.admission.rest import RefusedError
from tests.unit.api.bad_studies import BAD_STUDIES
from tests.unit.api.bad_windows import BAD_WINDOWS
from tests.unit.api.studies import GOOD_STUDIES, Bad


@pytest.mark.parametrize("bad", [*BAD_STUDIES, *BAD_WINDOWS], ids=lambda bad: bad.name)
def test_a_bad_study_is_refused(bad: Bad, checked_studies):
    with pytest.raises(RefusedError) as caught:
        checked_studies.check(bad.study)
    message = str(caught.value)
    assert [fragment for fragment in (*bad.says, *bad.cluster) if fragment not in message] == [], message
    assert "evaluating rule: self" not in message, "a rule failed instead of answering"


@pytest.mark.parametrize("name", GOOD_STUDIES)
def test_a_good_study_is_taken_and_read_back_as_it_was_meant(name, checked_studies):
    stored = Study.model_validate(checked_studies.check(GOOD_STUDIES[name]))
    assert stored.spec == Study.model_validate(GOOD_STUDIES[name]).spec


@pytest.mark.parametrize("name", GOOD_STUDIES)
def test_a_model_written_out_comes_back_equal(name, checked_studies):
    """What the models write needs nothing that the API server does not know, and it fills in nothing else."""
    spec = Study.model_validate(GOOD_STUDIES[name]).dump()["spec"]
    assert checked_studies.check(GOOD_STUDIES[name] | {"spec": spec})["spec"] == spec
