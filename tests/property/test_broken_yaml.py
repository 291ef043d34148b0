"""Whatever a file looks like, it is changed rightly or refused with a sentence."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import KnobName
from sloguard.gitops.edit import diff, with_settings
from sloguard.gitops.errors import EditError
from tests.unit.gitops.corpus_files import NAMES, shape

NEW = {KnobName.MAX_NUM_SEQS: "192", KnobName.GPU_MEMORY_UTILIZATION: "0.93"}
PIECES = st.sampled_from(
    [
        "&a ",
        "*a",
        "<<: *a",
        "{{ x }}",
        "[",
        "]",
        "{",
        "}",
        "'",
        '"',
        "\\",
        "|",
        ">",
        "- ",
        ": ",
        "#",
        "\n",
        "\t",
        "  ",
        "!t ",
        "---\n",
        "...\n",
        "args:",
        "- --max-num-seqs",
        "$(X)",
        "vllm serve m",
        "\0",
        "\u2028",
        "?",
        ",",
        "%YAML 9\n",
    ]
)
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.one_of(PIECES, st.just(""))), max_size=3)


@st.composite
def damaged(draw):
    one = shape(draw(st.sampled_from(NAMES)))
    text = one.text
    for share, cut, piece in draw(CHANGES):
        at = int(share * len(text))
        text = text[:at] + piece + text[at + cut :]
    return text, one.find


def attempt(text, find, parameters):
    try:
        return with_settings(text, find, set(NEW), parameters), ""
    except EditError as error:
        return None, str(error)


@given(damaged(), st.booleans())
def test_a_damaged_file_is_changed_rightly_or_refused(drawn, out):
    text, find = drawn
    parameters = {} if out else NEW
    after, refusal = attempt(text, find, parameters)
    assert (after is None) == bool(refusal)
    if after is None:
        return
    assert {k: v for k, v in find(after).place.settings().items() if k in NEW} == parameters
    assert len(list(yaml.parse(after))) > 0
    assert bool(diff(text, after, "x")) == (text != after)


def test_an_anchor_that_refers_to_itself():
    text = "kind: Pod\nspec:\n  containers:\n  - &c {<<: *c, name: vllm, image: vllm, args: [m]}\n"
    find = shape("deployment-equals.yaml").find
    for one in (text, text.replace(", args: [m]", "")):
        with pytest.raises(EditError, match="anchor &c"):
            with_settings(one, find, set(NEW), NEW)
