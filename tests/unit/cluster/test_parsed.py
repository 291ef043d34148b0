"""What was read at the same version is not read once more; another version, or an object without one, is."""

import pytest

from sloguard.cluster.gather import StudyUnreadableError, read_study
from sloguard.cluster.parsed import Parsed, Versions
from sloguard.cluster.records import records_of
from tests.unit.cluster.objects import STUDY, finished, study, trial_object
from tests.unit.cluster.test_records import TARGET


def stored(version, uid="u", **changes):
    return {"metadata": {"name": "x", "uid": uid, "resourceVersion": version}, **changes}


def test_at_the_same_version_it_is_the_very_same():
    versions, made = Versions(10), []

    def make():
        made.append(object())
        return made[-1]

    first = versions.of(stored("1"), "1", make)
    assert versions.of(stored("1"), "1", make) is first
    assert versions.of(stored("2"), "2", make) is not first
    assert versions.of(stored("2", uid="another"), "2", make) is made[2]
    assert len(made) == 3


def test_what_is_stored_nowhere_by_itself_is_made_each_time():
    """Trials that are kept as text have a UID and no version."""
    versions = Versions(10)
    assert versions.of(stored(None), None, object) is not versions.of(stored(None), None, object)
    nameless = {"metadata": {}}
    assert versions.of(nameless, "1", object) is not versions.of(nameless, "1", object)


def test_those_that_were_looked_at_last_are_kept():
    versions = Versions(2)
    for uid in ("a", "b", "a", "c"):
        versions.of(stored("1", uid), "1", object)
    assert versions.known(stored("1", "a"), "1") is not None
    assert versions.known(stored("1", "b"), "1") is None


def version_of_a_trial(version, **status):
    return trial_object(2, metadata={"resourceVersion": version}, status=finished(**status))


def test_a_trial_is_read_once_for_as_long_as_it_stays_as_it_is():
    parsed = Parsed()
    first, same = (records_of(study(), [version_of_a_trial("1")], TARGET, parsed).trials[0] for _ in range(2))
    assert first is same
    changed = version_of_a_trial("2", message="another")
    assert records_of(study(), [changed], TARGET, parsed).trials[0].status.message == "another"


def test_a_specification_is_read_once_for_each_generation():
    parsed = Parsed()

    def at(generation, **spec):
        metadata = STUDY["metadata"] | {"generation": generation, "resourceVersion": f"{generation}0"}
        return STUDY | {"metadata": metadata, "spec": STUDY["spec"] | spec}

    first = read_study(at(1), parsed)
    assert read_study(at(1), parsed) is first
    written = at(1) | {"status": {"phase": "Searching"}}
    written["metadata"]["resourceVersion"] = "11"
    assert read_study(written, parsed).spec is first.spec
    assert read_study(written, parsed).status != first.status
    assert read_study(at(2, suspend=True), parsed).spec.suspend
    with pytest.raises(StudyUnreadableError):
        read_study(at(3, suspend="perhaps"), parsed)


def test_who_owns_a_trial_is_asked_at_each_look():
    """The same object, of a study that was made anew under the same name."""
    parsed, old = Parsed(), version_of_a_trial("1")
    assert records_of(study(), [old], TARGET, parsed).trials
    anew = study()
    anew = anew.model_copy(update={"metadata": anew.metadata.model_copy(update={"uid": "another"})})
    assert not records_of(anew, [old], TARGET, parsed).trials
