"""How likely a configuration is to crash: a forest over configuration, GPU and model, calibrated on unseen trials.

Pure: fitted at each ask from the study's own trials and the ledger's. What it says of the study's own trials is taken
out of bag; what it says of another platform's, from a forest that saw nothing of that platform. Trust and calibration
rest on both, so that a ledger full of one GPU does not make it sure about another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sloguard.domain.ledger import Ledger
from sloguard.domain.result import Result, Values

from .crash_predictor_calibration import Calibration, calibrated
from .crash_predictor_features import Columns, columns_of
from .crash_predictor_records import CrashRecord, Platform, earlier_records, platform_of, records_of
from .forest import SMALLEST, Forest, grown, skill_of
from .rows import Rows
from .space import Space

LEAST_SKILL = 0.15
"""Brier skill on unseen trials below which nothing is vetoed."""

LEAST_OF_EACH = 3
"""Trials that crashed, and that lived, before anything is vetoed."""

MOST_PLATFORMS = 6
"""Of the ledger, left out one at a time: each costs a forest."""


@dataclass(frozen=True, slots=True)
class CrashPredictor:
    """A fitted predictor for one platform. `skill` is the Brier skill score of its calibrated word on unseen trials."""

    forest: Forest
    columns: Columns
    platform: Platform
    calibration: Calibration
    skill: float
    trials: int

    @property
    def trusted(self) -> bool:
        return self.skill >= LEAST_SKILL

    def probabilities(self, configurations: Sequence[Values]) -> Rows:
        """P(crash) of each; the values are all settings in effect that are known.

        Never surer than one miss among the trials that it learned from would allow.
        """
        if not configurations:
            return np.empty(0)
        said = self.forest.predict(self.columns.table([(values, self.platform) for values in configurations]))
        least = 1.0 / (self.trials + 2.0)
        return np.round(np.clip(self.calibration(said), least, 1.0 - least), 9)


def study_predictor(space: Space, taught: Sequence[Result], ledger: Ledger, seed: int) -> CrashPredictor | None:
    """Learned from the ledger and the study's own trials, for the study's own platform."""
    platform = platform_of(space, ledger)
    return crash_predictor((*earlier_records(ledger), *records_of(space, taught, platform)), platform, seed)


def crash_predictor(records: Sequence[CrashRecord], platform: Platform, seed: int) -> CrashPredictor | None:
    """Learned from these records; None where crashes or survivals are too few to learn from."""
    crashed = np.array([float(record.crashed) for record in records])
    if len(records) < SMALLEST or min(crashed.sum(), len(crashed) - crashed.sum()) < LEAST_OF_EACH:
        return None
    columns = columns_of(records)
    table = columns.table([(record.parameters, record.platform) for record in records])
    forest = grown(table, crashed, seed)
    if forest is None:
        return None
    said = _unseen(records, table, crashed, forest, platform, seed)
    calibration = calibrated(said, crashed)
    return CrashPredictor(forest, columns, platform, calibration, skill_of(calibration(said), crashed), len(records))


def _unseen(
    records: Sequence[CrashRecord], table: Rows, crashed: Rows, forest: Forest, own: Platform, seed: int
) -> Rows:
    """Out of bag, except for other platforms' records: those by a forest without their platform, where one grows."""
    said = forest.unseen.copy()
    for platform in _largest(records, own):
        inside = np.array([record.platform == platform for record in records])
        others = grown(table[~inside], crashed[~inside], seed)
        if others is not None:
            said[inside] = others.predict(table[inside])
    return said


def _largest(records: Sequence[CrashRecord], own: Platform) -> list[Platform]:
    counts: dict[Platform, int] = {}
    for record in records:
        if record.platform != own:
            counts[record.platform] = counts.get(record.platform, 0) + 1
    return sorted(counts, key=lambda platform: -counts[platform])[:MOST_PLATFORMS]
