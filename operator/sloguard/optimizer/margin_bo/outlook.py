"""What a configuration that survives would serve, and how near its latencies would come to their limits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from sloguard.api.v1alpha1 import Outcome
from sloguard.domain.result import VIOLATION_CAP, Result
from sloguard.optimizer.scores import BARELY

from . import normal
from .curves import Look, looks_above, relative_noise
from .encoding import Floats, Points
from .memory import Memory
from .surrogate import MOST_POINTS, Surrogate, condition, fit_shape
from .untried import surprise_sd
from .usual import usual_log_objective

LEAST_SHARE = 0.1
"""Of the best objective: below that, how little was served is no longer told apart."""

EXCESS_DOUBT = 0.5
"""Of the log objective, for each log of a violation: what it would have been within the SLOs is then a guess."""

LEAST_LOG_RATIO = -4.0
MOST_LOG_RATIO = math.log(VIOLATION_CAP)


@dataclass(frozen=True)
class Live:
    """Trials that served: log of the objective, and log(measured / limit) for each SLO (NaN where not known).

    `noise` is the standard deviation of each log objective as far as it was measured, 0 where it was not.
    `doublings` is how far above the rate that counts the figures were taken.
    """

    points: Points
    log_objective: Floats
    noise: Floats
    log_ratios: Floats
    feasible: NDArray[np.bool_]
    doublings: Floats

    @property
    def rates(self) -> Floats:
        """A column of `doublings`; none where all figures were taken at the rate that counts."""
        return self.doublings[:, None] if self.doublings.any() else np.zeros((len(self), 0))

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True)
class View:
    """Configurations as the surrogates see them, and what is `usual` of the log objective before anything is measured.

    Seen are knobs, how many requests they let run at once (utilization and formats matter mostly through that), and
    the rate where it differs.
    """

    seen: Floats
    usual: Floats


@dataclass(frozen=True)
class Outlook:
    """The surrogates of one ask. `best_log` is the best feasible configuration's posterior mean, None without one.

    `known` are the configurations that they have seen, those under way among them.
    """

    objective: Surrogate
    ratios: tuple[Surrogate, ...]
    best_log: float | None
    memory: Memory
    rate_columns: int
    known: Points

    def view(self, points: Points) -> View:
        """What the surrogates see, at the rate that counts."""
        return _view(points, self.memory, np.zeros((len(points), self.rate_columns)))

    def log_objective(self, view: View) -> tuple[Floats, Floats]:
        """As it would be with all SLOs met: mean and standard deviation of its logarithm."""
        mean, sd = self.objective.predict(view.seen)
        return mean + view.usual, sd

    def promised(self, points: Points, view: View) -> tuple[Floats, Floats]:
        """The same of configurations that may have something new: as likely better as worse than is believed."""
        mean, sd = self.log_objective(view)
        return mean, np.hypot(sd, surprise_sd(points, self.known))

    def worth(self, points: Points) -> Floats:
        """What each serves, less what is likely to break an SLO, without the noise of what was measured of it."""
        view = self.view(points)
        held = np.ones(len(points))
        for surrogate in self.ratios:
            mean, sd = surrogate.predict(view.seen)
            held = held * normal.cdf(-mean / sd)
        return held * np.exp(self.log_objective(view)[0])

    def slos_met(self, view: View) -> Floats:
        """How likely every SLO is measured to hold, and not by luck: with one standard deviation of noise to spare."""
        total = np.ones(len(view.seen))
        for surrogate in self.ratios:
            mean, sd = surrogate.predict(view.seen)
            noisy = np.sqrt(sd**2 + surrogate.noise_sd**2)
            total = total * normal.cdf((-mean - surrogate.noise_sd) / noisy)
        return total


def live_of(taught: Sequence[Result], points: Points, under_way: int) -> Live | None:
    """The trials that served, at most MOST_POINTS, and those under way as copies of the worst; None without any.

    `points` are the taught ones, and then the `under_way`. What room MOST_POINTS leaves goes to higher rates.
    """
    kept = _thinned([i for i, r in enumerate(taught) if r.outcome is not Outcome.CRASHED and _measured(r)], taught)
    if not kept:
        return None
    served = [taught[i] for i in kept]
    slos = max(len(result.violation_ratios) for result in served)
    best = max(_objective(result) for result in served)
    objective = [math.log(max(_objective(result), LEAST_SHARE * best, 1e-9)) for result in served]
    ratios = [_log_ratios(result, slos) for result in served]
    worst = min(range(len(served)), key=lambda i: (served[i].outcome is Outcome.FEASIBLE, objective[i], i))
    live = Live(
        points=points.take([*kept, *range(len(taught), len(taught) + under_way)]),
        log_objective=np.array(objective + [objective[worst]] * under_way),
        noise=np.array([_noise(result) for result in served] + [0.0] * under_way),
        log_ratios=np.array(ratios + [ratios[worst]] * under_way).reshape(len(served) + under_way, slos),
        feasible=np.array([r.outcome is Outcome.FEASIBLE for r in served] + [False] * under_way),
        doublings=np.zeros(len(served) + under_way),
    )
    return _with_looks(live, looks_above(kept, taught, MOST_POINTS - len(kept)), points)


def _with_looks(live: Live, looks: Sequence[Look], points: Points) -> Live:
    """The trials, and then what they gave at higher rates; `points` are those that looks mean by their numbers."""
    if not looks:
        return live
    slos, least = live.log_ratios.shape[1], float(live.log_objective.min())
    objective = [max(math.log(max(look.goodput, 1e-9)), least) for look in looks]
    ratios = [([_log_ratio(ratio) for ratio in look.ratios] + [math.nan] * slos)[:slos] for look in looks]
    return Live(
        points=live.points.and_then(points.take([look.trial for look in looks])),
        log_objective=np.append(live.log_objective, objective),
        noise=np.append(live.noise, [look.relative_noise for look in looks]),
        log_ratios=np.vstack([live.log_ratios, ratios]),
        feasible=np.append(live.feasible, np.zeros(len(looks), dtype=np.bool_)),
        doublings=np.append(live.doublings, [look.doublings for look in looks]),
    )


def foresee(live: Live, memory: Memory) -> Outlook:
    """Fit the surrogates.

    The objective of a trial that broke SLOs is too low, because it counts good requests only: how much each decade of
    violation took away is learnt along (a slope for each SLO), so that the smooth part is what would be served within.
    What all configurations gain or lose with the rate is a slope too. The surrogate is of what is not usual (`usual`).
    """
    excess = np.maximum(np.nan_to_num(live.log_ratios), 0.0)
    view = _view(live.points, memory, live.rates)
    unit, usual = view.seen, view.usual
    doubt = np.hypot(live.noise, EXCESS_DOUBT * excess.max(axis=1, initial=0.0))
    objective = _fitted(unit, live.log_objective - usual, np.hstack([excess, live.rates]), doubt)
    ratios: list[Surrogate] = []
    for column in live.log_ratios.T:
        known = ~np.isnan(column)
        if known.any():
            ratios.append(_fitted(unit[known], column[known], live.rates[known], live.noise[known]))
    feasible = live.feasible
    best = float((objective.predict(unit[feasible])[0] + usual[feasible]).max()) if feasible.any() else None
    return Outlook(objective, tuple(ratios), best, memory, live.rates.shape[1], live.points)


def _view(points: Points, memory: Memory, rates: Floats) -> View:
    place = memory.concurrency_place(points)
    return View(np.column_stack([points.unit, place, rates]), usual_log_objective(points, place))


def _fitted(unit: Floats, observed: Floats, slopes: Floats, doubt: Floats) -> Surrogate:
    return condition(unit, observed, slopes, doubt, fit_shape(unit, observed, slopes, doubt))


def _measured(result: Result) -> bool:
    return result.objective is not None and math.isfinite(result.objective)


def _objective(result: Result) -> float:
    return max(result.objective or 0.0, 0.0)


def _noise(result: Result) -> float:
    """Relative, and no more than a factor of e."""
    return relative_noise(_objective(result), result.objective_stddev)


def _log_ratios(result: Result, slos: int) -> list[float]:
    """A feasible trial without figures is within its limits; an infeasible one breaks at least one."""
    logs = [_log_ratio(ratio) for ratio in result.violation_ratios]
    logs += [math.nan] * (slos - len(logs))
    if result.outcome is Outcome.INFEASIBLE and slos and not any(log > 0 for log in logs):
        known = [-math.inf if math.isnan(log) else log for log in logs]
        logs[known.index(max(known))] = BARELY
    return logs


def _log_ratio(ratio: float) -> float:
    if math.isnan(ratio):
        return MOST_LOG_RATIO
    return min(max(math.log(max(ratio, 1e-9)), LEAST_LOG_RATIO), MOST_LOG_RATIO)


def _thinned(served: list[int], taught: Sequence[Result]) -> list[int]:
    """The best half by rank, and a random half of the others: always the same ones."""
    if len(served) <= MOST_POINTS:
        return served
    ranked = sorted(
        served, key=lambda i: (taught[i].outcome is not Outcome.FEASIBLE, -_objective(taught[i]), taught[i].number)
    )
    best, others = ranked[: MOST_POINTS // 2], ranked[MOST_POINTS // 2 :]
    return sorted([*best, *Random(len(served)).sample(others, MOST_POINTS - len(best))])
