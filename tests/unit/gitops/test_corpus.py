"""Every shape of the corpus is read as it says, and changed in its settings only."""

import difflib

import pytest
import yaml

from sloguard.api.v1alpha1 import KnobName
from sloguard.gitops.edit import with_settings
from tests.unit.gitops.corpus_files import NAMES, shape

K = KnobName
NEW = {K.MAX_NUM_SEQS: "192", K.GPU_MEMORY_UTILIZATION: "0.93"}
TYPED = {"production-stack-by-name.yaml", "values-flags-map.yaml", "values-snake-map.yaml", "config-map.yaml",
         "config-file.yaml", "kustomize-json6902-add.yaml"}  # fmt: skip
"""A chart's own keys, or those of vLLM's file, where nothing may be left out; and operations of one word each."""


def changed_lines(before, after):
    return [line for line in difflib.ndiff(before.splitlines(True), after.splitlines(True)) if line[0] in "-+"]


def settings(found):
    return found.place.settings()


def test_there_are_many():
    assert len(NAMES) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_read(name):
    one = shape(name)
    found = settings(one.find(one.text))
    assert {k: v for k, v in found.items() if k in one.sets or k in NEW} == one.sets


@pytest.mark.parametrize("name", NAMES)
def test_its_own_settings_leave_it_as_it_is(name):
    one = shape(name)
    assert with_settings(one.text, one.find, set(one.sets), one.sets) == one.text


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_written_and_read_back(name):
    one = shape(name)
    new = {k: v for k, v in NEW.items() if name != "production-stack-by-name.yaml" or k in one.sets}
    before = settings(one.find(one.text))
    after = with_settings(one.text, one.find, set(new), new)
    assert settings(one.find(after)) == before | new
    assert with_settings(after, one.find, set(new), new) == after
    assert numbers_among_words(after) == (name == "values-numbers.yaml")


def numbers_among_words(text):
    """Kubernetes refuses them."""
    return any(not isinstance(word, str) for document in yaml.safe_load_all(text) for word in words_in(document))


def words_in(node):
    for key, value in node.items() if isinstance(node, dict) else ():
        if key in {"command", "args"} and isinstance(value, list):
            yield from value
        yield from words_in(value)
    for item in node if isinstance(node, list) else ():
        yield from words_in(item)


@pytest.mark.parametrize("name", NAMES)
def test_only_lines_with_settings_change(name):
    one = shape(name)
    new = {k: v for k, v in NEW.items() if k in one.sets}
    after = with_settings(one.text, one.find, set(new), new)
    lines = changed_lines(one.text, after)
    assert len(lines) <= 2 * len(new)
    for line in (one for one in lines if one[0] == "+"):
        assert any(value in line for value in new.values())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in TYPED])
def test_a_setting_is_taken_out_and_put_back(name):
    one = shape(name)
    everything = settings(one.find(one.text))
    less = with_settings(one.text, one.find, set(everything), {})
    assert settings(one.find(less)) == {}
    assert settings(one.find(with_settings(less, one.find, set(everything), everything))) == everything


def test_new_settings_are_written_as_their_neighbours_are():
    one = shape("kserve-custom.yaml")
    new = {K.MAX_NUM_SEQS: "192", K.ENFORCE_EAGER: "true", K.BLOCK_SIZE: "32"}
    after = with_settings(one.text, one.find, set(new), new)
    added = "          - --max-num-seqs=192\n          - --enforce-eager\n          - --block-size=32\n"
    assert after == one.text + added


def test_a_switch_of_a_file_is_turned_off():
    one = shape("config-file.yaml")
    after = with_settings(one.text, one.find, {K.ENFORCE_EAGER}, {})
    assert after == one.text.replace("enforce_eager: true", "enforce_eager: false")
    assert with_settings(after, one.find, {K.ENFORCE_EAGER}, {}) == after


@pytest.mark.parametrize("name", NAMES)
def test_windows_line_endings_stay(name):
    one = shape(name)
    text = one.text.replace("\n", "\r\n")
    new = {k: v for k, v in NEW.items() if name != "production-stack-by-name.yaml" or k in one.sets}
    after = with_settings(text, one.find, set(new), new)
    assert after.replace("\r\n", "").count("\n") == 0
    assert after.replace("\r\n", "\n") == with_settings(one.text, one.find, set(new), new)
