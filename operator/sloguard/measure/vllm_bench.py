"""A result in the words of `vllm bench serve --save-result`, for tools that read those files. Pure.

Names are those of vllm/benchmarks/serve.py (0.32). What differs in substance:

* Latencies count from when a request was due, not from when it was sent.
* duration is the window in which requests were due, without the drain: past saturation, throughputs are higher here.
* request_goodput needs every SLO of the study, ITL among them, of which vLLM has none.
* Percentiles are 50, 95 and 99; standard deviations and what is measured per request are left out.
* Of a latency that nothing was measured of there is no field, where vLLM has 0.
"""

from collections.abc import Iterator
from typing import Any

from sloguard.api.v1alpha1 import LatencySummary, LoadResult, Metric, RateMeasurement

SUFFIXES = {Metric.TTFT: "ttft", Metric.TPOT: "tpot", Metric.ITL: "itl", Metric.E2E: "e2el"}


def as_vllm_bench(result: LoadResult, model: str | None = None) -> list[dict[str, Any]]:
    """One for each rate, as vLLM has a file for each run."""
    date = result.started_at.strftime("%Y%m%d-%H%M%S")
    about = {"date": date, "backend": "openai", "endpoint_type": "openai"} | ({"model_id": model} if model else {})
    return [about | dict(_fields(rate)) for rate in result.rates]


def _fields(rate: RateMeasurement) -> Iterator[tuple[str, Any]]:
    seconds = rate.duration_milliseconds / 1000
    yield "num_prompts", rate.sent
    yield "request_rate", rate.requests_per_minute / 60
    yield "duration", seconds
    yield "completed", rate.completed
    yield "failed", rate.sent - rate.completed
    yield "total_input_tokens", rate.prompt_tokens
    yield "total_output_tokens", rate.output_tokens
    yield "request_throughput", rate.completed / seconds
    yield "request_goodput", rate.good / seconds
    yield "output_throughput", rate.output_tokens / seconds
    yield "total_token_throughput", (rate.prompt_tokens + rate.output_tokens) / seconds
    for summary in rate.latencies:
        yield from _latency(summary)


def _latency(summary: LatencySummary) -> Iterator[tuple[str, float]]:
    of = SUFFIXES.get(summary.metric)
    if of is None or not summary.count:
        return
    yield f"mean_{of}_ms", summary.sum_microseconds / summary.count / 1000
    percentiles = (summary.p50_microseconds, summary.p95_microseconds, summary.p99_microseconds)
    for name, microseconds in zip(("median", "p95", "p99"), percentiles, strict=True):
        if microseconds is not None:
            yield f"{name}_{of}_ms", microseconds / 1000
