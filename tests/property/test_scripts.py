"""A shell's script survives being given other settings, and means what a real shell makes of it."""

import shlex
import subprocess

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.arguments import tuned, with_parameters
from sloguard.domain.container_command import read_command
from sloguard.domain.knobs import KNOBS, Kind
from tests.programs import needs

SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        KnobName.MAX_NUM_SEQS: st.integers(1, 4096).map(str),
        KnobName.BLOCK_SIZE: st.sampled_from(["16", "32"]),
        KnobName.ENFORCE_EAGER: st.just("true"),
        KnobName.GPU_MEMORY_UTILIZATION: st.sampled_from(["0.9", "0.95"]),
    },
)
TEXT = st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=10)
GAPS = st.sampled_from([" ", "  ", "\t", " \\\n", " \\\n    ", "\\\n  "])
BEFORE = st.sampled_from(
    ["", "set -e\n", "A=1 ", "exec ", "echo 'vllm serve X' && ", "# vllm serve N\n", "cd /tmp; ", "export B='a b'\n  "]
)
AFTER = st.sampled_from(["", "\n", " # a comment", " 2>&1", " | cat", " &\nwait", "; true", " || exit 1\n"])


@st.composite
def spelled(draw, text):
    """A word in one of the ways in which a shell's word can be written."""
    ways = [shlex.quote(text), "'" + text.replace("'", "'\\''") + "'"]
    ways.append('"' + "".join("\\" + c if c in '$`"\\' else c for c in text) + '"')
    if text:
        ways.append("".join(c if c.isalnum() else "\\" + c for c in text))
    return draw(st.sampled_from(ways))


@st.composite
def flag(draw):
    knob = KNOBS[draw(st.sampled_from(sorted(KNOBS)))]
    if knob.kind is Kind.SWITCH:
        return [knob.flag]
    value = {Kind.INT: "7", Kind.DECIMAL: "0.5"}.get(knob.kind, "auto")
    return draw(st.sampled_from([[knob.flag, value], [f"{knob.flag}={value}"]]))


WORDS = st.lists(st.one_of(flag(), TEXT.map(lambda text: ["--other", text])), max_size=6).map(
    lambda groups: ["MODEL", *(word for group in groups for word in group)]
)


@st.composite
def scripts(draw):
    """(The script, its words as a shell would pass them)."""
    words = draw(WORDS)
    written = "vllm serve" + "".join(draw(GAPS.filter(lambda g: g[0] != "\\")) + draw(spelled(word)) for word in words)
    return draw(BEFORE) + written + draw(AFTER), words


def read(script):
    return read_command(["sh", "-c"], [script])


def texts(words):
    """Words with a dollar are told by their spelling."""
    return [word for word in words if "$" not in word and "`" not in word]


@given(scripts())
def test_words_are_those_that_a_shell_would_pass(drawn):
    script, words = drawn
    assert texts(read(script).arguments) == texts(words)


@given(scripts())
def test_its_own_arguments_leave_it_as_it_is(drawn):
    script, _ = drawn
    found = read(script)
    assert found.with_arguments(found.arguments) == (["sh", "-c"], [script])


@given(scripts(), SETTINGS)
def test_settings_are_read_back_and_nothing_else_is_touched(drawn, wanted):
    script, _ = drawn
    found = read(script)
    arguments = with_parameters(found.arguments, set(KnobName), wanted)
    command, args = found.with_arguments(arguments)
    again = read_command(command, args)
    assert list(again.arguments) == arguments
    assert {name: tuned(again.arguments)[name] for name in wanted} == wanted
    assert again.with_arguments(with_parameters(arguments, set(KnobName), wanted)) == (command, args)
    begin = script.index("vllm serve")
    assert args[0][:begin] == script[:begin]


@needs("bash")
@settings(max_examples=25, deadline=None)
@given(scripts(), SETTINGS)
def test_a_real_shell_agrees(drawn, wanted):
    script, _ = drawn
    assume("echo" not in script and "cat" not in script)
    found = read(script)
    arguments = with_parameters(found.arguments, set(KnobName), wanted)
    _, (changed,) = found.with_arguments(arguments)
    passed = subprocess.run(
        ["bash", "-c", "vllm() { shift; printf '%s\\0' \"$@\"; }\n" + changed.replace("exec ", "")],
        check=True, capture_output=True, text=True,
    ).stdout.split("\0")[:-1]  # fmt: skip
    assert texts(passed) == texts(arguments)
