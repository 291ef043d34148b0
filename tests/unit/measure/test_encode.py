"""The result has to fit a termination message, whatever was measured."""

import base64
import zlib
from collections import Counter
from datetime import UTC, datetime
from random import Random

import pytest

from sloguard.api.v1alpha1 import (
    Disagreement,
    DisagreementPart,
    Interval,
    LatencySummary,
    LoadResult,
    Metric,
    RateMeasurement,
    ServerActivity,
    ServerCounters,
    ServerFault,
    ServerFaultKind,
    ServerView,
    SLOBounds,
    SLOResult,
    TimeBlocks,
    Violations,
)
from sloguard.domain.goodput import CLIENT_METRICS
from sloguard.domain.sketch import Sketch, read, stored
from sloguard.measure.encode import LIMIT_BYTES, UnreadableResultError, decode, encode
from sloguard.measure.fault import server_fault

BUSY = ServerActivity(requests_running=262_144, requests_waiting=262_144, kv_cache_usage_percent=100)
NOW = datetime.now(UTC)


LIMITS = [(metric, percentile, 37 * place) for place, metric in enumerate(CLIENT_METRICS, 7) for percentile in (95, 99)]
"""Eight SLOs; a study has the same ones at each rate."""


def a_rate(percent, draw, slos):
    sent = draw()
    return RateMeasurement(
        rate_percent=percent,
        requests_per_minute=draw(),
        duration_milliseconds=120_000,
        sent=sent,
        completed=draw(),
        good=draw(),
        prompt_tokens=draw(),
        output_tokens=draw(),
        good_tokens=draw(),
        good_tokens_interval=Interval(low=draw(), high=draw()),
        violations=Violations(**{kind: draw() for kind in Violations.model_fields}),
        latencies=[
            LatencySummary(
                metric=metric,
                count=draw(),
                sum_microseconds=draw(),
                p50_microseconds=draw(),
                p95_microseconds=draw(),
                p99_microseconds=draw(),
            )
            for metric in CLIENT_METRICS
        ],
        slos=[
            SLOResult(
                metric=metric,
                percentile=percentile,
                limit_milliseconds=limit,
                measured_microseconds=draw(),
                met=draw() % 2 == 0,
                within=draw(),
                of=draw() if metric is Metric.ITL else sent,
                share_interval_basis_points=Interval(low=draw() % 10_000, high=draw() % 10_000),
            )
            for metric, percentile, limit in LIMITS[:slos]
        ],
        dispatch_lag_p99_microseconds=draw(),
        server=ServerCounters(**{name: draw() for name in ServerCounters.model_fields}),
    )


def a_result(percents, *, digits, detail="A1b2 " * 51, invalid="x9Z- " * 51, sketched=0, blocks=False, slos=8):
    """No figure repeats, so nothing can be packed better than in a real result."""
    random = Random(f"{percents}{digits}")

    def draw():
        return random.randrange(10 ** (digits - 1), 10**digits)

    return LoadResult(
        started_at=NOW,
        finished_at=NOW,
        rates=[a_rate(percent, draw, slos) for percent in percents],
        sketches=[
            a_sketch(percent, metric, sketched, random) for percent in percents for metric in CLIENT_METRICS if sketched
        ],
        blocks=[
            TimeBlocks(rate_percent=percent, columns=[[draw() for _ in range(10)] for _ in range(18)])
            for percent in percents
            if blocks
        ],
        fault=detail and ServerFault(kind=ServerFaultKind.SERVER_GONE, at=NOW, detail=detail, activity=BUSY),
        invalid=invalid,
    )


def a_sketch(percent, metric, count, random):
    """Latencies of a server that is busy, from a few milliseconds to a minute."""
    values = Counter(round(random.lognormvariate(12, 1.2)) for _ in range(count))
    return stored(Sketch.of(values, random.randrange(100)), percent, metric)


def judged(result):
    """All that a verdict or a score rests on."""
    other = {"latencies", "server", "good_tokens_interval", "slos"}
    of_slos = {"share_interval_basis_points"}
    return [
        (rate.model_dump(exclude=other), [slo.model_dump(exclude=of_slos) for slo in rate.slos])
        for rate in result.rates
    ]


EIGHT = [10, 20, 50, 80, 100, 120, 150, 1000]


@pytest.mark.parametrize("digits", [1, 3, 5, 7])
@pytest.mark.parametrize("percents", [EIGHT[:5], [50, 100, 150], [100], []])
def test_a_large_result_fits_and_loses_nothing(percents, digits):
    whole = a_result(percents, digits=digits)
    text = encode(whole)
    assert len(text.encode()) <= LIMIT_BYTES
    assert "\n" not in text
    assert decode(text) == whole


@pytest.mark.parametrize("digits", [1, 4, 6, 7])
def test_the_largest_result_fits_and_loses_nothing_that_is_judged(digits):
    whole = a_result(EIGHT, digits=digits, sketched=2000, blocks=True)
    text = encode(whole)
    assert len(text.encode()) <= LIMIT_BYTES
    assert judged(decode(text)) == judged(whole)
    assert decode(text).invalid == whole.invalid


@pytest.mark.parametrize("percents", [[100], [50, 100, 150]])
def test_usual_sketches_stay_useful(percents):
    """Four SLOs, and four latencies of some thousand values at each rate: percentiles within 5 %."""
    whole = a_result(percents, digits=5, detail=None, invalid=None, sketched=5000, slos=4)
    text = encode(whole)
    assert len(text.encode()) <= LIMIT_BYTES
    kept = decode(text)
    assert kept.rates == whole.rates
    for before, after in zip(whole.sketches, kept.sketches, strict=True):
        assert read(after).relative_error < 0.05
        assert after == stored(read(before).at_scale(after.scale), before.rate_percent, before.metric)


def test_blocks_go_before_sketches_and_sketches_before_figures():
    kept = decode(encode(a_result(EIGHT[:5], digits=5, sketched=2000, blocks=True)))
    assert (len(kept.blocks), len(kept.sketches)) == (0, 20)
    kept = decode(encode(a_result([100, 150], digits=2, sketched=2000, blocks=True)))
    assert (len(kept.blocks), len(kept.sketches)) == (2, 8)


def seen_by_the_server(draw, rate):
    bounds = [
        SLOBounds(
            metric=slo.metric,
            percentile=slo.percentile,
            count=draw(),
            within_low=draw(),
            within_high=draw(),
            low_microseconds=draw(),
            high_microseconds=draw(),
        )
        for slo in rate.slos
    ]
    apart = [Disagreement(part=part, client=draw(), server_low=draw()) for part in list(DisagreementPart)[:3]]
    figures = {name: draw() for name in ("requests", "good_low", "good_high", "good_tokens_low", "good_tokens_high")}
    view = ServerView(slos=bounds, disagreements=apart, **figures)
    return rate.model_copy(update={"server_view": view})


@pytest.mark.parametrize(("percents", "whole"), [([50, 100, 150], True), (EIGHT[:6], False)])
def test_the_servers_bounds_go_before_other_figures(percents, whole):
    random = Random(7)
    result = a_result(percents, digits=5, slos=4)
    rates = [seen_by_the_server(lambda: random.randrange(10_000), rate) for rate in result.rates]
    result = result.model_copy(update={"rates": rates})
    text = encode(result)
    assert len(text) <= LIMIT_BYTES
    told = decode(text)
    assert (told == result) == whole
    for before, after in zip(result.rates, told.rates, strict=True):
        assert after.slos == before.slos
        assert after.latencies == before.latencies
        assert after.server_view.disagreements == before.server_view.disagreements


def test_a_usual_result_can_be_read_by_people():
    whole = a_result([100], digits=5, detail=None, invalid=None)
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
