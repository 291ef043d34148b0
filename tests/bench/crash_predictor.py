"""How well the crash predictor's probabilities hold: `python -m tests.bench.crash_predictor`.

Ledgers: `simulated`, the simulator's memory formulas (fitted to recorded starts of vLLM 0.24.0) on four GPUs with three
models each; `recorded`, the 77 recorded starts themselves that broke no argument rule, 7B on 24 GiB and 1.5B on 8 GiB.
Something is left out, the predictor learns from the rest and speaks of what was left out. The reference in the same run
is the crash rate of what it learned from, said of everything.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from statistics import fmean

from sloguard.api.v1alpha1 import KnobName
from sloguard.optimizer.crash_predictor import crash_predictor
from sloguard.optimizer.crash_predictor_records import CrashRecord, Platform
from sloguard.optimizer.crash_predictor_veto import VETO_ABOVE
from sloguard.simulator.arguments import parse_arguments
from sloguard.simulator.config import ConfigurationError, resolve
from sloguard.simulator.memory import (
    GpuMemoryError,
    check_free_memory,
    check_graphs,
    check_load,
    check_profile,
    check_sampler,
    plan_memory,
    size_kv_cache,
)
from sloguard.simulator.profiles import (
    A100,
    GIB,
    H100,
    H200_AS_8GB,
    H200_AS_24GB,
    L4,
    LLAMA_3_8B,
    QWEN2_1_5B,
    QWEN2_7B,
    RTX_4090,
    Gpu,
    Model,
    Profile,
)
from tests.bench.lands.recorded import recordings

GPUS = (H100, A100, L4, RTX_4090)
MODELS = (LLAMA_3_8B, QWEN2_7B, QWEN2_1_5B)
SEEDS = 10
BINS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0)
LOGITS_A_SEQUENCE = 1


@dataclass(frozen=True, slots=True)
class Said:
    """Of one configuration: P(crash), whether it was trusted, the reference's word, and what happened."""

    probability: float
    trusted: bool
    reference: float
    crashed: bool


def platform(gpu: Gpu, model: Model) -> Platform:
    return Platform(
        gpu_memory_gib=gpu.total_bytes / GIB,
        bandwidth_gib_per_second=gpu.bandwidth_bytes_per_second / GIB,
        compute_capability=gpu.compute_capability / 10,
        parameters_billions=model.parameters / 1e9,
        layers=model.layers,
        heads=model.attention_heads,
        kv_heads=model.kv_heads,
        hidden_size=model.hidden,
    )


def simulated(configurations: int, seed: int) -> list[CrashRecord]:
    """Random configurations on every GPU with every model."""
    return [record for gpu in GPUS for model in MODELS for record in _started(gpu, model, configurations, seed)]


def _started(gpu: Gpu, model: Model, wanted: int, seed: int) -> Iterator[CrashRecord]:
    rng = Random(f"{gpu.name} {model.name} {seed}")
    profile, made = Profile("bench", gpu, model, 44.0), 0
    while made < wanted:
        values = _drawn(rng)
        flags = [f"--{name.value.replace('_', '-')}={value}" for name, value in values.items() if name not in _SWITCHES]
        flags += [f"--{'' if values[name] else 'no-'}{name.value.replace('_', '-')}" for name in _SWITCHES]
        arguments = parse_arguments(["m", *flags])
        arguments = replace(arguments, simulator=replace(arguments.simulator, profile=profile))
        try:
            crashed = _crashes(resolve(arguments))
        except ConfigurationError:
            continue  # rejected arguments are the rules' business
        made += 1
        yield CrashRecord(values, platform(gpu, model), crashed)


_SWITCHES = (KnobName.ENFORCE_EAGER, KnobName.ENABLE_CHUNKED_PREFILL)


def _drawn(rng: Random) -> dict[KnobName, bool | int | float | str]:
    return {
        KnobName.MAX_NUM_SEQS: round(2 ** rng.uniform(2, 9)),
        KnobName.MAX_NUM_BATCHED_TOKENS: round(2 ** rng.uniform(10, 14)),
        KnobName.GPU_MEMORY_UTILIZATION: round(rng.uniform(0.6, 0.99), 2),
        KnobName.MAX_MODEL_LEN: round(2 ** rng.uniform(10, 13)),
        KnobName.ENFORCE_EAGER: rng.random() < 0.5,
        KnobName.ENABLE_CHUNKED_PREFILL: rng.random() < 0.7,
        KnobName.KV_CACHE_DTYPE: rng.choice(["auto", "fp8"]),
    }


def _crashes(config) -> bool:
    """By the simulator's own order of checks, then by the peak of a full step under load."""
    plan = plan_memory(config)
    try:
        check_free_memory(plan, config.gpu_memory_utilization)
        check_load(plan)
        check_profile(plan)
        kv_bytes = size_kv_cache(plan, config).blocks * config.block_size * plan.kv_bytes_per_token
        check_graphs(plan, kv_bytes)
        check_sampler(plan, kv_bytes)
    except GpuMemoryError:
        return True
    logits = config.profile.model.vocabulary * LOGITS_A_SEQUENCE
    return plan.serving_peak(kv_bytes, config.max_num_batched_tokens, config.max_num_seqs, logits) > plan.total


def recorded() -> list[CrashRecord]:
    """Real vLLM; a knob that was not set has its default there, which no record says."""
    cards = {24: platform(H200_AS_24GB, QWEN2_7B), 8: platform(H200_AS_8GB, QWEN2_1_5B)}
    return [
        CrashRecord(
            {KnobName(name): value for name, value in _defaulted(row["config"]).items() if value is not None},
            cards[row["vram_gib"]],
            bool(row["failure"]),
        )
        for row in recordings()
        if row["failure"] != "invalid_arguments"
    ]


def _defaulted(config: dict[str, object]) -> dict[str, object]:
    """vLLM 0.24's defaults on a card of less than 70 GiB, for models of 32,768 tokens."""
    defaults = {
        "max_num_seqs": 256,
        "max_num_batched_tokens": 2048,
        "gpu_memory_utilization": 0.92,
        "max_model_len": 32768,
        "enforce_eager": False,
        "enable_chunked_prefill": True,
        "enable_prefix_caching": True,
        "kv_cache_dtype": "auto",
    }
    given = {name: value for name, value in config.items() if value is not None}
    return {**defaults, "quantization": "none", **given}


def left_out(records: Sequence[CrashRecord], group: Callable[[CrashRecord], object], seed: int) -> list[Said]:
    """What the predictor says of each group, having learned from all the others."""
    said: list[Said] = []
    for key in dict.fromkeys(group(record) for record in records):
        learned = [record for record in records if group(record) != key]
        asked = [record for record in records if group(record) == key]
        said += asked_of(learned, asked, seed)
    return said


def within(records: Sequence[CrashRecord], trials: int, seed: int) -> list[Said]:
    """On each platform by itself: learned from the first so many of its trials, asked about the others."""
    said: list[Said] = []
    for own in dict.fromkeys(record.platform for record in records):
        there = [record for record in records if record.platform == own]
        Random(seed).shuffle(there)
        said += spoken(there[:trials], there[trials:], own, seed)
    return said


def asked_of(learned: Sequence[CrashRecord], asked: Sequence[CrashRecord], seed: int) -> list[Said]:
    """Learned from one ledger, asked about another."""
    platforms = dict.fromkeys(record.platform for record in asked)
    return [said for own in platforms for said in spoken(learned, [r for r in asked if r.platform == own], own, seed)]


def spoken(learned: Sequence[CrashRecord], asked: Sequence[CrashRecord], own: Platform, seed: int) -> list[Said]:
    rate = fmean(record.crashed for record in learned)
    predictor = crash_predictor(learned, own, seed)
    if predictor is None:
        return [Said(rate, False, rate, record.crashed) for record in asked]
    probabilities = predictor.probabilities([record.parameters for record in asked])
    return [
        Said(float(p), predictor.trusted, rate, record.crashed) for p, record in zip(probabilities, asked, strict=True)
    ]


COLUMNS = ("ledger", "left out", "asked", "crashed", "Brier", "reference", "skill", "vetoed", "of these crashed")


def line(ledger: str, out: str, said: Sequence[Said]) -> str:
    brier = fmean((entry.probability - entry.crashed) ** 2 for entry in said)
    reference = fmean((entry.reference - entry.crashed) ** 2 for entry in said)
    vetoed = [entry for entry in said if entry.trusted and entry.probability > VETO_ABOVE]
    right = f"{fmean(entry.crashed for entry in vetoed):.0%}" if vetoed else "-"
    crashed = fmean(entry.crashed for entry in said)
    skill = f"{1 - brier / reference:.2f}" if reference else "-"
    return (
        f"| {ledger} | {out} | {len(said)} | {crashed:.0%} | {brier:.3f} | {reference:.3f} | {skill} "
        f"| {len(vetoed) / len(said):.0%} | {right} |"
    )


def reliability(said: Iterable[Said]) -> str:
    """Said against happened, in bins of what was said."""
    entries = list(said)
    lines = ["| P(crash) said | configurations | mean said | crashed |", "|---|---|---|---|"]
    for low, high in pairwise(BINS):
        inside = [e for e in entries if low <= e.probability < high or (high == 1.0 == e.probability)]
        if inside:
            mean, happened = fmean(e.probability for e in inside), fmean(e.crashed for e in inside)
            lines.append(f"| {low:.0%} to {high:.0%} | {len(inside)} | {mean:.0%} | {happened:.0%} |")
    return "\n".join(lines)


def gpu_of(record: CrashRecord) -> object:
    return record.platform.gpu_memory_gib, record.platform.bandwidth_gib_per_second


def model_of(record: CrashRecord) -> object:
    return record.platform.parameters_billions


def measured(seeds: int, configurations: int) -> dict[tuple[str, str], list[Said]]:
    """Every scheme, all seeds together."""
    found: dict[tuple[str, str], list[Said]] = {}
    real = recorded()
    for seed in range(seeds):
        made = simulated(configurations, seed)
        schemes = {
            ("simulated", "one GPU at a time"): lambda made=made, seed=seed: left_out(made, gpu_of, seed),
            ("simulated", "one model at a time"): lambda made=made, seed=seed: left_out(made, model_of, seed),
            ("simulated", "all but 15 trials of the same"): lambda made=made, seed=seed: within(made, 15, seed),
            ("simulated", "all but 30 trials of the same"): lambda made=made, seed=seed: within(made, 30, seed),
            ("recorded", "all but 15 trials of the same"): lambda seed=seed: within(real, 15, seed),
            ("recorded", "one card and its model"): lambda seed=seed: left_out(real, gpu_of, seed),
            ("simulated", "recorded"): lambda made=made, seed=seed: asked_of(made, real, seed),
        }
        for key, scheme in schemes.items():
            found.setdefault(key, []).extend(scheme())
    return found


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.crash_predictor", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--configurations", type=int, default=60, help="of each GPU with each model")
    given = parser.parse_args(arguments)
    found = measured(given.seeds, given.configurations)
    print(f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    for (ledger, out), said in found.items():
        print(line(ledger, out, said))
    for (ledger, out), said in found.items():
        print(f"\n{ledger}, {out} left out\n\n{reliability(said)}")


if __name__ == "__main__":
    main(sys.argv[1:])
