"""How far identical runs of a study were apart, rate by rate, from whatever was repeated. Pure.

Below saturation identical runs of vLLM differ by less than 1 %, at it by up to the whole value, so one figure for all
rates would be wrong for each of them.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from sloguard.api.v1alpha1 import Purpose, RateNoise, Trial
from sloguard.domain.score import MEASURED

Runs = Sequence[float]


def noise_by_rate(trials: Iterable[Trial]) -> list[RateNoise]:
    """Of goodput, for each rate at which something was measured twice; lowest rate first."""
    found = _runs(trials)
    rates = sorted({percent for percent, _ in found})
    return [noise for percent in rates if (noise := _at(percent, found)) is not None]


def relative_noise(trials: Iterable[Trial], percent: int) -> float | None:
    """Standard deviation of one run over its mean at this rate; None where nothing was repeated."""
    return _pooled([runs for (at, _), runs in _runs(trials).items() if at == percent])


Configuration = tuple[str, ...]

PRODUCTION: Configuration = ("production",)


def _runs(trials: Iterable[Trial]) -> dict[tuple[int, Configuration], list[float]]:
    """Goodput of each rate and configuration, in tokens/s."""
    found: dict[tuple[int, Configuration], list[float]] = defaultdict(list)
    for trial in trials:
        measured = trial.status.measurements if trial.status.outcome in MEASURED else []
        for measurement in measured:
            found[measurement.rate_percent, _configuration(trial)].append(measurement.goodput_tokens_per_second)
    return found


def _configuration(trial: Trial) -> Configuration:
    if trial.spec.purpose is Purpose.PRODUCTION:
        return PRODUCTION
    return tuple(f"{name.value}={value}" for name, value in sorted(trial.spec.parameters.items()))


def _at(percent: int, found: dict[tuple[int, Configuration], list[float]]) -> RateNoise | None:
    repeated = [runs for (at, _), runs in found.items() if at == percent and len(runs) > 1]
    noise = _pooled(repeated)
    if noise is None:
        return None
    own = _pooled([found.get((percent, PRODUCTION), [])])
    return RateNoise(
        rate_percent=percent,
        permille=round(1000 * noise),
        production_permille=None if own is None else round(1000 * own),
        runs=sum(map(len, repeated)),
    )


def _pooled(configurations: Sequence[Runs]) -> float | None:
    """Over configurations that served something, each by its degrees of freedom."""
    repeated = [runs for runs in configurations if len(runs) > 1 and fmean(runs) > 0]
    freedom = sum(len(runs) - 1 for runs in repeated)
    if not freedom:
        return None
    return math.sqrt(sum(_squares(runs) for runs in repeated) / freedom)


def _squares(runs: Runs) -> float:
    mean = fmean(runs)
    return sum((run / mean - 1) ** 2 for run in runs)
