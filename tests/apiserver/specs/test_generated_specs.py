"""Studies made by mutation: the real API server rejects each with a reason, or an operator runs it or says why not.

SLOGUARD_SPECIFICATIONS many: `SLOGUARD_SPECIFICATIONS=5000 tests/run apiserver tests/apiserver/specs`.
"""

import os

from hypothesis import HealthCheck, event, given, settings

from tests.apiserver.admission.rest import RefusedError
from tests.models_say import models_say
from tests.property.study_changes import studies
from tests.simulation.specs import fate

SPECIFICATIONS = int(os.environ.get("SLOGUARD_SPECIFICATIONS", "150"))


@settings(max_examples=SPECIFICATIONS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(study=studies())
def test_each_is_rejected_stalled_or_run(study, checked_studies):
    refused, told = models_say(study), offered(checked_studies, study)
    assert bool(refused) == (told is not None), f"the models: {refused}; the API server: {told}"
    if told is None:
        event(fate(study))
        return
    event("rejected")
    assert told.code in {400, 422}, told
    assert len(str(told)) > len("is invalid"), "rejected without a reason"


def offered(checked, study):
    """What the API server minds, or None."""
    try:
        checked.check(study)
    except RefusedError as error:
        return error
    return None
