"""Settings go into YAML of any style: other lines stay, and the data differ in the arguments alone."""

import difflib
import json
from functools import partial

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.arguments import tuned, with_parameters
from sloguard.domain.container_command import read_command
from sloguard.gitops.edit import with_settings
from sloguard.gitops.errors import EditError
from sloguard.gitops.find import Wanted, in_manifest, in_values
from sloguard.gitops.scalar_text import _units
from sloguard.gitops.yaml_tree import documents

K = KnobName
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        K.MAX_NUM_SEQS: st.integers(1, 4096).map(str),
        K.MAX_MODEL_LEN: st.sampled_from(["4096", "auto"]),
        K.ENFORCE_EAGER: st.sampled_from(["true", "false"]),
        K.GPU_MEMORY_UTILIZATION: st.sampled_from(["0.9", "0.95"]),
        K.QUANTIZATION: st.sampled_from(["fp8", "none"]),
    },
)
NAMES = st.sets(st.sampled_from([K.MAX_NUM_SEQS, K.MAX_MODEL_LEN, K.ENFORCE_EAGER, K.BLOCK_SIZE]))
PRINTED = st.characters(
    codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp"), exclude_characters="\ufeff\ufffe\uffff"
)
ODD = st.text(PRINTED, min_size=1, max_size=12).filter(lambda text: not text.startswith("-"))
TRAPS = """yes null ~ 1e3 0x1f a:|b a|#b -|a {a:|1} [a] ' " \\ &a *a !t %x @x `x` a,|b = << |a| :"""
VALUES = st.one_of(
    ODD.filter(lambda text: "vllm" not in text),
    st.sampled_from([word.replace("|", " ") for word in TRAPS.split()]),
)
FLAGS = st.sampled_from(
    [["--max-num-seqs", "64"], ["--max_num_seqs=8"], ["--max-model-len", "32k"], ["--enforce-eager"],
     ["--gpu-memory-utilization", "0.5"], ["-q", "fp8"], ["--block-size", "16"], ["--port=80"]]
)  # fmt: skip
WORDS = st.lists(st.one_of(FLAGS, VALUES.map(lambda text: ["--other", text])), max_size=6).map(
    lambda groups: ["MODEL", *(word for group in groups for word in group)]
)
COMMENTS = st.sampled_from(["", "", "", " # why", "  #", " # --max-num-seqs 1"])


def plain(word):
    try:
        return [word] == yaml.safe_load(f"- {word}\n") and [word, "x"] == yaml.safe_load(f"[{word}, x]")
    except yaml.YAMLError:
        return False


@st.composite
def scalar(draw, word):
    ways = [json.dumps(word), json.dumps(word, ensure_ascii=False)]
    if word.isprintable():
        ways.append("'" + word.replace("'", "''") + "'")
    if plain(word):
        ways += [word, word]
    anchor = draw(st.sampled_from(["", "", "", "&a1 ", "!!str "]))
    return anchor + draw(st.sampled_from(ways))


@st.composite
def listed(draw, words, indent):
    """A list as lines behind its key: in a block, between brackets, or both ways at once."""
    items = [draw(scalar(word)) for word in words]
    if draw(st.booleans()):
        lead = " " * (indent + draw(st.sampled_from([0, 2, 4])))
        dash = "-" + " " * draw(st.integers(1, 3))
        lines = [draw(COMMENTS)]
        for item in items:
            if draw(st.integers(0, 5)) == 0:
                lines.append(draw(st.sampled_from(["", lead + "# about the next", "  # elsewhere"])))
            lines.append(lead + dash + item + draw(COMMENTS))
        return lines
    if draw(st.booleans()):
        return [" [" + ", ".join(items) + draw(st.sampled_from(["]", " ]", ",]"])) + draw(COMMENTS)]
    inner = " " * (indent + 4)
    last = draw(st.sampled_from(["", ","]))
    return [" [", *(f"{inner}{item}," for item in items[:-1]), f"{inner}{items[-1]}{last}", " " * (indent + 2) + "]"]


@st.composite
def manifests(draw):
    """(Text, the words of args.)"""
    words = draw(WORDS)
    deep = " " * draw(st.sampled_from([2, 4]))
    indent = len(deep) * 3 + 2
    pad = " " * indent
    before = draw(
        st.sampled_from([[], ["---"], ["# head", "", "---"], ["kind: Service", "a: &x [1, 2]", "b: *x", "---"]])
    )
    after = draw(st.sampled_from([[], ["..."], ["---", "kind: Other", "v: '{{ x }}'"], ["", "# the end"]]))
    args = draw(listed(words, indent))
    others = ["image: vllm/vllm-openai", "env: [{name: A, value: 'b'}]  # kept", "text: |", "   --max-num-seqs 64"]
    middle = draw(st.permutations([[others[0]], [others[1]], [others[2], others[3]], None]))
    body = [line for part in middle for line in (["args:" + args[0]] if part is None else part)]
    lines = [*before, "kind: Deployment", "metadata: {name: d}  ", "spec:", f"{deep}template:", f"{deep * 2}spec:",
             f"{deep * 3}containers:", f"{deep * 3}- name: vllm"]  # fmt: skip
    for line in body:
        lines += [pad + line, *args[1:]] if line.startswith("args:") else [pad + line]
    ending = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    text = ending.join([*lines, *after]) + draw(st.sampled_from([ending, ending, ""]))
    assume(valid(text, words))
    return text, words


def container(document):
    return document["spec"]["template"]["spec"]["containers"][0]


def valid(text, words):
    try:
        found = [d for d in yaml.safe_load_all(text) if d and d.get("kind") == "Deployment"]
    except yaml.YAMLError:
        return False
    return len(found) == 1 and container(found[0])["args"] == words


def apart(words):
    """A new setting may be written as `--flag value` or `--flag=value`."""
    return [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]


FIND = partial(in_manifest, wanted=Wanted())


@given(manifests(), NAMES, PARAMETERS)
def test_the_data_differ_in_the_arguments_alone(drawn, names, parameters):
    text, words = drawn
    after = with_settings(text, FIND, names | set(parameters), parameters)
    expected = list(yaml.safe_load_all(text))
    (one,) = [document for document in expected if document and document.get("kind") == "Deployment"]
    container(one)["args"] = apart(with_parameters(words, names | set(parameters), parameters))
    found = list(yaml.safe_load_all(after))
    (there,) = [document for document in found if document and document.get("kind") == "Deployment"]
    container(there)["args"] = apart(container(there)["args"])
    assert found == expected


@given(manifests(), NAMES, PARAMETERS)
def test_only_lines_that_hold_settings_change(drawn, names, parameters):
    text, words = drawn
    after = with_settings(text, FIND, names | set(parameters), parameters)
    kept = set(with_parameters(words, names | set(parameters), {}))
    old, new = text.split("\n"), after.split("\n")
    for tag, first, last, new_first, new_last in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        for line in old[first:last]:
            in_brackets = "- name: vllm" in text and "args: [" in text
            last_line = line.rstrip("\r") == new[new_first].rstrip("\r") if new_first < new_last else False
            is_item = line.lstrip().startswith("- ") and yaml.safe_load(line.strip())[0] not in kept - {"64", "8"}
            assert in_brackets or last_line or is_item or "args:" in line, line
    assert [line for line in old if "#" in line and not line.lstrip().startswith("-") and "[" not in line] == [
        line for line in new if "#" in line and not line.lstrip().startswith("-") and "[" not in line
    ]


@given(manifests(), NAMES, PARAMETERS)
def test_doing_it_twice_changes_nothing_more(drawn, names, parameters):
    text, _ = drawn
    once = with_settings(text, FIND, names | set(parameters), parameters)
    assert with_settings(once, FIND, names | set(parameters), parameters) == once


@given(manifests())
def test_its_own_settings_leave_it_as_it_is(drawn):
    text, words = drawn
    own = {name: value for name, value in tuned(words).items() if words.count("--" + name.replace("_", "-")) < 2}
    assume(with_parameters(words, set(own), own) == words)
    assert with_settings(text, FIND, set(own), own) == text


SCRIPT_LINES = st.lists(
    st.sampled_from(["--max-num-seqs 64", "--enforce-eager", "--x 'a  b'", '--y "c: #d"', "--z=$HOME", "--port 80",
                     "--json '{\"a\": [1, 2]}'", "--gpu-memory-utilization='0.9'", "--long " + "w" * 30]),
    max_size=6, unique=True,
)  # fmt: skip
HEADS = st.sampled_from(["", "set -e\n", "# a comment: here\n\nexport A=1\n", "echo 'a'; "])
GLUES = st.sampled_from([" ", " \\\n  ", " \\\n", "  "])
TAILS = st.sampled_from(["", "\n", " | tee log\n", "\n\n"])


@st.composite
def scripts(draw):
    return draw(HEADS) + draw(GLUES).join(["exec vllm serve m", *draw(SCRIPT_LINES)]) + draw(TAILS)


@st.composite
def scripted(draw):
    """A script as PyYAML writes it in one of its styles and widths."""
    style = draw(st.sampled_from(["|", ">", '"', "'", None]))
    script = draw(scripts())
    content = {"kind": "Pod", "spec": {"containers": [{"name": "v", "image": "vllm", "args": [script], "z": 1}]}}
    content["spec"]["containers"][0]["command"] = ["bash", "-c"]
    width, indent = draw(st.sampled_from([20, 40, 80, 1000])), draw(st.sampled_from([2, 4]))
    text = yaml.dump(content, default_style=style, width=width, indent=indent, sort_keys=False)
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    assume(yaml.safe_load(text) == content)
    return text, script


@given(scripted(), NAMES, PARAMETERS)
def test_a_script_in_any_style_changes_in_its_words_alone(drawn, names, parameters):
    text, script = drawn
    before = read_command(["bash", "-c"], [script])
    arguments = with_parameters(before.arguments, names | set(parameters), parameters)
    after = with_settings(text, FIND, names | set(parameters), parameters)
    content = yaml.safe_load(after)
    (changed,) = container({"spec": {"template": content}})["args"]
    assert apart(read_command(["bash", "-c"], [changed]).arguments) == apart(arguments)
    content["spec"]["containers"][0]["args"] = [script]
    assert content == yaml.safe_load(text)
    assert with_settings(after, FIND, names | set(parameters), parameters) == after
    kept = [line for line in text.split("\n") if "image" in line or "kind" in line or "command" in line]
    assert [line for line in after.split("\n") if line in kept] == kept


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=40),
    st.sampled_from(["|", ">", '"', "'", ""]),
    st.sampled_from([20, 60]),
)
def test_each_character_of_a_scalar_has_its_place(value, style, width):
    text = yaml.dump({"a": value}, default_style=style or None, width=width, allow_unicode=True)
    try:
        (root,) = documents(text)
    except EditError:
        assume(False)
    node = root.get("a")
    assume(node is not None and node.value == value)
    try:
        places = list(_units(text, node))
    except EditError:
        return
    said = "".join(one for one, _, _ in places)
    assume(said == value)
    at = 0
    for one, start, end in places:
        assert at <= start <= end or one in " \n"
        at = max(at, end)
    assert at <= len(text)


@pytest.mark.parametrize("style", ["|", ">", '"', "'", None])
def test_values_within_a_string_in_any_style(style):
    inner = "# ours\na:\n  args:\n  - --max-num-seqs\n  - '64'\n  b: 1\n".replace("  b", "b")
    outer = {"kind": "Application", "spec": {"source": {"helm": {"values": inner}}}}
    text = yaml.dump(outer, default_style=style, sort_keys=False)
    find = partial(in_values, path="a.args", wanted=Wanted())
    new = {K.MAX_NUM_SEQS: "192"}
    after = with_settings(text, find, set(new), new)
    assert yaml.safe_load(after)["spec"]["source"]["helm"]["values"] == inner.replace("64", "192")
