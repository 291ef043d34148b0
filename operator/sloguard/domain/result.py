"""A finished trial as the search sees it."""

from collections.abc import Mapping
from dataclasses import dataclass

from sloguard.api.v1alpha1 import Crash, KnobName, Margins, Outcome

Value = bool | int | float | str
Values = Mapping[KnobName, Value]
"""Knobs that are set, in Python's types; an absent one keeps vLLM's default."""

VIOLATION_CAP = 10.0
"""Past ten times a limit, slower is no worse: one extreme would otherwise drown every other difference."""


@dataclass(frozen=True, slots=True)
class RatePoint:
    """What one start gave at one rate of the sweep.

    `percent` is of the rate that the study's load offers. `goodput` is in tokens/s (of one GPU, where the objective is
    GoodputPerGPU), `goodput_stddev` that of one run, known from the run itself; None where it is not known.
    `violation_ratios` as in Result. `held`: every SLO held here.
    `censored`: ended early as hopeless: `goodput` is a lower bound, and the SLOs were broken for certain.
    """

    percent: int
    goodput: float
    violation_ratios: tuple[float, ...]
    held: bool
    goodput_stddev: float | None = None
    censored: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What one trial taught.

    `objective` is in the study's unit (tokens/s for Goodput), None where nothing was measured.
    `objective_stddev` is that of one run, from repeats at this rate or from the run itself, whichever is more.
    `violation_ratios` holds measured/limit for each SLO in the study's order, capped at VIOLATION_CAP;
    empty for a crash, which ranks below any live configuration.
    `censored`: the rate was ended early as hopeless, so that `objective` is a lower bound of what it would have given,
    and the configuration broke its SLOs for certain.
    `curve` is all that this start measured, the lowest rate first: rates above an overwhelmed one are missing, and all
    of a crash. `objective` and `violation_ratios` are read off it at `rate_percent`, or at the highest one below where
    that is missing; None for Capacity, which is read off the whole curve (its `violation_ratios`: at the lowest rate).
    """

    number: int
    parameters: Values
    outcome: Outcome
    objective: float | None = None
    violation_ratios: tuple[float, ...] = ()
    crash: Crash | None = None
    margins: Margins | None = None
    gpu_seconds: float = 0.0
    censored: bool = False
    objective_stddev: float | None = None
    curve: tuple[RatePoint, ...] = ()
    rate_percent: int | None = None
