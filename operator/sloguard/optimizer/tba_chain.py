"""The annealing chain of TBA, replayed over the history: where it stands, how hot it is, how often it started again.

Each known configuration is a step that the chain accepts or not. Nothing is stored: the same history gives the same
chain, also one that began with another optimizer's trials.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .base import derived_seed
from .scores import Score

HOTTEST = 1.0
COLDEST = 0.001
COOLING_BEFORE_FEASIBLE = 0.95
COOLING = 0.92

STALL = 4
"""Steps without a new best before the chain is heated up and starts again from one of the best."""

REHEATING = 2.5
HOTTEST_AGAIN = 0.8

RESTART_FROM = 3
"""The best few, of which one is where the chain starts again."""

LOSS_AT_HOTTEST = 0.2
"""The loss of energy (a share of the best objective) that the chain accepts with probability 1/e when hottest."""

WORST_FEASIBLE = 1.0
"""Energy of a configuration that meets the SLOs and serves nothing."""


@dataclass(frozen=True, slots=True)
class Chain:
    """After the last known trial. `current` is the index of the score where it stands, None where nothing is known."""

    current: int | None = None
    temperature: float = HOTTEST
    stalled: int = 0
    restarts: int = 0
    best: float = math.inf


def replayed(known: Sequence[Score], worst_violation: float, start: int, seed: int) -> Chain:
    """The chain over scores in the order of their trials; the first `start` are where it looks for its beginning."""
    energies = energies_of(known, worst_violation)
    order = sorted(range(len(known)), key=lambda i: (energies[i], i))
    chain = Chain()
    for index, energy in enumerate(energies):
        if index < start:
            if energy < chain.best:
                chain = replace(chain, current=index, best=energy)
            continue
        if _accepts(chain, energies, index, seed):
            chain = replace(chain, current=index)
        chain = _stepped(chain, energy)
        if chain.stalled >= STALL:
            chain = _restarted(chain, [i for i in order if i <= index], derived_seed(seed, "restart", index))
    return chain


def energies_of(known: Sequence[Score], worst_violation: float) -> list[float]:
    """From 0 for the best feasible to 1 for one that serves nothing; 1 to 2 by violation, where a crash has 2.

    By the root of the violation: a limit just missed and one missed by half as much again must not look alike beside
    a crash, else the chain dawdles in front of the SLOs.
    """
    best = max((score.objective for score in known if score.feasible), default=0.0)
    return [_energy(score, best, worst_violation) for score in known]


def _energy(score: Score, best: float, worst_violation: float) -> float:
    if not score.feasible:
        return WORST_FEASIBLE + math.sqrt(min(score.violation / worst_violation, 1.0))
    return min((best - score.objective) / abs(best), WORST_FEASIBLE) if best else 0.0


def _accepts(chain: Chain, energies: Sequence[float], index: int, seed: int) -> bool:
    """Metropolis: always what is no worse, else with exp(-loss / temperature)."""
    if chain.current is None:
        return True
    loss = energies[index] - energies[chain.current]
    chance = derived_seed(seed, "accept", index) / 2**32
    return loss <= 0 or chance < math.exp(-loss / (LOSS_AT_HOTTEST * chain.temperature))


def _stepped(chain: Chain, energy: float) -> Chain:
    best = min(energy, chain.best)
    cooling = COOLING if best <= WORST_FEASIBLE else COOLING_BEFORE_FEASIBLE
    return replace(
        chain,
        temperature=max(COLDEST, chain.temperature * cooling),
        stalled=0 if energy < chain.best else chain.stalled + 1,
        best=best,
    )


def _restarted(chain: Chain, best_first: Sequence[int], chance: int) -> Chain:
    """Hotter, from one of the best known configurations."""
    return replace(
        chain,
        current=best_first[chance % min(RESTART_FROM, len(best_first))],
        temperature=max(chain.temperature, min(REHEATING * chain.temperature, HOTTEST_AGAIN)),
        stalled=0,
        restarts=chain.restarts + 1,
    )
