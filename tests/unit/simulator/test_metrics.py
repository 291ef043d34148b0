"""/metrics against that of a recorded vLLM 0.24.0: the same families, types, labels and bucket edges, and no others."""

import gzip
from collections import defaultdict
from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

from sloguard.simulator.arguments import parse_arguments
from sloguard.simulator.metrics import Metrics
from sloguard.simulator.startup import Ready, script
from tests.bench.recordings.derive import METRICS

SET_BY_VLLM = {"finished_reason", "source", "reason", "sleep_state", "engine"}  # labels whose values are vLLM's own


def samples_of(text: str) -> Iterable[tuple[str, tuple[str, ...]]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {name: value if name in SET_BY_VLLM else "" for name, value in sample.labels.items()}
            if "le" in sample.labels:
                labels["le"] = str(float(sample.labels["le"]))
            yield sample.name, tuple(f"{name}={value}" for name, value in sorted(labels.items()))


def shape(text: str) -> dict[str, set[tuple[str, ...]]]:
    """Label names by sample name, with the values of those that vLLM sets; buckets by their edges."""
    found: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for name, labels in samples_of(text):
        found[name].add(labels)
    return dict(found)


def types_by_suffix(text: str) -> dict[str, str]:
    """The recording has no TYPE lines, but its samples' names tell: _bucket is a histogram's, _total a counter's."""
    names = set(shape(text))
    histograms = {name.removesuffix("_bucket") for name in names if name.endswith("_bucket")}
    counters = {name.removesuffix("_total") for name in names if name.endswith("_total")}
    parts = {f"{name}{part}" for name in histograms for part in ("_bucket", "_sum", "_count", "_created")}
    parts |= {f"{name}{part}" for name in counters for part in ("_total", "_created")}
    return dict.fromkeys(histograms, "histogram") | dict.fromkeys(counters, "counter") | dict.fromkeys(
        names - parts, "gauge"
    )  # fmt: skip


def simulated() -> str:
    arguments = parse_arguments(["m", "--profile", "7b-h200-24gb"])  # the recording is of the defaults
    *_, ready = script(arguments)
    assert isinstance(ready, Ready)
    metrics = Metrics("m", ready.cache.max_model_len)
    metrics.describe_cache(arguments, ready.config, ready.cache)
    return metrics.exposition().decode()


RECORDED = gzip.decompress(METRICS.read_bytes()).decode()


def test_the_families_and_their_types_are_those_recorded():
    families = {
        family.name: family.type
        for family in text_string_to_metric_families(simulated())
        if not family.name.endswith("_created")
    }
    assert families == types_by_suffix(RECORDED)


def test_samples_labels_and_bucket_edges_are_those_recorded():
    recorded, ours = shape(RECORDED), shape(simulated())
    assert ours.keys() == recorded.keys()
    for name, samples in recorded.items():
        assert ours[name] == samples, name
