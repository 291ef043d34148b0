"""Nothing of a study stays, and nothing is left stuck."""

import pytest

from tests.apiserver.operator.objects import ARGUMENTS, production, study
from tests.apiserver.operator.world import World


def under_load(world: World) -> bool:
    return any(t.get("status", {}).get("phase") == "Loading" for t in world.trials().values()) and bool(
        world.items("jobs")
    )


def gone(world: World) -> bool:
    return world.items("sloguardstudies") == [] and world.children() == []


@pytest.fixture
def loading(world):
    """A study in the middle of its first load, which never ends."""
    world.serve = lambda _: 100.0
    world._load = lambda *_: None
    world.create("deployments", production())
    world.create("sloguardstudies", study())
    world.play(lambda: under_load(world))
    return world


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_a_study_takes_its_children_along(policy, loading, operator):
    loading.delete("sloguardstudies", "s", policy)
    loading.play(lambda: gone(loading))
    assert loading.container()["args"] == ARGUMENTS
    assert operator.running


def test_without_an_operator_too(loading, operator):
    assert operator.stop() == 0
    loading.delete("sloguardstudies", "s")
    loading.play(lambda: gone(loading))


def test_a_new_study_of_the_same_name_begins_anew(loading):
    before = loading.study()["metadata"]["uid"]
    loading.delete("sloguardstudies", "s")
    loading.create("sloguardstudies", study())
    loading.play(lambda: under_load(loading) and loading.study()["metadata"]["uid"] != before)
    owners = {t["metadata"]["ownerReferences"][0]["uid"] for t in loading.trials().values()}
    assert owners == {loading.study()["metadata"]["uid"]}


def test_a_suspended_study_keeps_nothing_running(loading):
    loading.patch("sloguardstudies", "s", {"spec": {"suspend": True}})
    loading.play(lambda: not loading.servers() and not loading.items("jobs") and loading.phase() == "Suspended")
