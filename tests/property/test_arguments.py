"""A command line survives being given other knobs, whatever it looks like."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.arguments import tuned, with_parameters
from sloguard.domain.knobs import KNOBS, Kind, parse_value, parse_values, text_of, value_text

INTS = st.integers(1, 10**7)
DECIMALS = st.integers(1, 10_000).map(lambda n: n / 10_000)
NAMES = st.sampled_from(sorted(KNOBS))


def values_of(name):
    knob = KNOBS[name]
    return {
        Kind.INT: INTS,
        Kind.DECIMAL: DECIMALS,
        Kind.SWITCH: st.booleans(),
        Kind.CHOICE: st.sampled_from(knob.choices or ("x",)),
    }[knob.kind].map(value_text)


@st.composite
def parameters(draw):
    names = draw(st.lists(NAMES, unique=True))
    return {name: draw(values_of(name)) for name in names}


@st.composite
def knob_words(draw):
    """A knob as a person might write it."""
    name = draw(NAMES)
    knob, text = KNOBS[name], draw(values_of(name))
    flag = draw(st.sampled_from([knob.flag, "--" + name.value, *([knob.short_flag] if knob.short_flag else [])]))
    if knob.kind is Kind.SWITCH:
        return [flag] if text == "true" else ["--no-" + flag.removeprefix("--")]
    return draw(st.sampled_from([[flag, text], [f"{flag}={text}"]]))


WORDS = st.text(st.characters(codec="ascii", exclude_characters="\x00"), min_size=1, max_size=12)
OTHER_WORDS = st.one_of(
    st.sampled_from(
        [
            ["--port", "8000"],
            ["--port=8000"],
            ["--trust-remote-code"],
            ["--served-model-name", "a", "b"],
            ["--speculative-config", '{"method": "ngram"}'],
            ["--kv-cache-dtype-skip-layers", "1"],
            ["-O3"],
            ["--override-generation-config.temperature", "0.5"],
        ]
    ),
    WORDS.filter(lambda word: not word.startswith("-") and word.lower() not in {"true", "false"}).map(lambda w: [w]),
)
LINES = st.lists(st.one_of(knob_words(), OTHER_WORDS), max_size=10).map(
    lambda groups: ["MODEL", *(word for group in groups for word in group)]
)
CHOSEN = st.sets(NAMES).map(frozenset)


def told(wanted):
    """What a command line can say: some values are said by leaving the flag out."""
    return {
        name: text
        for name, text in text_of(parse_values(wanted)).items()
        if parse_value(name, text) != KNOBS[name].absent_value
    }


def without_absent(found):
    return {name: text for name, text in found.items() if parse_value(name, text) != KNOBS[name].absent_value}


@given(LINES, CHOSEN, parameters())
def test_the_new_command_line_sets_exactly_the_parameters(line, names, wanted):
    managed = names | set(wanted)
    found = tuned(with_parameters(line, names, wanted))
    assert without_absent({name: text for name, text in found.items() if name in managed}) == told(wanted)


@given(LINES, CHOSEN, parameters())
def test_knobs_that_are_not_managed_keep_their_values(line, names, wanted):
    managed = names | set(wanted)
    before, after = tuned(line), tuned(with_parameters(line, names, wanted))
    assert {n: t for n, t in before.items() if n not in managed} == {n: t for n, t in after.items() if n not in managed}


@given(LINES, CHOSEN, parameters())
def test_doing_it_twice_changes_nothing_more(line, names, wanted):
    once = with_parameters(line, names, wanted)
    assert with_parameters(once, names, wanted) == once


@given(LINES, parameters())
def test_everything_else_stays_word_for_word(line, wanted):
    every = set(KnobName)
    assert with_parameters(with_parameters(line, every, wanted), every, {}) == with_parameters(line, every, {})


@given(LINES)
def test_its_own_values_change_nothing_but_repetitions(line):
    own = tuned(line)
    assert tuned(with_parameters(line, set(own), own)) == own


@given(parameters())
def test_values_survive_their_text(wanted):
    values = parse_values(wanted)
    assert parse_values(text_of(values)) == values


@pytest.mark.parametrize("name", list(KNOBS))
def test_every_flag_is_understood_with_its_default(name):
    default = KNOBS[name].default
    if default is None:
        return
    wanted = {name: value_text(default)}
    assert without_absent(tuned(with_parameters(["M"], {name}, wanted))) == told(wanted)
