"""Results in the words of `vllm bench serve`: the same names, units and definitions."""

from array import array
from datetime import UTC, datetime

import numpy as np
import pytest

from sloguard.api.v1alpha1 import SLO, LoadResult, Metric
from sloguard.domain.goodput import Ending, RequestRecord, summarise
from sloguard.domain.measured_rate import measured_rate
from sloguard.measure.vllm_bench import as_vllm_bench

TTFTS = (100, 200, 300, 900)
GAPS = ((10, 30), (20, 20), (40, 60), ())
"""Milliseconds; the last request has a single token."""


def a_result():
    done = [
        RequestRecord(0, 7, len(gaps) + 1, Ending.COMPLETED, ttft * 1000, (ttft + sum(gaps)) * 1000, micros(gaps))
        for ttft, gaps in zip(TTFTS, GAPS, strict=True)
    ]
    records = [*done, RequestRecord(0, 7, 5, Ending.REFUSED)]
    slos = [SLO(metric=Metric.TTFT, milliseconds=250), SLO(metric=Metric.TPOT, milliseconds=30)]
    rate = measured_rate(records, slos, rate_percent=100, requests_per_minute=90, duration_milliseconds=2000)
    now = datetime(2026, 3, 2, 12, 30, 5, tzinfo=UTC)
    return LoadResult(started_at=now, finished_at=now, rates=[rate])


def micros(gaps):
    return array("I", [gap * 1000 for gap in gaps])


def test_figures_are_those_of_vllms_own_formulas():
    """calculate_metrics of vllm/benchmarks/serve.py, over the same requests."""
    (found,) = as_vllm_bench(a_result(), "org/model")
    tpots = [sum(gaps) / len(gaps) for gaps in GAPS if gaps]
    values = {
        "ttft": TTFTS,
        "tpot": tpots,
        "itl": [gap for gaps in GAPS for gap in gaps],
        "e2el": [ttft + sum(gaps) for ttft, gaps in zip(TTFTS, GAPS, strict=True)],
    }
    expected = {
        "duration": 2.0,
        "completed": 4,
        "failed": 1,
        "num_prompts": 5,
        "request_rate": 1.5,
        "total_input_tokens": 28,
        "total_output_tokens": 10,
        "request_throughput": 2.0,
        "request_goodput": 1.0,
        "output_throughput": 5.0,
        "total_token_throughput": 19.0,
    }
    for name, of in values.items():
        expected[f"mean_{name}_ms"] = np.mean(of)
        expected[f"median_{name}_ms"] = np.median(of)
        expected |= {f"p{percent}_{name}_ms": np.percentile(of, percent) for percent in (95, 99)}
    words = {"date": "20260302-123005", "backend": "openai", "endpoint_type": "openai", "model_id": "org/model"}
    assert found.keys() == expected.keys() | words.keys()
    assert {name: found[name] for name in words} == words
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=0.001)


def test_nothing_measured_has_no_latencies():
    result = a_result()
    empty = result.rates[0].model_copy(update={"completed": 0, "latencies": summarise([])})
    (found,) = as_vllm_bench(result.model_copy(update={"rates": [empty]}))
    assert not [name for name in found if name.endswith("_ms")]
    assert "model_id" not in found
