"""Studies made by mutation: each is rejected with a reason, stalls with a reason, or runs; and nothing is logged."""

import os

import pytest
from hypothesis import HealthCheck, event, given, settings

from tests.models_say import models_say
from tests.property.study_changes import studies
from tests.short_study import short_spec
from tests.simulation.specs import fate

SPECIFICATIONS = int(os.environ.get("SLOGUARD_SPECIFICATIONS", "300"))


@settings(max_examples=SPECIFICATIONS, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(study=studies())
def test_each_is_rejected_stalled_or_run(study):
    refused = models_say(study)
    event("rejected" if refused else fate(study))


RUN = {"Searching", "Confirming", "AwaitingApproval", "Completed"}


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        ("Deployment", RUN),
        ("StatefulSet", RUN),
        ("LeaderWorkerSet", {"Stalled: TargetKindNotInstalled"}),
    ],
)
def test_each_kind_of_target(kind, ends):
    """One that is not installed costs no more requests than any other study, and no traceback."""
    study = {"metadata": {"name": "s"}, "spec": short_spec(target={"kind": kind})}
    assert fate(study) in ends
