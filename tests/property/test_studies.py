"""Whatever stands in a study: it is taken or refused, in words, and what is taken fits the resource definition."""

import json
from datetime import UTC, datetime

import pytest
import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sloguard.api.loading import StudyFileError, load_study
from sloguard.api.v1alpha1 import Study, Window
from tests.property.structural_check import complaints
from tests.property.study_changes import SCHEMA, cron, studies
from tests.unit.api.studies import BASE

NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUICK = settings(max_examples=200, deadline=None)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("studies") / "study.yaml"


@QUICK
@given(study=studies())
def test_what_the_models_take_fits_the_definition(study):
    try:
        model = Study.model_validate_json(json.dumps(study), strict=True)
    except ValidationError:
        event("refused")
        return
    event("taken")
    written = model.dump()
    assert complaints(written["spec"], SCHEMA["properties"]["spec"]) == []
    assert Study.model_validate(written) == model


@QUICK
@given(study=studies())
def test_a_file_is_read_or_refused_in_words(study, file):
    file.write_text(json.dumps(study))
    said = ""
    try:
        load_study(file)
    except StudyFileError as error:
        said = str(error)
    assert "validation error" not in said
    assert "Input should" not in said


@QUICK
@given(text=st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>'\"#%@`,? \n\t0.\\\u2028é"), max_size=60))
def test_any_text_is_read_or_refused_in_words(text, file):
    file.write_text(text)
    with pytest.raises(StudyFileError):
        load_study(file)


@QUICK
@given(content=st.binary(max_size=40))
def test_any_bytes_are_refused_in_words(content, file):
    file.write_bytes(content)
    with pytest.raises(StudyFileError):
        load_study(file)


@settings(max_examples=500, deadline=None)
@given(schedule=cron())
def test_a_schedule_that_is_taken_can_be_computed(schedule):
    """The planner must never meet a schedule that its library refuses, or that never comes."""
    cronsim = pytest.importorskip("cronsim")
    try:
        window = Window(schedule=schedule, duration_minutes=1)
    except ValidationError:
        event("refused")
        return
    event("taken")
    for reverse in (False, True):
        assert next(cronsim.CronSim(window.schedule, NOW, reverse=reverse))


def test_yaml_of_a_study_is_the_study(file):
    file.write_text(yaml.safe_dump(BASE))
    assert load_study(file) == Study.model_validate(BASE)
