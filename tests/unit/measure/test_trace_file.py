"""Traces as they are published, and what is said about files that are none."""

import json

import pytest

from sloguard.api.v1alpha1 import Arrival, ArrivalPattern
from sloguard.measure.load import run_load
from sloguard.measure.trace_file import TraceFileError, read_trace
from tests.unit.measure.fake_server import a_request

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:16:46.6805900,12,0
"""
AZURE_2024 = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,2162,5\n"
MOONCAKE = """{"timestamp": 0, "input_length": 1200, "output_length": 52, "hash_ids": [46, 47, 48]}
{"timestamp": 27482, "input_length": 600, "output_length": 26, "hash_ids": [46, 57]}
"""
OURS = """atMilliseconds,promptTokens,outputTokens,prefixGroup,prefixTokens,note
0,100,10,,,
5,200,20,chat-7,64,x
7.5,300,30,chat-7,,"a, b"
"""


def read(tmp_path, text, until_seconds=100.0):
    path = tmp_path / "trace"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_trace(path, until_seconds)


def sizes(requests):
    return [(round(each.at_seconds, 6), each.prompt_tokens, each.output_tokens) for each in requests]


def test_azure(tmp_path):
    expected = [(0, 374, 44), (4.314579, 396, 109), (60, 12, 1)]
    assert sizes(read(tmp_path, AZURE)) == expected
    assert sizes(read(tmp_path, "\ufeff" + AZURE.replace("\n", "\r\n"))) == expected
    assert sizes(read(tmp_path, AZURE_2024)) == [(0, 2162, 5)]


def test_mooncake(tmp_path):
    first, second = read(tmp_path, MOONCAKE)
    assert sizes([first, second]) == [(0, 1200, 52), (27.482, 600, 26)]
    assert first.prefix == (("block-46", 512), ("block-47", 512), ("block-48", 512))
    assert second.prefix == (("block-46", 512), ("block-57", 512))


def test_mooncake_as_csv(tmp_path):
    (only,) = read(tmp_path, 'timestamp,input_length,output_length,hash_ids\n0,1200,52,"[46, 47, 48]"\n')
    assert len(only.prefix) == 3


def test_ours(tmp_path):
    requests = read(tmp_path, OURS)
    assert sizes(requests) == [(0, 100, 10), (0.005, 200, 20), (0.0075, 300, 30)]
    assert [each.prefix for each in requests] == [(), (("group-chat-7", 64),), (("group-chat-7", 300),)]
    lines = '{"at_milliseconds": 5, "PROMPT_TOKENS": 7, "outputTokens": 1, "prefixGroup": 3}\n\n'
    (only,) = read(tmp_path, lines)
    assert (sizes([only]), only.prefix) == ([(0.005, 7, 1)], (("group-3", 7),))


def test_a_long_trace_is_read_as_far_as_it_is_needed(tmp_path):
    """What is wrong after that matters to nobody."""
    assert len(read(tmp_path, AZURE + "not a request\n", until_seconds=60)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: the file is empty; begin with a line of column names: atMilliseconds, promptTokens"),
        ("a,b\n1,2\n", "line 2: the columns a, b are no known trace; name them atMilliseconds"),
        (AZURE.replace("374", "-1"), 'line 2: ContextTokens: "-1" is not a whole number from 1 to 1000000'),
        (AZURE.replace("109", "1e3"), 'line 3: GeneratedTokens: "1e3" is not a whole number from 0 to 1000000'),
        (AZURE.replace("374", "9" * 5000), "line 2: ContextTokens: "),
        (AZURE.replace("396", ""), "line 3: ContextTokens is missing; add it"),
        (AZURE.replace("2023-11-16 18:15:50", "noon"), 'line 3: TIMESTAMP: "noon.9951690" is not a date; write it as'),
        (AZURE.replace("18:15:50", "18:15:40"), "line 3: TIMESTAMP: "),
        (AZURE.replace("18:15:50", "18:15:40"), "is before the trace's start; sort the file by time"),
        (AZURE.replace("18:16:46", "18:15:48"), "is earlier than the line before; sort the file by time"),
        (AZURE.replace("396,109", "396"), "line 3: has 2 values for 3 columns"),
        ('"' + AZURE, "is not CSV"),
        (MOONCAKE.replace("27482", '"later"'), 'line 2: timestamp: "later" is not a number of milliseconds'),
        (MOONCAKE.replace("27482", "true"), "line 2: timestamp: true is not a number of milliseconds"),
        (MOONCAKE.replace("27482", "1e400"), "line 2: timestamp: Infinity is not a number of milliseconds"),
        (MOONCAKE.replace("600", "600.5"), "line 2: input_length: 600.5 is not a whole number from 1 to 1000000"),
        (MOONCAKE.replace("[46, 57]", '"46"'), 'line 2: hash_ids: "46" is not a list of whole numbers, such as [46'),
        (MOONCAKE.replace("[46, 57]", '[46, "x"]'), "line 2: hash_ids: "),
        (MOONCAKE + "{", "line 3: is not JSON"),
        (MOONCAKE + "[1]", "line 3: [1] is not an object; write one a line, such as"),
        (
            '{"atMilliseconds": 0, "promptTokens": 1, "outputTokens": 1, "prefixGroup": []}',
            "prefixGroup: [] is neither",
        ),
        ('{"a": "' + "x" * 2**20 + '"}', "line 1: is longer than 1048576 characters"),
        (b"\xff\xfe", "is not UTF-8 text; save the file as UTF-8"),
        (OURS.replace("\n0,100,10,,,", "").replace("5,200", "100000,200"), "no request comes within the first 100 s"),
    ],
)
def test_what_is_wrong_is_told_with_line_column_and_value(tmp_path, text, message):
    with pytest.raises(TraceFileError) as caught:
        read(tmp_path, text)
    said = str(caught.value)
    assert message in said
    assert said.startswith(str(tmp_path / "trace"))
    assert len(said) < 500


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(TraceFileError, match="cannot be read: No such file or directory; check the path"):
        read_trace(tmp_path / "nothing", 1)


async def test_a_load_replays_a_file(server, tmp_path):
    path = tmp_path / "trace.jsonl"
    path.write_text(MOONCAKE.replace("27482", "20"))
    arrival = Arrival(pattern=ArrivalPattern.TRACE, trace_file=str(path))
    result = await run_load(a_request(server, arrival=arrival, prompt_tokens=None, output_tokens=None))
    (rate,) = result.rates
    assert (rate.sent, rate.good, rate.output_tokens, rate.requests_per_minute) == (2, 2, 78, 120)
    first, second = sorted((json.loads(body)["prompt"] for body in server.bodies), key=len, reverse=True)
    assert first[:512] == second[:512]
    assert first[512:600] != second[512:600]
