"""The tables of the optimizer bench: means over seeds, differences paired by seed, and what asking takes."""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from statistics import fmean, median, stdev
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Column = TypeVar("Column", bound=Hashable)

FLIPS = 4000
"""Of the test by chance: how often the signs of all differences are drawn anew."""

A_TIE = 0.1
"""Points of regret within which neither won a seed."""


@dataclass(frozen=True, slots=True)
class Row:
    """One study, looked at when its budget was `budget` trials. Times are of the process's CPU."""

    land: str
    optimizer: str
    seed: int
    budget: int
    regret_percent: float
    crash_percent: float
    gpu_minutes: float
    duplicate_percent: float
    trials_to_near: float
    minutes_to_near: float
    ask_ms: float
    ask_peak_ms: float


def table(rows: Iterable[Row]) -> str:
    """Markdown: one line for each land and optimizer, columns for each budget."""
    cells = _by(rows, lambda row: ((row.land, row.optimizer), row.budget))
    budgets = sorted({budget for line in cells.values() for budget in line})
    columns = (
        *("land", "optimizer", "seeds"),
        *(f"{budget} trials: regret % ± sd / crash %" for budget in budgets),
        *("GPU-min", "trials to 95 % (share)", "GPU-min to 95 %", "duplicates %", "ms an ask (peak)"),
    )
    return "\n".join([*_head(columns), *(_line(key, line, budgets) for key, line in cells.items())])


def _by(rows: Iterable[Row], key: Callable[[Row], tuple[Key, Column]]) -> dict[Key, dict[Column, list[Row]]]:
    """Rows by line and column, in the order in which they come."""
    cells: dict[Key, dict[Column, list[Row]]] = {}
    for row in rows:
        line, column = key(row)
        cells.setdefault(line, {}).setdefault(column, []).append(row)
    return cells


def _line(key: tuple[str, str], cells: Mapping[int, Sequence[Row]], budgets: Sequence[int]) -> str:
    longest = cells[max(cells)]
    reached = [row.trials_to_near for row in longest]
    minutes = "/".join(f"{fmean(row.gpu_minutes for row in cells[b]):.0f}" if b in cells else "-" for b in budgets)
    texts = [
        *key,
        str(len(longest)),
        *(_spread(cells.get(budget, [])) for budget in budgets),
        minutes,
        f"{_or_dash(median(reached))} ({fmean(not math.isinf(trials) for trials in reached):.0%})",
        _or_dash(median(row.minutes_to_near for row in longest)),
        f"{fmean(row.duplicate_percent for row in longest):.0f}",
        f"{median(row.ask_ms for row in longest):.0f} ({max(row.ask_peak_ms for row in longest):.0f})",
    ]
    return f"| {' | '.join(texts)} |"


def _spread(rows: Sequence[Row]) -> str:
    if not rows:
        return "-"
    regrets = [row.regret_percent for row in rows]
    return f"{fmean(regrets):.1f} ± {_sd(regrets):.1f} / {fmean(row.crash_percent for row in rows):.0f}"


def brief(rows: Iterable[Row], budgets: Sequence[int]) -> str:
    """Regret / crash of each optimizer, one line for each, one column for each land and budget."""
    cells = _by(rows, lambda row: (row.optimizer, (row.land, row.budget)))
    lands = dict.fromkeys(land for line in cells.values() for land, _ in line)
    columns = [(land, budget) for land in lands for budget in budgets]
    lines = [
        f"| {optimizer} | {' | '.join(_regret_and_crash(line.get(column, [])) for column in columns)} |"
        for optimizer, line in cells.items()
    ]
    return "\n".join([*_head(("optimizer", *(f"{land} {budget}" for land, budget in columns))), *lines])


def _regret_and_crash(rows: Sequence[Row]) -> str:
    if not rows:
        return "-"
    return f"{fmean(row.regret_percent for row in rows):.1f}/{fmean(row.crash_percent for row in rows):.0f}"


@dataclass(frozen=True, slots=True)
class Paired:
    """Differences of the same seeds, other less ours: more than nothing where ours is better."""

    gains: tuple[float, ...]

    @property
    def mean(self) -> float:
        return fmean(self.gains)

    @property
    def effect(self) -> float:
        """Cohen's d of paired differences; 0 where all are the same."""
        spread = _sd(self.gains)
        return self.mean / spread if spread else 0.0

    @property
    def chance(self) -> float:
        """How often differences as large come about if each could as well have had the other sign (two-sided)."""
        rng = Random(len(self.gains))
        seen = abs(sum(self.gains))
        draws = ([g if rng.getrandbits(1) else -g for g in self.gains] for _ in range(FLIPS))
        return (1 + sum(abs(sum(draw)) >= seen - 1e-9 for draw in draws)) / (1 + FLIPS)

    def count(self, sign: int) -> int:
        """Seeds that ours won (1) or lost (-1)."""
        return sum(sign * gain > A_TIE for gain in self.gains)


def comparison(rows: Sequence[Row], ours: str) -> str:
    """Paired by seed: how much less regret `ours` has than each other, and how many crashes less."""
    cells: dict[tuple[str, str], dict[int, tuple[Paired, Paired]]] = {}
    for land, budget, other, regret, crash in _pairs(rows, ours):
        cells.setdefault((land, other), {})[budget] = (regret, crash)
    budgets = sorted({budget for line in cells.values() for budget in line})
    columns = (
        *("land", f"{ours} against", "seeds"),
        *(f"{budget} trials: regret less by (d; p; won / lost), crash less by" for budget in budgets),
    )
    lines = _head(columns)
    for (land, other), line in cells.items():
        texts = [_difference(*line[budget]) if budget in line else "-" for budget in budgets]
        seeds = max(len(regret.gains) for regret, _ in line.values())
        lines.append(f"| {land} | {other} | {seeds} | {' | '.join(texts)} |")
    return "\n".join(lines)


def _difference(regret: Paired, crash: Paired) -> str:
    chance = "<0.001" if regret.chance < 0.001 else f"{regret.chance:.3f}"
    counts = f"{regret.count(1)} / {regret.count(-1)}"
    return f"{regret.mean:+.1f} ({regret.effect:+.2f}; {chance}; {counts}), {crash.mean:+.0f}"


def _pairs(rows: Sequence[Row], ours: str) -> Iterator[tuple[str, int, str, Paired, Paired]]:
    """Of seeds that both ran; at least two."""
    known = {(row.land, row.budget, row.optimizer, row.seed): row for row in rows}
    for land, budget, other in dict.fromkeys((row.land, row.budget, row.optimizer) for row in rows):
        seeds = sorted(key[3] for key in known if key[:3] == (land, budget, ours))
        both = [
            (known[land, budget, ours, seed], known[land, budget, other, seed])
            for seed in seeds
            if (land, budget, other, seed) in known
        ]
        if other != ours and len(both) > 1:
            regret = Paired(tuple(theirs.regret_percent - own.regret_percent for own, theirs in both))
            yield land, budget, other, regret, Paired(tuple(b.crash_percent - a.crash_percent for a, b in both))


def memory_table(peaks: Mapping[str, tuple[float, float]], trials: int) -> str:
    """What the asking process held at its peak, by optimizer: before the first ask and after the last."""
    lines = _head(("optimizer", "MiB before the first ask", f"MiB at the peak of {trials} trials"))
    return "\n".join([*lines, *(f"| {name} | {start:.0f} | {peak:.0f} |" for name, (start, peak) in peaks.items())])


def _head(columns: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def _sd(figures: Sequence[float]) -> float:
    return stdev(figures) if len(figures) > 1 else 0.0


def _or_dash(figure: float) -> str:
    return "-" if math.isinf(figure) else f"{figure:.0f}"
