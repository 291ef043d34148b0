"""Studies made by mutation: each is rejected with a reason, stalls with a reason, or runs; and nothing is logged."""

import os

from hypothesis import HealthCheck, event, given, settings

from tests.models_say import models_say
from tests.property.study_changes import studies
from tests.simulation.specs import fate

SPECIFICATIONS = int(os.environ.get("SLOGUARD_SPECIFICATIONS", "300"))


@settings(max_examples=SPECIFICATIONS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(study=studies())
def test_each_is_rejected_stalled_or_run(study):
    refused = models_say(study)
    event("rejected" if refused else fate(study))
