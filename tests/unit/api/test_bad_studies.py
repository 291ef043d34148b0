"""Every bad study is refused in a local file, in words that name field, value and remedy."""

import pytest
import yaml

from sloguard.api.loading import StudyFileError, load_study
from sloguard.api.v1alpha1 import Study
from tests.unit.api.bad_studies import BAD_STUDIES
from tests.unit.api.bad_windows import BAD_WINDOWS
from tests.unit.api.studies import GOOD_STUDIES, Bad

LOCAL = [bad for bad in (*BAD_STUDIES, *BAD_WINDOWS) if bad.only != "cluster"]


@pytest.fixture
def load(tmp_path):
    def from_object(study):
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(study))
        return load_study(path)

    return from_object


def test_they_are_many_and_each_has_a_name():
    names = [bad.name for bad in (*BAD_STUDIES, *BAD_WINDOWS)]
    assert len(set(names)) == len(names) >= 100


@pytest.mark.parametrize("bad", LOCAL, ids=lambda bad: bad.name)
def test_a_bad_study_is_refused(bad: Bad, load):
    with pytest.raises(StudyFileError) as caught:
        load(bad.study)
    message = str(caught.value)
    assert [fragment for fragment in (*bad.says, *bad.local) if fragment not in message] == [], message
    assert "pydantic" not in message


@pytest.mark.parametrize("bad", LOCAL, ids=lambda bad: bad.name)
def test_one_mistake_makes_one_complaint(bad: Bad, load):
    with pytest.raises(StudyFileError) as caught:
        load(bad.study)
    assert len(caught.value.problems) == 1, caught.value


@pytest.mark.parametrize("name", GOOD_STUDIES)
def test_a_good_study_is_read(name, load):
    study = load(GOOD_STUDIES[name])
    assert Study.model_validate(study.dump()) == study


@pytest.mark.parametrize("bad", [bad for bad in BAD_STUDIES if bad.only == "cluster"], ids=lambda bad: bad.name)
def test_what_only_a_cluster_cannot_do_is_good_in_a_local_file(bad: Bad, load):
    assert load(bad.study).name == "llama-8b"


def test_a_trace_lies_beside_the_study(load, tmp_path):
    (bad,) = (bad for bad in BAD_STUDIES if bad.name == "trace-file-in-a-cluster")
    assert load(bad.study).spec.workload.arrival.trace_file == str(tmp_path / "a.csv")
