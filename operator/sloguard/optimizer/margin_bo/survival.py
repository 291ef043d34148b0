"""Whether a configuration lives: memory, and what else kills, from this study's trials and earlier ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sloguard.api.v1alpha1 import CrashClass, Outcome
from sloguard.domain.result import Result

from .blame import Blame, Shown, accuse
from .clues import clue_of
from .earlier import Earlier, stacked
from .encoding import Encoding, Floats, Points
from .memory import EXPLAINED, Memory, learn
from .untried import risk

SURPRISE = 0.6
"""An out-of-memory where memory was thought this likely to suffice has another cause."""

KIN_WEIGHTS = (0.95, 0.6, 0.3)
"""What an earlier trial says of crashes that memory does not explain: the same model, card and no other version known;
the same model; the same version of vLLM, or the same card."""


@dataclass(frozen=True)
class Survival:
    """What is believed of crashes at one ask. `served` are the configurations that did, earlier ones among them."""

    memory: Memory
    blame: Blame
    served: Points

    def alive(self, points: Points) -> Floats:
        """How likely each survives."""
        known = self.memory.starts(points) * (1 - self.blame.kills(points))
        return known * (1 - risk(points, self.served))


def expect(encoding: Encoding, taught: Sequence[Result], points: Points, earlier: Earlier, seed: int) -> Survival:
    """From this study's trials, encoded in `points`, and earlier ones."""
    memory = learn(encoding, taught, points, earlier)
    crashed = [i for i, result in enumerate(taught) if result.outcome is Outcome.CRASHED]
    lived = [i for i, result in enumerate(taught) if result.outcome is not Outcome.CRASHED]
    fate = memory.starts(points.take(crashed)).tolist()
    died = [i for i, chance in zip(crashed, fate, strict=True) if not _explained_by_memory(taught[i], chance)]
    before = _earlier_shown(earlier, memory)
    served, gone = (
        _joined(shown, _shown(taught, points, rows, np.ones(len(taught))))
        for shown, rows in zip(before, (lived, died), strict=True)
    )
    return Survival(memory, accuse(encoding, served, gone, seed), served.points)


def _earlier_shown(earlier: Earlier, memory: Memory) -> tuple[Shown, Shown]:
    """Which lived, and which died of something else than memory."""
    weights = np.where(
        earlier.same_model & earlier.same_card,
        KIN_WEIGHTS[0],
        np.where(earlier.same_model, KIN_WEIGHTS[1], KIN_WEIGHTS[2]),
    )
    fate = memory.starts(earlier.points)
    # Of another card's memory this study's model of it says nothing.
    surprising = np.where(earlier.same_model & earlier.same_card, fate, 0.0).tolist()
    explained = np.array(
        [_explained_by_memory(result, chance) for result, chance in zip(earlier.results, surprising, strict=True)],
        dtype=np.bool_,
    )
    lived, died = np.flatnonzero(~earlier.crashed).tolist(), np.flatnonzero(earlier.crashed & ~explained).tolist()
    return (
        _shown(earlier.results, earlier.points, lived, weights),
        _shown(earlier.results, earlier.points, died, weights),
    )


def _shown(results: Sequence[Result], points: Points, rows: Sequence[int], weights: Floats) -> Shown:
    return Shown(points.take(rows), weights[np.array(rows, dtype=np.int64)], tuple(clue_of(results[i]) for i in rows))


def _joined(first: Shown, second: Shown) -> Shown:
    return Shown(
        stacked(first.points, second.points),
        np.append(first.weights, second.weights),
        first.clues + second.clues,
    )


def _explained_by_memory(result: Result, chance: float) -> bool:
    if result.crash is None or result.crash.class_ not in EXPLAINED:
        return False
    return result.crash.class_ is not CrashClass.CUDA_OUT_OF_MEMORY or chance < SURPRISE
