"""vLLM's Prometheus metrics: names, labels, types and bucket edges as recorded from 0.24.0."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sloguard.simulator.arguments import Arguments
    from sloguard.simulator.config import EngineConfig
    from sloguard.simulator.memory import KvCache

Family = TypeVar("Family", Counter, Gauge)

TTFT_EDGES = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
    160.0, 640.0, 2560.0,
)  # fmt: skip
TOKEN_EDGES = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
REQUEST_EDGES = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0, 960.0,
    1920.0, 7680.0,
)  # fmt: skip
ITERATION_EDGES = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
PARAMETER_N_EDGES = (1, 2, 5, 10, 20)
FINISH_REASONS = ("stop", "length", "abort", "error", "repetition")
TOKEN_SOURCES = ("local_compute", "local_cache_hit", "external_kv_transfer")


def one_two_five_edges(maximum: int) -> list[int]:
    """1, 2, 5, 10, 20, 50, ... up to `maximum`, as vLLM builds them."""
    edges: list[int] = []
    exponent = 0
    while True:
        for mantissa in (1, 2, 5):
            edge = mantissa * 10**exponent
            if edge > maximum:
                return edges
            edges.append(edge)
        exponent += 1


@dataclass(frozen=True)
class FinishedRequest:
    """What vLLM records when a request ends; times in seconds."""

    finish_reason: str
    prompt_tokens: int
    output_tokens: int
    max_tokens: int
    n: int
    cached_tokens: int
    e2e_seconds: float
    queue_seconds: float
    prefill_seconds: float
    decode_seconds: float


class Metrics:
    """The registry behind /metrics."""

    def __init__(self, model_name: str, max_model_len: int) -> None:
        self._registry = CollectorRegistry()
        self._labels = {"model_name": model_name, "engine": "0"}
        self._engine_counters()
        self._request_counters()
        lengths = one_two_five_edges(max_model_len)
        self.prompt_length = self._histogram("request_prompt_tokens", "Number of prefill tokens processed.", lengths)
        self.output_length = self._histogram(
            "request_generation_tokens", "Number of generation tokens processed.", lengths
        )
        self.iteration = self._histogram(
            "iteration_tokens_total", "Histogram of number of tokens per engine_step.", ITERATION_EDGES
        )
        text = "Histogram of maximum number of requested generation tokens."
        self.max_output = self._histogram("request_max_num_generation_tokens", text, lengths)
        self.params_n = self._histogram("request_params_n", "Histogram of the n request parameter.", PARAMETER_N_EDGES)
        text = "Histogram of the max_tokens request parameter."
        self.params_max_tokens = self._histogram("request_params_max_tokens", text, lengths)
        self.ttft = self._histogram(
            "time_to_first_token_seconds", "Histogram of time to first token in seconds.", TTFT_EDGES
        )
        self.itl = self._histogram(
            "inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", TOKEN_EDGES
        )
        text = "Histogram of time_per_output_token_seconds per request."
        self.tpot = self._histogram("request_time_per_output_token_seconds", text, TOKEN_EDGES)
        self._phase_histograms()
        text = "Histogram of number of new KV tokens computed during prefill (excluding cached tokens)."
        self.prefill_computed = self._histogram("request_prefill_kv_computed_tokens", text, lengths)

    def _engine_counters(self) -> None:
        for name, text in (
            ("estimated_flops_per_gpu", "Estimated number of floating point operations per GPU."),
            ("estimated_read_bytes_per_gpu", "Estimated number of bytes read from memory per GPU."),
            ("estimated_write_bytes_per_gpu", "Estimated number of bytes written to memory per GPU."),
        ):
            self._counter(name, text)
        self.running = self._gauge("num_requests_running", "Number of requests in model execution batches.")
        self.waiting = self._gauge("num_requests_waiting", "Number of requests waiting to be processed.")
        family = self._family(
            Gauge, "num_requests_waiting_by_reason", "Number of waiting requests by reason.", "reason"
        )
        self.waiting_capacity = family.labels(**self._labels, reason="capacity")
        family.labels(**self._labels, reason="deferred").set(0)
        family = self._family(Gauge, "engine_sleep_state", "Engine sleep state.", "sleep_state")
        for state in ("awake", "weights_offloaded", "discard_all"):
            family.labels(**self._labels, sleep_state=state).set(state == "awake")
        self.kv_usage = self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.")
        self.cache_queries = self._counter(
            "prefix_cache_queries", "Prefix cache queries, in terms of number of queried tokens."
        )
        self.cache_hits = self._counter("prefix_cache_hits", "Prefix cache hits, in terms of number of cached tokens.")
        self._counter("external_prefix_cache_queries", "External prefix cache queries from KV connector.")
        self._counter("external_prefix_cache_hits", "External prefix cache hits from KV connector.")
        self._counter("mm_cache_queries", "Multi-modal cache queries, in terms of number of queried items.")
        self._counter("mm_cache_hits", "Multi-modal cache hits, in terms of number of cached items.")
        self.preemptions = self._counter("num_preemptions", "Cumulative number of preemption from the engine.")

    def _request_counters(self) -> None:
        self.prompt_tokens = self._counter("prompt_tokens", "Number of prefill tokens processed.")
        family = self._family(Counter, "prompt_tokens_by_source", "Number of prompt tokens by source.", "source")
        self.by_source = {name: family.labels(**self._labels, source=name) for name in TOKEN_SOURCES}
        self.prompt_tokens_cached = self._counter("prompt_tokens_cached", "Number of cached prompt tokens.")
        self.generation_tokens = self._counter("generation_tokens", "Number of generation tokens processed.")
        text = "Count of successfully processed requests."
        family = self._family(Counter, "request_success", text, "finished_reason")
        self.success = {name: family.labels(**self._labels, finished_reason=name) for name in FINISH_REASONS}

    def _phase_histograms(self) -> None:
        self.e2e = self._histogram(
            "e2e_request_latency_seconds", "Histogram of e2e request latency in seconds.", REQUEST_EDGES
        )
        phases = ("queue", "inference", "prefill", "decode")
        names = {"queue": "WAITING", "inference": "RUNNING", "prefill": "PREFILL", "decode": "DECODE"}
        self.phase = {
            phase: self._histogram(
                f"request_{phase}_time_seconds",
                f"Histogram of time spent in {names[phase]} phase for request.",
                REQUEST_EDGES,
            )
            for phase in phases
        }

    def _family(self, kind: type[Family], name: str, text: str, *labels: str) -> Family:
        return kind(f"vllm:{name}", text, ["model_name", "engine", *labels], registry=self._registry)

    def _counter(self, name: str, text: str) -> Counter:
        return self._family(Counter, name, text).labels(**self._labels)

    def _gauge(self, name: str, text: str) -> Gauge:
        return self._family(Gauge, name, text).labels(**self._labels)

    def _histogram(self, name: str, text: str, edges: Sequence[float]) -> Histogram:
        family = Histogram(f"vllm:{name}", text, ["model_name", "engine"], registry=self._registry, buckets=edges)
        return family.labels(**self._labels)

    def describe_cache(self, arguments: Arguments, config: EngineConfig, cache: KvCache) -> None:
        """cache_config_info: a gauge of 1 whose labels are the cache's settings."""
        labels = {
            "_block_size_resolved": "True",
            "block_size": str(config.block_size),
            "cache_dtype": config.kv_cache_dtype,
            "calculate_kv_scales": "False",
            "enable_prefix_caching": str(config.enable_prefix_caching),
            "engine": "0",
            "gpu_memory_utilization": str(config.gpu_memory_utilization),
            "hash_block_size": "None",
            "is_attention_free": "False",
            "kv_cache_dtype_skip_layers": "[]",
            "kv_cache_max_concurrency": str(cache.max_concurrency),
            "kv_cache_memory_bytes": str(config.kv_cache_memory_bytes),
            "kv_cache_size_tokens": str(cache.tokens),
            "kv_offloading_backend": "native",
            "kv_offloading_size": "None",
            "kv_sharing_fast_prefill": "False",
            "mamba_block_size": "None",
            "mamba_cache_dtype": "auto",
            "mamba_cache_mode": "none",
            "mamba_page_size_padded": "None",
            "mamba_ssm_cache_dtype": "auto",
            "num_cpu_blocks": "None",
            "num_gpu_blocks": str(cache.blocks),
            "num_gpu_blocks_override": str(config.num_gpu_blocks_override),
            "prefix_caching_hash_algo": str(arguments.value("prefix_caching_hash_algo")),
            "sliding_window": "None",
            "user_specified_block_size": str("block_size" in arguments.given),
            "user_specified_mamba_block_size": "False",
        }
        text = "Information of the LLMEngine CacheConfig"
        Gauge("vllm:cache_config_info", text, list(labels), registry=self._registry).labels(**labels).set(1)

    def observe_finished(self, request: FinishedRequest) -> None:
        self.success[request.finish_reason].inc()
        self.e2e.observe(request.e2e_seconds)
        self.phase["queue"].observe(request.queue_seconds)
        self.phase["prefill"].observe(request.prefill_seconds)
        self.phase["decode"].observe(request.decode_seconds)
        self.phase["inference"].observe(request.prefill_seconds + request.decode_seconds)
        self.prompt_length.observe(request.prompt_tokens)
        self.output_length.observe(request.output_tokens)
        self.max_output.observe(request.output_tokens)
        self.params_n.observe(request.n)
        self.params_max_tokens.observe(request.max_tokens)
        self.prefill_computed.observe(request.prompt_tokens - request.cached_tokens)
        if request.output_tokens > 1:
            self.tpot.observe(request.decode_seconds / (request.output_tokens - 1))

    def exposition(self) -> bytes:
        return generate_latest(self._registry)
