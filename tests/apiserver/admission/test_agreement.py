"""The API server and the models agree on every study, changed at random: each rule is told twice and means the same."""

import json

from hypothesis import event, given, settings
from pydantic import ValidationError

from sloguard.api.v1alpha1 import Study, TargetKind
from tests.apiserver.admission.rest import RefusedError
from tests.property.study_changes import studies


def _models_say(study):
    """What the models mind, or nothing. What is for local files alone is for the API server to refuse."""
    try:
        model = Study.model_validate_json(json.dumps(study), strict=True)
    except ValidationError as error:
        return str(error)
    if model.spec.workload.arrival.trace_file is not None:
        return "traceFile"
    if model.spec.workload.prompts.tokenizer_file is not None:
        return "tokenizerFile"
    return "" if model.spec.target.kind is TargetKind.DEPLOYMENT else "kind Process"


@settings(max_examples=400, deadline=None, database=None)
@given(study=studies())
def test_both_say_the_same(study, checked_studies):
    refused = _models_say(study)
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
