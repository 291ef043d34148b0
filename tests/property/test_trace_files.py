"""Whatever a trace's file holds: requests in order of time, or a sentence that says where it is wrong."""

import json
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from sloguard.measure.request import LoadInputError
from sloguard.measure.trace_file import MAX_TOKENS, TraceFileError, read_trace
from sloguard.measure.words import read_words

COLUMNS = (
    ("atMilliseconds", "promptTokens", "outputTokens", "prefixGroup", "prefixTokens"),
    ("TIMESTAMP", "ContextTokens", "GeneratedTokens"),
    ("timestamp", "input_length", "output_length", "hash_ids"),
)
likely = st.one_of(
    st.integers(0, 2000),
    st.sampled_from(
        ["2023-11-16 18:15:46.6805900", "2024-05-10 00:00:00+00:00", "0001-01-01 00:00:00+14:00", "[1, 2]", [1, 2], ""]
    ),
)
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["1e999", "-0", "\u0663", "9" * 5000, "nan", '"', "1,2", "2023-11-16"]),
)
values = st.one_of(likely, likely, likely, odd)


@st.composite
def files(draw):
    """Mostly one of the formats with something wrong here and there."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    names = draw(st.sampled_from(COLUMNS))
    rows = [[draw(values) for _ in names] for _ in range(draw(st.integers(0, 4)))]
    if draw(st.booleans()):
        text = "\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows)
    else:
        text = "\n".join(",".join(map(str, row)) for row in [names, *rows])
    return (text + draw(st.sampled_from(["", "\n", "\r\n", "\n\n", "\0", "{", '"']))).encode("utf-8", "surrogatepass")


@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=files())
def test_any_file(content, tmp_path):
    path = tmp_path / "trace"
    path.write_bytes(content)
    try:
        requests = read_trace(path, 1e6)
    except TraceFileError as error:
        event("refused")
        said = str(error)
    else:
        said = ""
        event("read")
        assert_in_order(requests)
    assert not said or said.startswith(str(path))
    assert len(said) < 700


def assert_in_order(requests):
    assert all(0 <= before.at_seconds <= after.at_seconds for before, after in pairwise([requests[0], *requests]))
    assert all(1 <= each.prompt_tokens <= MAX_TOKENS and 1 <= each.output_tokens <= MAX_TOKENS for each in requests)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(["model", "vocab", "a", "\u0120a"]), st.text(max_size=3)), inner),
    ),
    max_leaves=8,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=50), JSON.map(lambda value: json.dumps({"model": value}).encode())))
def test_any_tokenizer_file_is_refused_in_words(content, tmp_path):
    """None of these has 256 words."""
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(LoadInputError):
        read_words(path)
