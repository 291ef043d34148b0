"""Trials of earlier studies, and in how far they speak of this one.

What carries over is physics: a start on another card finds as much more or less KV cache as the card is larger or
smaller, one with another model as the weights differ. What does not carry over exactly is an offset of its setup, which
is learnt along (`regression.fit_beside`): as soon as this study's own starts disagree, it is the offset that gives way.
What was served is never carried over.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.ledger import Ledger, LedgerRecord, Setup
from sloguard.domain.result import Result
from sloguard.domain.rules import effective

from .card import card_gib
from .encoding import Encoding, Floats, Ints, Points
from .readings import GIB, Reading, read

Bools = NDArray[np.bool_]

MOST_EARLIER = 120
"""Trials that one ask looks at, those of the nearest kin and the latest: more would say the same and cost time."""

SPOKESMEN = 12
"""Of a setup whose card is not known: so many starts tell it."""

SAME_CARD = 0.03
"""Relative difference of memory up to which two cards are one kind: drivers differ in what they keep."""

OFFSET_SD_GIB = (0.4, 0.6, 1.0)
"""How far a setup's memory may lie from what physics carries over: the same card and model, another card, another
model."""

_SPLIT = (KnobName.TENSOR_PARALLEL_SIZE, KnobName.PIPELINE_PARALLEL_SIZE)
"""Settings that change how much of a model one card holds."""


@dataclass(frozen=True)
class Earlier:
    """One row a trial, oldest first. `cards_gib` is NaN where unknown; `setups` numbers GPU, model and version."""

    records: tuple[LedgerRecord, ...]
    results: tuple[Result, ...]
    readings: tuple[Reading, ...]
    points: Points
    cards_gib: Floats
    same_model: Bools
    same_card: Bools
    same_version: Bools
    setups: Ints

    def __len__(self) -> int:
        return len(self.records)

    @property
    def offset_sds(self) -> Floats:
        """By row."""
        near, card, model = OFFSET_SD_GIB
        return np.where(self.same_model, np.where(self.same_card, near, card), model)

    @property
    def crashed(self) -> Bools:
        return np.array([record.crashed for record in self.records], dtype=np.bool_)


@dataclass(frozen=True)
class Kin:
    """What a setup has in common with this study's, as far as known."""

    card_gib: float
    model: bool
    card: bool
    version: bool

    @property
    def rank(self) -> int:
        return 4 * self.model + 2 * self.card + self.version


def earlier_of(ledger: Ledger, encoding: Encoding) -> Earlier:
    """The records that have something to say here: the model, the card or the version of vLLM is the same."""
    setups: dict[Setup, list[int]] = {}
    for i, record in enumerate(ledger.records):
        setups.setdefault(record.setup, []).append(i)
    kin = {
        setup: _kin(setup, [ledger.records[i] for i in rows], ledger.setup, encoding) for setup, rows in setups.items()
    }
    near = [i for i, record in enumerate(ledger.records) if kin[record.setup].rank]
    nearest = sorted(near, key=lambda i: (kin[ledger.records[i].setup].rank, i))[-MOST_EARLIER:]
    records = tuple(ledger.records[i] for i in sorted(nearest))
    results = tuple(record.as_result() for record in records)
    related = [kin[record.setup] for record in records]
    numbers = {setup: number for number, setup in enumerate(dict.fromkeys(record.setup for record in records))}
    alike = [one.model and _split_alike(record, encoding) for one, record in zip(related, records, strict=True)]
    return Earlier(
        records=records,
        results=results,
        readings=tuple(read(result) for result in results),
        points=encoding.configurations([result.parameters for result in results]),
        cards_gib=np.array([one.card_gib for one in related], dtype=np.float64),
        same_model=np.array(alike, dtype=np.bool_),
        same_card=np.array([one.card for one in related], dtype=np.bool_),
        same_version=np.array([one.version for one in related], dtype=np.bool_),
        setups=np.array([numbers[record.setup] for record in records], dtype=np.int64),
    )


def without_weights(points: Points) -> Points:
    """The same with no weight format: for a start whose weights are added to what it found."""
    texts = dict(points.texts)
    texts[KnobName.QUANTIZATION] = np.full(len(points), "", dtype=np.str_)
    return replace(points, texts=texts)


def stacked(first: Points, second: Points) -> Points:
    """One after the other."""
    return Points(
        np.vstack([first.unit, second.unit]),
        {name: np.concatenate([column, second.numbers[name]]) for name, column in first.numbers.items()},
        {name: np.concatenate([column, second.codes[name]]) for name, column in first.codes.items()},
        {name: np.concatenate([column, second.texts[name]]) for name, column in first.texts.items()},
    )


def _kin(theirs: Setup, records: Sequence[LedgerRecord], own: Setup, encoding: Encoding) -> Kin:
    """Their card is as their setup says, else as their latest starts imply."""
    known = replace(encoding.space.context, vram_bytes=theirs.gpu_memory_bytes, gpu_name=theirs.gpu_name)
    card = card_gib(known, [record.as_result() for record in records[-SPOKESMEN:]])
    here = encoding.context.vram_bytes
    as_large = card is not None and here is not None and abs(card * GIB / here - 1) <= SAME_CARD
    named_otherwise = bool(own.gpu_name and theirs.gpu_name) and own.gpu_name != theirs.gpu_name
    return Kin(
        card_gib=math.nan if card is None else card,
        model=bool(own.model) and theirs.model == own.model,
        card=as_large and not named_otherwise,
        version=bool(own.vllm_version) and theirs.vllm_version == own.vllm_version,
    )


def _split_alike(record: LedgerRecord, encoding: Encoding) -> bool:
    """Whether one card held as much of the model as here; where that is searched, the memory model sees to it."""
    here = effective({}, encoding.context)
    searched = encoding.space.domains
    return all(name in searched or record.values.get(name, 1) == here.get(name, 1) for name in _SPLIT)
