"""The parts of one load, as several generators measured them, made into the result that one would have had. Pure.

Counts, tokens, SLO verdicts and goodput are exact, since all of them are sums. Percentiles come from the sketches, with
their error stated; where a part had no room for a sketch, an SLO's figure is the worst part's, which no percentile of
the whole exceeds. Intervals are computed anew from summed blocks of time; without those, the ends of the parts' own are
added, as if the parts erred together: too wide rather than too narrow.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import reduce
from math import ceil

from sloguard.api.v1alpha1 import (
    Interval,
    LatencySketch,
    LatencySummary,
    LoadResult,
    Metric,
    RateMeasurement,
    ServerFault,
    SLOResult,
    TimeBlocks,
    Violations,
)
from sloguard.domain.confidence import with_intervals
from sloguard.domain.goodput import holds
from sloguard.domain.sketch import Sketch, read, stored


class PartsError(Exception):
    """The parts are not those of one load; the message says which is missing or differs."""


Sketches = dict[Metric, Sketch]
"""Of one rate; those that every part has."""


def merge(parts: Sequence[LoadResult], generators: int) -> LoadResult:
    """One result of all parts, in whatever order they come.

    A server that one of them saw die is dead: only the rates that all parts measured are kept then.

    Raises:
        PartsError: a part is missing, is there twice, or measured something else.

    """
    ordered = sorted(parts, key=lambda part: part.generator or 0)
    _check_numbers([part.generator for part in ordered], generators)
    faults = [part.fault for part in ordered if part.fault is not None]
    counts = {tuple(rate.rate_percent for rate in part.rates) for part in ordered}
    if len(counts) > 1 and not faults:
        raise PartsError(f"generators measured different rates: {', '.join(map(_listed, sorted(counts)))}")
    started_at = min(part.started_at for part in ordered)
    by_rate = list(zip(*(_since(started_at, part) for part in ordered), strict=False))
    sketches = _sketches(ordered)
    blocks = _blocks(ordered)
    return LoadResult(
        started_at=started_at,
        finished_at=max(part.finished_at for part in ordered),
        rates=[_rate(rates, sketches[rates[0].rate_percent], blocks.get(rates[0].rate_percent)) for rates in by_rate],
        sketches=[
            stored(sketch, rates[0].rate_percent, metric)
            for rates in by_rate
            for metric, sketch in sketches[rates[0].rate_percent].items()
        ],
        warmup_requests=sum(part.warmup_requests for part in ordered),
        fault=_first(faults),
        invalid=next((f"generator {part.generator}: {part.invalid}" for part in ordered if part.invalid), None),
    )


def _first(faults: Sequence[ServerFault]) -> ServerFault | None:
    """With what any of them knows of the server's work."""
    if not faults:
        return None
    first = min(faults, key=lambda fault: fault.at)
    activity = next((fault.activity for fault in (first, *faults) if fault.activity is not None), None)
    return first.model_copy(update={"activity": activity})


def _since(started_at: datetime, part: LoadResult) -> list[RateMeasurement]:
    """The part's rates, with their times told from the whole load's start."""
    later = round((part.started_at - started_at).total_seconds() * 1000)
    times = ("began_milliseconds", "ended_milliseconds")
    return [
        rate.model_copy(update={name: at + later for name in times if (at := getattr(rate, name)) is not None})
        for rate in part.rates
    ]


def _check_numbers(found: Sequence[int | None], generators: int) -> None:
    if found == list(range(generators)):
        return
    missing = [str(number) for number in range(generators) if number not in found]
    if missing:
        raise PartsError(f"no result of generator {', '.join(missing)} of {generators}")
    raise PartsError(f"results of generators {', '.join(map(str, found))} instead of {generators}")


def _listed(percents: tuple[int, ...]) -> str:
    return "+".join(f"{percent} %" for percent in percents) or "none"


def _sketches(parts: Sequence[LoadResult]) -> dict[int, Sketches]:
    """By rate."""
    found: dict[tuple[int, Metric], list[LatencySketch]] = defaultdict(list)
    for part in parts:
        for kept in part.sketches:
            found[kept.rate_percent, kept.metric].append(kept)
    merged: dict[int, Sketches] = defaultdict(dict)
    for (percent, metric), each in found.items():
        if len(each) == len(parts):
            merged[percent][metric] = reduce(Sketch.merged, map(read, each))
    return merged


def _blocks(parts: Sequence[LoadResult]) -> dict[int, TimeBlocks]:
    """By rate, where every part has them."""
    found: dict[int, list[TimeBlocks]] = defaultdict(list)
    for part in parts:
        for blocks in part.blocks:
            found[blocks.rate_percent].append(blocks)
    return {percent: _summed(each) for percent, each in found.items() if len(each) == len(parts)}


def _summed(parts: Sequence[TimeBlocks]) -> TimeBlocks:
    columns = zip(*(blocks.columns for blocks in parts), strict=False)
    sums = [[sum(cells) for cells in zip(*each, strict=False)] for each in columns]
    return TimeBlocks(rate_percent=parts[0].rate_percent, columns=sums)


def _rate(parts: Sequence[RateMeasurement], sketches: Sketches, blocks: TimeBlocks | None) -> RateMeasurement:
    """What was offered and for how long is the same for all parts; the server's own counters are the first one's."""
    first = parts[0]
    if len({_offered(part) for part in parts}) > 1:
        raise PartsError(f"generators offered different loads at {first.rate_percent} %")
    whole = first.model_copy(
        update={
            **{name: sum(getattr(part, name) for part in parts) for name in SUMMED},
            "violations": Violations(
                **{name: sum(getattr(part.violations, name) for part in parts) for name in Violations.model_fields}
            ),
            "latencies": [_summary(each, sketches) for each in zip(*(part.latencies for part in parts), strict=False)],
            "began_milliseconds": min(_known(part.began_milliseconds for part in parts), default=None),
            "ended_milliseconds": max(_known(part.ended_milliseconds for part in parts), default=None),
            "dispatch_lag_p99_microseconds": max(part.dispatch_lag_p99_microseconds for part in parts),
            "good_tokens_interval": _added([part.good_tokens_interval for part in parts if part.sent]),
        }
    )
    of_slos = zip(*(part.slos for part in parts), strict=True)
    held = [_slo(each, sketches.get(each[0].metric), whole) for each in of_slos]
    whole = whole.model_copy(update={"slos": held})
    return with_intervals(whole, blocks) if blocks is not None else whole


def _known(values: Iterable[int | None]) -> Iterator[int]:
    return (value for value in values if value is not None)


def _offered(part: RateMeasurement) -> tuple[int, int, int, tuple[tuple[Metric, int, int], ...]]:
    limits = tuple((slo.metric, slo.percentile, slo.limit_milliseconds) for slo in part.slos)
    return part.rate_percent, part.requests_per_minute, part.duration_milliseconds, limits


SUMMED = ("sent", "completed", "good", "prompt_tokens", "output_tokens", "good_tokens")
"""Fields of a rate that are sums over its requests."""


def _summary(parts: Sequence[LatencySummary], sketches: Sketches) -> LatencySummary:
    sketch = sketches.get(parts[0].metric)
    return LatencySummary(
        metric=parts[0].metric,
        count=sum(part.count for part in parts),
        sum_microseconds=sum(part.sum_microseconds for part in parts),
        p50_microseconds=sketch and _rounded(sketch.interpolated(50)),
        p95_microseconds=sketch and _rounded(sketch.interpolated(95)),
        p99_microseconds=sketch and _rounded(sketch.interpolated(99)),
        error_basis_points=_error_basis_points(sketch),
    )


def _slo(parts: Sequence[SLOResult], sketch: Sketch | None, whole: RateMeasurement) -> SLOResult:
    first = parts[0]
    within, of = sum(part.within for part in parts), sum(part.of for part in parts)
    met = holds(first.percentile, within=within, of=of, sent=whole.sent)
    measured = _worst(parts) if sketch is None else _percentile(sketch, of, first.percentile)
    return first.model_copy(
        update={
            "measured_microseconds": _on_its_side(measured, first.limit_milliseconds * 1000, met=met, of=of),
            "error_basis_points": _error_basis_points(sketch),
            "met": met,
            "within": within,
            "of": of,
            "share_interval_basis_points": _mean_share(parts),
        }
    )


def _percentile(sketch: Sketch, of: int, percentile: int) -> int | None:
    """A request of a single token has a TPOT of 0 to the SLO, which the summary leaves out."""
    single = of - sketch.finite - sketch.infinite
    return _rounded(sketch.with_zeros(single).at_percentile(percentile))


def _worst(parts: Sequence[SLOResult]) -> int | None:
    measured = [part.measured_microseconds for part in parts if part.of]
    known = [value for value in measured if value is not None]
    return max(known, default=None) if len(known) == len(measured) else None


def _on_its_side(measured: int | None, limit: int, *, met: bool, of: int) -> int | None:
    """On which side of the limit the percentile lies is known exactly, where it lies only within its error."""
    if not of:
        return 0 if met else None
    if met:
        return limit if measured is None else min(measured, limit)
    return None if measured is None else max(measured, limit + 1)


def _added(intervals: Sequence[Interval | None]) -> Interval | None:
    known = [interval for interval in intervals if interval is not None]
    if len(known) < len(intervals):
        return None
    return Interval(low=sum(each.low for each in known), high=sum(each.high for each in known))


def _mean_share(parts: Sequence[SLOResult]) -> Interval | None:
    weighed = [(part.share_interval_basis_points, part.of) for part in parts if part.of]
    known = [(interval, of) for interval, of in weighed if interval is not None]
    if len(known) < len(weighed) or not known:
        return None
    every = sum(of for _, of in known)
    low, high = (sum(interval.low * of for interval, of in known), sum(interval.high * of for interval, of in known))
    return Interval(low=low // every, high=-(-high // every))


def _rounded(microseconds: float | None) -> int | None:
    return None if microseconds is None else round(microseconds)


def _error_basis_points(sketch: Sketch | None) -> int:
    return 0 if sketch is None else ceil(sketch.relative_error * 10_000)
