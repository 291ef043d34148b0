"""Whether production's live traffic says that new arguments serve worse than those that they replace. Pure.

Two windows by vLLM's own histograms are held against each other: before a promotion and since, or production and a
canary beside it at the same time. What an SLO wants decides only where production did better: what was broken before is
no fault of the new arguments.

Traffic is looked at again and again, and requests that come together are slow together; so an interval of 99.9 % is
asked for where 95 % would do for one look at independent requests (Wilson's, by requests, also where gaps are counted).
"""

from sloguard.api.v1alpha1 import RateMeasurement, ServedTraffic, SLOResult
from sloguard.domain.confidence import wilson

Z = 3.290527
"""99.95 % of a normal distribution lie below."""

LEAST_FAILED_MORE = 0.01
"""Of all requests: clients go away for reasons of their own."""


def served(measured: RateMeasurement) -> ServedTraffic:
    """What of a measurement of live traffic is held against another."""
    return ServedTraffic(
        requests=measured.sent,
        requests_per_minute=measured.requests_per_minute,
        failed=measured.sent - measured.completed,
        slos=measured.slos,
    )


def worse(before: ServedTraffic | None, now: ServedTraffic | None) -> str:
    """What is worse beyond doubt, or nothing."""
    if before is None or now is None or not before.requests or not now.requests:
        return ""
    found = [_broken(slo, _same(slo, before), before, now) for slo in now.slos]
    return "; ".join(filter(None, [*found, _failing(before, now)]))


def in_words(measured: ServedTraffic) -> str:
    """A window for people."""
    shares = [f"{_name(slo)} for {_percent(slo.within, slo.of)} of {slo.of}" for slo in measured.slos if slo.of]
    ends = [f"{measured.failed} failed"] if measured.failed else []
    return ", ".join([f"{measured.requests} requests ({measured.requests_per_minute} a minute)", *shares, *ends])


def _broken(slo: SLOResult, earlier: SLOResult | None, before: ServedTraffic, now: ServedTraffic) -> str:
    if slo.met or slo.undecided or not slo.of or earlier is None or not earlier.of:
        return ""
    _, high = _share(slo.within, slo.of, now)
    low, _ = _share(earlier.within, earlier.of, before)
    if 100 * high >= slo.percentile or low <= high:
        return ""
    return (
        f"{_name(slo)} for {_percent(slo.within, slo.of)}, where the SLO wants {slo.percentile} % and production had "
        f"{_percent(earlier.within, earlier.of)}"
    )


def _failing(before: ServedTraffic, now: ServedTraffic) -> str:
    failed, earlier = now.failed, before.failed
    low, _ = wilson(failed / now.requests, now.requests, Z)
    _, high = wilson(earlier / before.requests, before.requests, Z)
    if low <= high or failed / now.requests - earlier / before.requests < LEAST_FAILED_MORE:
        return ""
    return f"{_percent(failed, now.requests)} of requests failed, {_percent(earlier, before.requests)} before"


def _share(within: int, of: int, window: ServedTraffic) -> tuple[float, float]:
    """Gaps of one answer are slow together: it is requests that are independent, if anything is."""
    return wilson(within / of, min(of, window.requests), Z)


def _same(slo: SLOResult, other: ServedTraffic) -> SLOResult | None:
    key = (slo.metric, slo.percentile, slo.limit_milliseconds)
    return next((s for s in other.slos if (s.metric, s.percentile, s.limit_milliseconds) == key), None)


def _name(slo: SLOResult) -> str:
    return f"{slo.metric.value} within {slo.limit_milliseconds} ms"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
