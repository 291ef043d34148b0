"""Everything that the requests of one rate say by themselves: the measurement, before the server is asked. Pure."""

from collections.abc import Sequence

from sloguard.api.v1alpha1 import SLO, RateMeasurement

from .goodput import Gaps, RequestRecord, hold_slos, lag_p99_microseconds, summarise, tally


def measured_rate(
    records: Sequence[RequestRecord],
    slos: Sequence[SLO],
    *,
    rate_percent: int,
    requests_per_minute: int,
    duration_milliseconds: int,
    gaps: Gaps | None = None,
) -> RateMeasurement:
    """Counts, latencies and SLOs of all that was due. `gaps` is `pool_gaps`, if it is known."""
    counted = tally(records, slos)
    return RateMeasurement(
        rate_percent=rate_percent,
        requests_per_minute=requests_per_minute,
        duration_milliseconds=duration_milliseconds,
        sent=counted.sent,
        completed=counted.completed,
        good=counted.good,
        prompt_tokens=counted.prompt_tokens,
        output_tokens=counted.output_tokens,
        good_tokens=counted.good_tokens,
        good_tokens_at_most=counted.good_tokens + counted.spared_tokens if counted.violations.spared else None,
        violations=counted.violations,
        latencies=summarise(records, gaps),
        slos=hold_slos(records, slos, gaps),
        dispatch_lag_p99_microseconds=lag_p99_microseconds(records),
    )
