"""Texts of others are data."""

from hypothesis import given
from hypothesis import strategies as st

from sloguard.domain.text import MOST_CHARACTERS, harmless, readable

DIRECTIONS = "\u200e\u200f\u202a\u202e\u2066\u2069"


@given(st.text())
def test_readable_is_one_bounded_line(text):
    line = readable(text)
    assert len(line) <= MOST_CHARACTERS
    assert len(line.splitlines()) <= 1
    assert "\x1b" not in line
    assert not set(line) & set(DIRECTIONS)
    assert readable(line) == line


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cf", "Zl", "Zp", "Cs"]), max_size=200))
def test_plain_text_stays(text):
    assert readable(text) == text.strip()
    assert harmless(text) == text


def test_a_log_keeps_its_lines():
    log = "\x1b[1;32mINFO\x1b[0m one\r\n\ttwo\x07\n\x9b31mthree\u202e\n"
    assert harmless(log) == "INFO one\n\ttwo\n31mthree\n"


def test_only_as_much_as_is_wanted_is_looked_at():
    assert readable("y" * 10_000_000, 10) == "y" * 10
