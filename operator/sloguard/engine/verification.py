"""Whether production's live traffic says that new arguments serve worse than those that they replace. Pure.

Two windows by vLLM's own histograms are held against each other: before a promotion and since, or production and a
canary beside it at the same time. What an SLO wants decides only where production did better: what was broken before is
no fault of the new arguments.

Traffic is looked at again and again, and requests that come together are slow together; so an interval of 99.9 % is
asked for where 95 % would do for one look at independent requests (Wilson's, by requests, also where gaps are counted).
"""

from sloguard.api.v1alpha1 import RateMeasurement, SLOResult
from sloguard.domain.confidence import wilson

Z = 3.290527
"""99.95 % of a normal distribution lie below."""

LEAST_FAILED_MORE = 0.01
"""Of all requests: clients go away for reasons of their own."""


def worse(before: RateMeasurement | None, now: RateMeasurement | None) -> str:
    """What is worse beyond doubt, or nothing."""
    if before is None or now is None or not before.sent or not now.sent:
        return ""
    found = [_broken(slo, _same(slo, before), before, now) for slo in now.slos]
    return "; ".join(filter(None, [*found, _failing(before, now)]))


def in_words(measured: RateMeasurement) -> str:
    """A window for people."""
    shares = [f"{_name(slo)} for {_percent(slo.within, slo.of)} of {slo.of}" for slo in measured.slos if slo.of]
    failed = measured.sent - measured.completed
    ends = [f"{failed} failed"] if failed else []
    return ", ".join([f"{measured.sent} requests ({measured.requests_per_minute} a minute)", *shares, *ends])


def _broken(slo: SLOResult, earlier: SLOResult | None, before: RateMeasurement, now: RateMeasurement) -> str:
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


def _failing(before: RateMeasurement, now: RateMeasurement) -> str:
    failed, earlier = now.sent - now.completed, before.sent - before.completed
    low, _ = wilson(failed / now.sent, now.sent, Z)
    _, high = wilson(earlier / before.sent, before.sent, Z)
    if low <= high or failed / now.sent - earlier / before.sent < LEAST_FAILED_MORE:
        return ""
    return f"{_percent(failed, now.sent)} of requests failed, {_percent(earlier, before.sent)} before"


def _share(within: int, of: int, window: RateMeasurement) -> tuple[float, float]:
    """Gaps of one answer are slow together: it is requests that are independent, if anything is."""
    return wilson(within / of, min(of, window.sent), Z)


def _same(slo: SLOResult, other: RateMeasurement) -> SLOResult | None:
    key = (slo.metric, slo.percentile, slo.limit_milliseconds)
    return next((s for s in other.slos if (s.metric, s.percentile, s.limit_milliseconds) == key), None)


def _name(slo: SLOResult) -> str:
    return f"{slo.metric.value} within {slo.limit_milliseconds} ms"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"
