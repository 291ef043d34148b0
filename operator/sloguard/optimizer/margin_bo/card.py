"""How much memory the GPU has, as a study, a message or the starts themselves tell."""

import math
from collections.abc import Sequence
from statistics import median

from sloguard.api.v1alpha1 import KnobName
from sloguard.domain.result import Result
from sloguard.domain.rules import Context, effective

from .readings import GIB, Reading, read

CARDS_GIB = (8, 12, 16, 20, 22, 24, 32, 40, 44, 48, 64, 80, 94, 96, 128, 140, 180, 192, 256, 288)
"""Sizes that GPUs come in; an estimate is taken to be the nearest one that can hold it."""

FIXED_GIB, ACTIVATIONS_GIB_PER_1024 = 0.5, 0.13
"""What a start takes beside weights, graphs and KV cache: libraries, and a batch's activations by 1,024 tokens."""

UNLIKE = 1.5
"""Times more or less than was told; the estimate is within a tenth on recorded starts."""

_K = KnobName


def card_gib(context: Context, taught: Sequence[Result]) -> float | None:
    """The memory that servers find: as the study or a message says, or as the starts imply; None where nothing is.

    The starts are believed where they speak of another card altogether: then something between lets a server see a
    part of it only.
    """
    readings = [read(result) for result in taught]
    sums = [_implied(context, result, reading) for result, reading in zip(taught, readings, strict=True)]
    known = [total for total in sums if total > 0]
    told = _told(context, readings)
    if told is not None and (not known or told / UNLIKE < median(known) < told * UNLIKE):
        return told
    if not known:
        return None
    estimate = median(known)
    return float(min(CARDS_GIB, key=lambda size: abs(size - estimate) / size))


def _told(context: Context, readings: Sequence[Reading]) -> float | None:
    if context.vram_bytes is not None:
        return context.vram_bytes / GIB
    told = [reading.card_gib for reading in readings if reading.card_gib > 0]
    return median(told) if told else None


def _implied(context: Context, result: Result, reading: Reading) -> float:
    """What was shared out, over the share that was asked for; NaN where the log did not say."""
    known = effective(result.parameters, context)
    asked, tokens = known[_K.GPU_MEMORY_UTILIZATION], known.get(_K.MAX_NUM_BATCHED_TOKENS)
    if not isinstance(asked, int | float) or asked <= 0:
        return math.nan
    activations = FIXED_GIB + ACTIVATIONS_GIB_PER_1024 * (tokens if isinstance(tokens, int) else 2048) / 1024
    return (reading.kv_gib + reading.weights_gib + reading.graphs_gib + activations) / asked
