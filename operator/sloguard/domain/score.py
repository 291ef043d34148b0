"""What a finished trial is worth: its figure in the unit of the objective, and the search's view of it."""

from collections.abc import Iterable, Sequence

from sloguard.api.v1alpha1 import SLO, Objective, Outcome, Purpose, RateMeasurement, SLOResult, Trial
from sloguard.domain.capacity import capacity_of
from sloguard.domain.knobs import parse_values
from sloguard.domain.result import VIOLATION_CAP, RatePoint, Result

OFFERED_PERCENT = 100

MEASURED = frozenset({Outcome.FEASIBLE, Outcome.INFEASIBLE})
"""Outcomes of a trial whose load ran to its end."""


def was_measured(trial: Trial) -> bool:
    """Whether it has figures; of a soak nothing but its end was looked at."""
    return trial.status.outcome in MEASURED and trial.spec.purpose is not Purpose.SOAK


def at_rate(trial: Trial, percent: int) -> RateMeasurement | None:
    """The measurement at this rate; where the sweep ended early, the last one, which was overwhelmed already."""
    below = [m for m in trial.status.measurements if m.rate_percent <= percent]
    return max(below, key=lambda m: m.rate_percent, default=None)


UNITS = {
    Objective.GOODPUT: "tokens/s",
    Objective.GOODPUT_PER_GPU: "tokens/s a GPU",
    Objective.CAPACITY: "requests/min",
}


def figure_of(trial: Trial, objective: Objective, percent: int) -> float | None:
    """What is to be made large, in UNITS; None where nothing was measured. `percent` is the rate of comparison."""
    goodput = goodput_tokens_per_second(trial, percent)
    if goodput is None or objective is Objective.GOODPUT:
        return goodput
    if objective is Objective.GOODPUT_PER_GPU:
        return goodput / (trial.status.gpus or 1)
    capacity = capacity_of(trial.status.measurements)
    return capacity.requests_per_minute if capacity else 0.0


def margin_of(trial: Trial, objective: Objective, percent: int) -> float | None:
    """How far the figure may be off within the run that gave it, at 95 % confidence; None where that is not known."""
    measurement = at_rate(trial, percent)
    margin = measurement.goodput_margin_tokens_per_second if measurement else None
    if margin is None or objective is Objective.CAPACITY:
        return None
    return margin / (trial.status.gpus or 1) if objective is Objective.GOODPUT_PER_GPU else margin


def highest_figure_of(trial: Trial, objective: Objective, percent: int) -> float | None:
    """What the figure could have been at the most, where the rate was ended early; else None."""
    measurement = at_rate(trial, percent)
    if objective is Objective.CAPACITY or measurement is None or measurement.good_tokens_at_most is None:
        return None
    whole = measurement.model_copy(update={"good_tokens": measurement.good_tokens_at_most})
    gpus = (trial.status.gpus or 1) if objective is Objective.GOODPUT_PER_GPU else 1
    return whole.goodput_tokens_per_second / gpus


def holds(trial: Trial, objective: Objective, percent: int) -> bool:
    """Whether the SLOs held where the figure was taken. A capacity above zero is a rate at which they do."""
    if objective is Objective.CAPACITY:
        return slos_met(trial, _lowest_percent(trial))
    return slos_met(trial, percent)


def _lowest_percent(trial: Trial) -> int:
    return min((m.rate_percent for m in trial.status.measurements), default=OFFERED_PERCENT)


def goodput_tokens_per_second(trial: Trial, percent: int) -> float | None:
    """None where nothing was measured: a crash, a fault of infrastructure, a soak, a trial under way.

    0 where the sweep was broken off before it came to this rate or to a lower one.
    """
    if not was_measured(trial):
        return None
    measurement = at_rate(trial, percent)
    return measurement.goodput_tokens_per_second if measurement else 0.0


def slos_met(trial: Trial, percent: int) -> bool:
    """Whether every SLO held at this rate; a sweep that ended below it did not reach it."""
    measurement = at_rate(trial, percent)
    return measurement is not None and measurement.rate_percent == percent and measurement.slos_met


def comparison_rate_percent(trials: Iterable[Trial]) -> int:
    """Where candidates are told apart: 100 %, or the lowest higher rate at which production breaks an SLO.

    Where production serves 100 % within every SLO, nothing can be better there: facts from 188 real trials
    show every good configuration with the same goodput below saturation.
    """
    production = next(
        (t for t in trials if t.spec.purpose is Purpose.PRODUCTION and t.status.outcome in MEASURED), None
    )
    if production is None or not slos_met(production, OFFERED_PERCENT):
        return OFFERED_PERCENT
    higher = sorted(m.rate_percent for m in production.status.measurements if m.rate_percent > OFFERED_PERCENT)
    broken = [percent for percent in higher if not slos_met(production, percent)]
    return next(iter(broken or reversed(higher)), OFFERED_PERCENT)


def worst_violation_ratio(trial: Trial, objective: Objective, percent: int) -> float:
    """Of the SLO that did worst where the figure was taken: up to 1 where all held, above it where one was broken.

    A sweep that ended below the rate did not reach it: VIOLATION_CAP.
    """
    at = _lowest_percent(trial) if objective is Objective.CAPACITY else percent
    measurement = at_rate(trial, at)
    if measurement is None or measurement.rate_percent != at:
        return VIOLATION_CAP
    worst = max((violation_ratio(slo) for slo in measurement.slos), default=VIOLATION_CAP)
    return min(worst, 1.0) if measurement.slos_met else max(worst, JUST_OVER)


JUST_OVER = 1.001
"""An SLO is broken by counts, though its percentile as it is written down is not over the limit."""


def grain_of(trial: Trial, objective: Objective, percent: int) -> float:
    """By how much one request, good or not, changes the figure; 0 where that has no such steps or is not known."""
    measurement = at_rate(trial, percent)
    if measurement is None or not measurement.completed or objective is Objective.CAPACITY:
        return 0.0
    tokens_per_second = measurement.output_tokens * 1000 / measurement.duration_milliseconds
    one = tokens_per_second / measurement.completed
    return one / (trial.status.gpus or 1) if objective is Objective.GOODPUT_PER_GPU else one


def result_of(
    trial: Trial, slos: Sequence[SLO], objective: Objective, percent: int, noise: float | None = None
) -> Result:
    """The search's view of a finished trial: at the rate of comparison, or for Capacity at the lowest one.

    `noise` is what identical runs were apart there, over their mean.
    """
    measurement = at_rate(trial, _lowest_percent(trial) if objective is Objective.CAPACITY else percent)
    assert trial.status.outcome is not None, "only a finished trial has a result"
    return Result(
        number=trial.spec.number,
        parameters=parse_values(trial.spec.parameters),
        outcome=_outcome_at(trial, objective, percent),
        objective=figure_of(trial, objective, percent),
        violation_ratios=_violation_ratios(measurement, slos)
        if measurement and trial.status.outcome is not Outcome.CRASHED
        else (),
        crash=trial.status.crash,
        margins=trial.status.margins,
        gpu_seconds=float(trial.status.gpu_seconds or 0),
        censored=measurement is not None and measurement.censored,
        objective_stddev=_standard_deviation(trial, objective, percent, noise),
        curve=_curve(trial, slos, objective),
        rate_percent=None if objective is Objective.CAPACITY else percent,
    )


def _curve(trial: Trial, slos: Sequence[SLO], objective: Objective) -> tuple[RatePoint, ...]:
    """Empty where nothing was measured."""
    if trial.status.outcome not in MEASURED:
        return ()
    gpus = (trial.status.gpus or 1) if objective is Objective.GOODPUT_PER_GPU else 1
    return tuple(_rate_point(m, slos, gpus) for m in sorted(trial.status.measurements, key=lambda m: m.rate_percent))


def _rate_point(measurement: RateMeasurement, slos: Sequence[SLO], gpus: int) -> RatePoint:
    goodput = measurement.goodput_tokens_per_second / gpus
    margin = measurement.goodput_margin_tokens_per_second
    return RatePoint(
        percent=measurement.rate_percent,
        goodput=goodput,
        violation_ratios=_violation_ratios(measurement, slos),
        held=measurement.slos_met,
        goodput_stddev=_within_run(goodput, None if margin is None else margin / gpus),
        censored=measurement.censored,
    )


def _violation_ratios(measurement: RateMeasurement, slos: Sequence[SLO]) -> tuple[float, ...]:
    """One for each SLO, in the study's order."""
    measured = {(r.metric, r.percentile): r for r in measurement.slos}
    return tuple(violation_ratio(measured.get((s.metric, s.percentile))) for s in slos)


def _standard_deviation(trial: Trial, objective: Objective, percent: int, noise: float | None) -> float | None:
    """Of one run, in the objective's unit; None where nothing is known of it.

    What repeats were apart is the truth, since each trial is sent the same requests at the same times. Until there are
    some, the run's own interval stands for it.
    """
    figure = figure_of(trial, objective, percent)
    if figure is None:
        return None
    if noise is not None:
        return max(noise, LEAST_NOISE) * figure
    return _within_run(figure, margin_of(trial, objective, percent))


def _within_run(figure: float, margin: float | None) -> float | None:
    """From a 95 % margin. It takes a queue that grows for noise, so that it may exceed the figure itself."""
    return None if margin is None else min(margin / MARGIN_DEVIATIONS, MOST_NOISE * figure)


MARGIN_DEVIATIONS = 1.96
"""A 95 % margin is so many standard deviations."""

LEAST_NOISE, MOST_NOISE = 0.005, 0.28
"""Exact repeats of vLLM 0.24.0 on H200s: where all that is offered is served, and past saturation."""


def violation_ratio(slo: SLOResult | None) -> float:
    """Measured over limit, capped; the cap where so many requests failed that the percentile has no figure."""
    if slo is None or slo.measured_microseconds is None:
        return VIOLATION_CAP
    return min(slo.measured_microseconds / (slo.limit_milliseconds * 1000), VIOLATION_CAP)


def _outcome_at(trial: Trial, objective: Objective, percent: int) -> Outcome:
    outcome = trial.status.outcome
    assert outcome is not None, "only a finished trial has an outcome"
    if outcome not in MEASURED:
        return outcome
    return Outcome.FEASIBLE if holds(trial, objective, percent) else Outcome.INFEASIBLE
