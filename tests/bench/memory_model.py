"""How well margin-bo's memory model foretells real servers: it learns from some starts, and predicts the others.

Real vLLM 0.24.0 on an H200 that reports and enforces 24 or 8 GiB (`lands/recorded.jsonl`): the KV cache that each start
logged, and what the GPU had free after its loads, as NVML told it. The model learns from the first starts of an order
and speaks of all that come later, nothing of which it has seen; orders are the one in which they were recorded, and
random ones. The reference is what a cautious person would do without a model: the median of the starts that are known,
and 90 % of them as its interval.

    python -m tests.bench.memory_model [--orders 24]
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from sloguard.api.v1alpha1 import KnobName, Margins, Outcome, SearchSpace
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.margin_bo.encoding import Encoding
from sloguard.optimizer.margin_bo.memory import learn
from tests.bench.lands.recorded import SEARCH_SPACE, recordings

GIB = 2**30
CARDS_GIB = (24, 8)
KNOWN = (1, 2, 3, 5, 8, 12, 20)
NORMAL_95 = 1.645

SPACE = make_space(SearchSpace.model_validate(SEARCH_SPACE), {}, Context())
_KNOBS = {name.value: name for name in KnobName}


@dataclass
class Tally:
    """Of one quantity: distances from the truth, and whether the 90 % interval held it."""

    errors: list[float] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    reference_errors: list[float] = field(default_factory=list)
    reference_held: list[bool] = field(default_factory=list)

    def add(self, truth, mean, sd, known):
        self.errors += np.abs(truth - mean).tolist()
        self.held += (np.abs(truth - mean) < NORMAL_95 * sd).tolist()
        self.reference_errors += np.abs(truth - np.median(known)).tolist()
        low, high = np.quantile(known, [0.05, 0.95])
        self.reference_held += ((truth >= low) & (truth <= high)).tolist()

    @property
    def coverage(self) -> float:
        return float(np.mean(self.held))

    @property
    def median_error_gib(self) -> float:
        return float(np.median(self.errors))


def starts(vram_gib: int) -> list[Result]:
    """Servers that logged their KV cache, in the order in which they were recorded."""
    rows = [row for row in recordings() if row["vram_gib"] == vram_gib and (row["kv_gib"] or 0) > 0]
    return [_result(number, row) for number, row in enumerate(rows)]


def _result(number, row):
    values = {_KNOBS[text]: value for text, value in row["config"].items()}
    margins = Margins(
        available_kv_cache_bytes=_bytes(row["kv_gib"]),
        kv_cache_tokens=row["kv_tokens"],
        model_weights_bytes=_bytes(row["weights_gib"]),
        cuda_graph_bytes=_bytes(row["graphs_gib"]),
        least_free_device_memory_bytes=_bytes(row["free_gib"]),
    )
    return Result(number, values, Outcome.FEASIBLE, 1.0, (0.5,), margins=margins)


def _bytes(gib):
    return None if gib is None else round(gib * GIB)


def kv_gib(result: Result) -> float:
    return result.margins.available_kv_cache_bytes / GIB


def free_gib(result: Result) -> float:
    """NaN where the server was not loaded to the end."""
    free = result.margins.least_free_device_memory_bytes
    return float("nan") if free is None else free / GIB


def orders(results: Sequence[Result], count: int) -> list[list[Result]]:
    """As recorded, then shuffled."""
    return [list(results), *(Random(seed).sample(list(results), len(results)) for seed in range(count - 1))]


def calibration(known: int, count: int) -> tuple[Tally, Tally]:
    """Of the KV cache and of the free memory, after so many starts, over both cards and so many orders."""
    kv, free = Tally(), Tally()
    for vram_gib in CARDS_GIB:
        encoding = Encoding(SPACE, Context(vram_bytes=vram_gib * GIB))
        told = starts(vram_gib)
        loaded = [result for result in told if free_gib(result) >= 0]
        for results, tally, truth_of, predict in (
            (told, kv, kv_gib, lambda memory, points: memory.kv_gib(points)),
            (loaded, free, free_gib, lambda memory, points: memory.free_gib(points)),
        ):
            for order in orders(results, count) if len(results) > known else ():
                memory = learn(encoding, order[:known], _points(encoding, order[:known]))
                mean, sd = predict(memory, _points(encoding, order[known:]))
                truth = np.array([truth_of(result) for result in order[known:]])
                tally.add(truth, mean, sd, [truth_of(result) for result in order[:known]])
    return kv, free


def _points(encoding, results):
    return encoding.configurations([result.parameters for result in results])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=24)
    count = parser.parse_args(arguments).orders
    print("| starts known | KV cache: median error GiB | 90 % interval holds | of the median of known ones |", end="")
    print(" free under load: median error GiB | 90 % interval holds | of the median of known ones |")
    print("|---|---|---|---|---|---|---|")
    for known in KNOWN:
        cells = [str(known)]
        for tally in calibration(known, count):
            reference = f"{np.median(tally.reference_errors):.2f}, {np.mean(tally.reference_held):.0%}"
            cells += [f"{tally.median_error_gib:.2f}", f"{tally.coverage:.0%}", reference]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
