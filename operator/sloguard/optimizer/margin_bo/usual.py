"""What goodput usually gains or loses by, on any server, before anything is measured: the surrogate's prior mean.

Only what the way vLLM works makes nearly certain, and less of it than is usually seen: a study's own figures overrule
it soon. Without it, what comes after a first good configuration is spent on switches that make no server faster, only
because nobody has tried them yet.
"""

import math
from collections.abc import Mapping

import numpy as np

from sloguard.api.v1alpha1 import KnobName

from .encoding import Floats, Points

ELASTICITY = 0.4
"""Of goodput to the requests that run at once: with twice as many, a third more is usually served. Below 1, because a
step of more requests takes longer; the surrogate learns what is different here."""

DEPARTURES: Mapping[KnobName, tuple[float, float]] = {
    KnobName.ENFORCE_EAGER: (1.0, -0.12),
    KnobName.ENABLE_CHUNKED_PREFILL: (0.0, -0.05),
    KnobName.ENABLE_PREFIX_CACHING: (0.0, -0.04),
}
"""Switches, set so, and what that does to the log objective. Without graphs each step is launched kernel by kernel (two
thirds less goodput in recordings of a 7B model; the memory that graphs take is counted by itself); whole prompts hold
up the tokens of all others (a third less than the defaults' goodput there); a prefix cache that never hits costs next
to nothing."""

FP8_WEIGHTS = 0.08
"""Of the log objective: half as much is read in each step, and computing is no slower. Formats of 4 bits read still
less and compute slower, the more so the more requests run: of them nothing is expected."""


def usual_log_objective(points: Points, concurrency_place: Floats) -> Floats:
    """Up to a constant; for `concurrency_place` see `Memory`. What is not known of a switch is vLLM's default."""
    total = ELASTICITY * 3 * math.log(2) * concurrency_place
    for name, (value, effect) in DEPARTURES.items():
        total = total + effect * (points.numbers[name] == value)
    return total + FP8_WEIGHTS * np.char.startswith(points.texts[KnobName.QUANTIZATION], "fp8")
