"""A study's front of goodput against latency, from its trials, and why its recommendation is that point of it. Pure."""

from functools import lru_cache
from statistics import fmean

from sloguard.api.v1alpha1 import FrontPoint, Outcome, StudySpec, Trial
from sloguard.domain.front import Point, choice, front_of, thinned
from sloguard.domain.result import Result
from sloguard.domain.score import MEASURED, result_of
from sloguard.engine.arms import repeats_of
from sloguard.engine.known import MOST_KEPT, Known
from sloguard.engine.same import Same, all_same, of_all
from sloguard.engine.soak import death_of

MOST_POINTS = 10


def front(known: Known) -> list[FrontPoint]:
    """At most MOST_POINTS of it, for the study's status; the recommended one is among them where it is on the front."""
    recommendation, winner = known.study.status.recommendation, known.gate.winner
    kept = {recommendation.trial} if recommendation else {winner.trial.name} if winner else set[str]()
    return [
        FrontPoint(
            trial=point.name,
            objective_value=round(point.figure),
            limit_used_percent=[round(100 * ratio) for ratio in point.ratios],
        )
        for point in thinned(front_of(_points_of(known)), MOST_POINTS, kept)
    ]


def explained(known: Known, winner: Trial) -> str:
    """Why the winner and no other of the front; "" where it has no figures."""
    points = _points_of(known)
    chosen = next((point for point in points if point.name == winner.name), None)
    slos = [f"{slo.metric.value} p{slo.percentile}" for slo in known.study.spec.slos]
    return choice(chosen, front_of(points), slos) if chosen else ""


def _points_of(known: Known) -> tuple[Point, ...]:
    return _points(Same(known.study.spec), all_same(known.latest), known.percent)


@lru_cache(maxsize=MOST_KEPT)
def _points(spec: Same[StudySpec], those: tuple[Same[Trial], ...], percent: int) -> tuple[Point, ...]:
    """Configurations that hold the SLOs, or all that were measured where none does; none that died in a soak."""
    latest = of_all(those)
    measured = (t for t in latest if not t.spec.is_repeat and t.status.outcome in MEASURED)
    firsts = [t for t in measured if death_of(t, latest) is None]
    seen = [(t.name, _runs(spec.it, t, latest, percent)) for t in firsts]
    held = [(name, runs) for name, runs in seen if _hold(runs)]
    return tuple(_point(name, runs) for name, runs in held or seen if runs)


def _runs(spec: StudySpec, first: Trial, latest: list[Trial], percent: int) -> list[Result]:
    """Its repeats, or what there is before them."""
    repeats = [t for t in repeats_of(first, latest) if t.status.outcome in MEASURED]
    results = [result_of(t, spec.slos, spec.objective, percent) for t in repeats or [first]]
    return [result for result in results if result.violation_ratios and not result.censored]


def _hold(runs: list[Result]) -> bool:
    return bool(runs) and 2 * sum(run.outcome is Outcome.FEASIBLE for run in runs) > len(runs)


def _point(name: str, runs: list[Result]) -> Point:
    ratios = zip(*(run.violation_ratios for run in runs), strict=True)
    return Point(name, fmean(run.objective or 0.0 for run in runs), tuple(fmean(each) for each in ratios))
