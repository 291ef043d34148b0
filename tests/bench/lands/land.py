"""What a land is: a search space with a known truth behind it, and trials that show that truth with noise."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from random import Random

from sloguard.api.v1alpha1 import Crash, CrashClass, CrashPhase, Fault, Margins, Outcome, Proof, SearchSpace
from sloguard.domain.result import VIOLATION_CAP, RatePoint, Result, Value, Values
from sloguard.domain.rules import Context
from sloguard.optimizer import Space, make_space

GIB = 2**30

REJECTED_SECONDS = 30.0
MEMORY_FAILURE_SECONDS = 85.0
TRIAL_SECONDS = 130.0
EAGER_SAVES_SECONDS = 30.0
LOAD_SECONDS = 20.0
"""What a trial costs on a real 7B model: bad arguments, too little memory, start and load, start without graphs."""

OVERWHELMED_RATIO = 2.0
"""A sweep of rates ends where latencies are so far over their limits."""

OFFERED_PERCENT = 100

TOLERATED_RATIO = 1.02
"""A recommended configuration whose true figures break an SLO by more than this is worth nothing."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What a configuration does without noise. `ratios` are measured over limit; `free_gib` is under load."""

    goodput: float = 0.0
    ratios: tuple[float, ...] = ()
    crash: CrashClass | None = None
    phase: CrashPhase | None = None
    proof: Proof | None = None
    kv_gib: float | None = None
    kv_bytes_per_token: float = 131072.0
    weights_gib: float | None = None
    graphs_gib: float | None = None
    free_gib: float | None = None
    seconds: float = TRIAL_SECONDS

    @property
    def worth(self) -> float:
        """What recommending it gives."""
        if self.crash is not None or any(ratio > TOLERATED_RATIO for ratio in self.ratios):
            return 0.0
        return self.goodput


@dataclass(frozen=True)
class Sweep:
    """Several rates on one start, in percent of what is offered; `truth` is that of `Land` at one of them.

    Noise is what runs of recorded servers show: next to none where all is served, and most past saturation.
    """

    percents: tuple[int, ...]
    truth: Callable[[Mapping[str, Value], int], "Truth"]
    held_noise: float = 0.01
    saturated_noise: float = 0.2

    def noise(self, truth: "Truth") -> float:
        """Relative standard deviation: grows from nine tenths of a limit to one and a half times."""
        share = (max(truth.ratios) - 0.9) / 0.6
        return self.held_noise + (self.saturated_noise - self.held_noise) * min(max(share, 0.0), 1.0)


@dataclass(frozen=True)
class Land:
    """A workload on a GPU. `noise` is the relative sd of what is measured.

    `kv_noise_gib` is that of the KV margin, `free_noise_gib` that of what NVML or DCGM see free under load.
    """

    name: str
    search_space: Mapping[str, object]
    production: Values
    truth: Callable[[Mapping[str, Value]], Truth]
    context: Context
    noise: float = 0.02
    kv_noise_gib: float = 0.15
    free_noise_gib: float = 0.3
    sweep: Sweep | None = None

    @cached_property
    def space(self) -> Space:
        return make_space(SearchSpace.model_validate(self.search_space), self.production, self.context)

    def truth_of(self, values: Values) -> Truth:
        if self.space.broken(values) is not None:
            return Truth(crash=CrashClass.INVALID_ARGUMENTS, seconds=REJECTED_SECONDS)
        return self.truth({name.value: value for name, value in values.items()})

    def measure(self, number: int, values: Values, seed: int) -> Result:
        """One trial: the same for the same configuration, number of tries and seed, whoever asks for it."""
        truth = self.truth_of(values)
        rng = Random(f"{self.name} {seed} {self.space.key(values)}")
        if truth.crash is not None:
            crash = Crash(class_=truth.crash, fault=Fault.CONFIGURATION, phase=truth.phase, cause="", proof=truth.proof)
            # Margins are read when a server is ready: one that never was leaves its message only.
            margins = self._margins(truth, rng) if truth.phase is CrashPhase.SERVING else None
            return Result(number, values, Outcome.CRASHED, crash=crash, margins=margins, gpu_seconds=truth.seconds)
        margins = self._margins(truth, rng)
        if self.sweep is not None:
            return self._swept(self.sweep, number, values, truth.seconds, margins, rng)
        point = _rate_point(OFFERED_PERCENT, truth, self.noise, rng)
        return Result(
            number,
            values,
            Outcome.FEASIBLE if point.held else Outcome.INFEASIBLE,
            objective=point.goodput,
            violation_ratios=point.violation_ratios,
            margins=margins,
            gpu_seconds=truth.seconds,
        )

    def _swept(
        self, sweep: Sweep, number: int, values: Values, seconds: float, margins: Margins | None, rng: Random
    ) -> Result:
        """A curve, lowest rate first, until the server is overwhelmed; judged at the offered rate."""
        curve: list[RatePoint] = []
        for percent in sweep.percents:
            truth = sweep.truth({name.value: value for name, value in values.items()}, percent)
            curve.append(_rate_point(percent, truth, sweep.noise(truth), rng))
            if max(curve[-1].violation_ratios) > OVERWHELMED_RATIO:
                break
        at = max((point for point in curve if point.percent <= OFFERED_PERCENT), key=lambda point: point.percent)
        return Result(
            number,
            values,
            Outcome.FEASIBLE if at.held and at.percent == OFFERED_PERCENT else Outcome.INFEASIBLE,
            objective=at.goodput,
            violation_ratios=at.violation_ratios,
            margins=margins,
            gpu_seconds=seconds + LOAD_SECONDS * (len(curve) - 1),
            objective_stddev=at.goodput_stddev,
            curve=tuple(curve),
            rate_percent=OFFERED_PERCENT,
        )

    def _margins(self, truth: Truth, rng: Random) -> Margins | None:
        # Whether the graph was compiled or came from the cache moves 0.4 GiB on the real thing.
        kv = None if truth.kv_gib is None else truth.kv_gib + rng.gauss(0, self.kv_noise_gib)
        if kv is None and truth.weights_gib is None:
            return None
        free = None
        if truth.free_gib is not None:
            # Its own stream, so that what else is measured does not depend on this figure.
            noise = Random(f"free {kv}").gauss(0, self.free_noise_gib)
            free = round(max(truth.free_gib + noise, 0.0) * GIB)
        return Margins(
            available_kv_cache_bytes=None if kv is None else round(kv * GIB),
            kv_cache_tokens=None if kv is None or kv <= 0 else int(kv * GIB / truth.kv_bytes_per_token),
            model_weights_bytes=None if truth.weights_gib is None else round(truth.weights_gib * GIB),
            cuda_graph_bytes=None if truth.graphs_gib is None else round(truth.graphs_gib * GIB),
            least_free_device_memory_bytes=free,
        )

    @cached_property
    def oracle(self) -> float:
        """The most that any configuration is worth: of 20,000 well-spread ones, the best 20 improved step by step."""
        worths = [(self.truth_of(values).worth, values) for values in self._spread(20_000)]
        worths.sort(key=lambda entry: -entry[0])
        return max(self._climbed(worth, values) for worth, values in worths[:20])

    def _spread(self, count: int) -> list[dict[object, Value]]:
        rng = Random(f"oracle {self.name}")
        drawn = (self.space.sample(rng) for _ in range(count))
        return [values for values in drawn if values is not None]

    def _climbed(self, worth: float, values: Values) -> float:
        while True:
            around = [(self.truth_of(near).worth, near) for near in self.space.neighbours(values)]
            best = max(around, key=lambda entry: entry[0], default=(worth, values))
            if best[0] <= worth:
                return worth
            worth, values = best


def _rate_point(percent: int, truth: Truth, noise: float, rng: Random) -> RatePoint:
    ratios = tuple(min(r * math.exp(rng.gauss(0, noise)), VIOLATION_CAP) for r in truth.ratios)
    return RatePoint(
        percent=percent,
        goodput=truth.goodput * math.exp(rng.gauss(0, noise)),
        violation_ratios=ratios,
        held=all(ratio <= 1 for ratio in ratios),
        goodput_stddev=noise * truth.goodput,
    )


def noise_seed(*parts: object) -> int:
    """A seed of 31 bits that is the same on every platform."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1
