"""The result has to fit a termination message, whatever was measured."""

import base64
import zlib
from datetime import UTC, datetime
from random import Random

import pytest

from sloguard.api.v1alpha1 import (
    LatencySummary,
    LoadResult,
    Metric,
    RateMeasurement,
    ServerCounters,
    ServerFault,
    ServerFaultKind,
    SLOResult,
    Violations,
)
from sloguard.measure.encode import LIMIT_BYTES, UnreadableResultError, decode, encode
from sloguard.measure.fault import server_fault

NOW = datetime.now(UTC)


def a_rate(percent, draw):
    return RateMeasurement(
        rate_percent=percent,
        requests_per_minute=draw(),
        duration_milliseconds=draw(),
        sent=draw(),
        completed=draw(),
        good=draw(),
        prompt_tokens=draw(),
        output_tokens=draw(),
        good_tokens=draw(),
        violations=Violations(**{kind: draw() for kind in Violations.model_fields}),
        latencies=[
            LatencySummary(metric=metric, p50_microseconds=draw(), p95_microseconds=draw(), p99_microseconds=draw())
            for metric in Metric
        ],
        slos=[
            SLOResult(
                metric=metric,
                percentile=99 + odd,
                limit_milliseconds=draw(),
                measured_microseconds=draw(),
                met=draw() % 2 == 0,
            )
            for metric in Metric
            for odd in (0, 1)
        ],
        dispatch_lag_p99_microseconds=draw(),
        server=ServerCounters(**{name: draw() for name in ServerCounters.model_fields}),
    )


def a_result(percents, *, digits, detail="A1b2 " * 51, invalid="x9Z- " * 51):
    """No figure repeats, so nothing can be packed better than in a real result."""
    random = Random(f"{percents}{digits}")

    def draw():
        return random.randrange(10 ** (digits - 1), 10**digits)

    return LoadResult(
        started_at=NOW,
        finished_at=NOW,
        rates=[a_rate(percent, draw) for percent in percents],
        fault=ServerFault(kind=ServerFaultKind.SERVER_GONE, at=NOW, detail=detail),
        invalid=invalid,
    )


EIGHT = [10, 20, 50, 80, 100, 120, 150, 1000]


@pytest.mark.parametrize("digits", [1, 3, 5, 7])
@pytest.mark.parametrize("percents", [EIGHT, [50, 100, 150], [100], []])
def test_the_largest_result_fits_and_loses_nothing(percents, digits):
    whole = a_result(percents, digits=digits)
    text = encode(whole)
    assert len(text.encode()) <= LIMIT_BYTES
    assert "\n" not in text
    assert decode(text) == whole


@pytest.mark.parametrize("digits", [8, 12, 14])
def test_what_no_one_can_measure_fits_without_its_summaries(digits):
    whole = a_result(EIGHT, digits=digits)
    text = encode(whole)
    assert len(text.encode()) <= LIMIT_BYTES
    assert [rate.slos for rate in decode(text).rates] == [rate.slos for rate in whole.rates]


def test_a_usual_result_can_be_read_by_people():
    whole = a_result([100], digits=6)
    assert LoadResult.model_validate_json(encode(whole)) == whole


def test_a_servers_message_cannot_swell():
    text = encode(a_result([100], digits=6, detail="\x01" * 256, invalid="\u20ac" * 5000))
    assert decode(text).fault.detail == "?" * 256
    assert decode(text).invalid == "?" * 256
    assert server_fault(ServerFaultKind.SERVER_GONE, "\u20ac\n" * 500, NOW).detail == "?" * 256


BOMB = base64.b85encode(zlib.compress(b" " * 50_000_000)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Killed",
        "[]",
        "7",
        "{}",
        '{"startedAt": "yesterday"}',
        '{"packed": 7}',
        '{"packed": null}',
        '{"packed": ["a"]}',
        '{"packed": "x"}',
        '{"packed": "\u20ac"}',
        f'{{"packed": "{BOMB}"}}',
        "[" * 100_000,
    ],
)
def test_what_is_no_result(text):
    with pytest.raises(UnreadableResultError):
        decode(text)
