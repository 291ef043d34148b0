"""The API server and the models agree on every study, changed at random: each rule is told twice and means the same."""

from hypothesis import event, given, settings

from sloguard.api.v1alpha1 import Study
from tests.apiserver.admission.rest import RefusedError
from tests.models_say import models_say
from tests.property.study_changes import studies


@settings(max_examples=400, deadline=None, database=None)
@given(study=studies())
def test_both_say_the_same(study, checked_studies):
    refused = models_say(study)
    event("refused" if refused else "taken")
    try:
        stored = checked_studies.check(study)
    except RefusedError as error:
        said = str(error)
    else:
        assert not refused, f"only the models mind: {refused}"
        assert Study.model_validate(stored).spec == Study.model_validate(study).spec
        return
    assert refused, f"only the API server minds: {said}"
    assert "evaluating rule: self" not in said, "a rule failed instead of answering"
