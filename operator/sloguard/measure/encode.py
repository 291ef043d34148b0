"""A load's result as one line of JSON that fits a Kubernetes termination message (4096 bytes).

Defaults and absent values are left out, which loses nothing. Where that is not enough, parts are dropped in a fixed
order, the least useful first; the rate that is compared (100 %, else the highest measured) is the last to be touched.
`slos_met` of a rate, and sent = good + violations, stay true: of the SLOs that were not met, one is always kept.
"""

from collections.abc import Callable, Iterator

from sloguard.api.v1alpha1 import LoadResult, RateMeasurement, SLOResult

LIMIT_BYTES = 4096
TEXT_LIMIT = 256

Change = Callable[[RateMeasurement], RateMeasurement]


def encode(result: LoadResult, limit_bytes: int = LIMIT_BYTES) -> str:
    """At most `limit_bytes` in UTF-8, and readable as a LoadResult again."""
    result = result.model_copy(update={"invalid": result.invalid and _plain(result.invalid)})
    text = _json(result)
    for smaller in _ever_smaller(result):
        if len(text.encode()) <= limit_bytes:
            break
        text = _json(smaller)
    return text


def _plain(text: str) -> str:
    """Other characters would take up to six bytes each."""
    return "".join(character if " " <= character <= "~" else "?" for character in text)[:TEXT_LIMIT]


def _json(result: LoadResult) -> str:
    return result.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)


def _ever_smaller(result: LoadResult) -> Iterator[LoadResult]:
    if not result.rates:
        return
    kept = _compared(result.rates).rate_percent
    for change, spare_compared in (
        (_without_server, True),
        (_without_latencies, True),
        (_without_server, False),
        (_with_broken_slos, True),
        (_without_latencies, False),
        (_with_one_slo, True),
        (_without_lag, False),
    ):
        for place, rate in enumerate(result.rates):
            if spare_compared and rate.rate_percent == kept:
                continue
            result = _replace(result, place, change(rate))
            yield result
    while len(result.rates) > 1:
        farthest = max(result.rates, key=lambda rate: (abs(rate.rate_percent - kept), rate.rate_percent))
        result = result.model_copy(update={"rates": [rate for rate in result.rates if rate is not farthest]})
        yield result


def _compared(rates: list[RateMeasurement]) -> RateMeasurement:
    return next((rate for rate in rates if rate.rate_percent == 100), rates[-1])


def _replace(result: LoadResult, place: int, rate: RateMeasurement) -> LoadResult:
    rates = [*result.rates[:place], rate, *result.rates[place + 1 :]]
    return result.model_copy(update={"rates": rates})


def _without_server(rate: RateMeasurement) -> RateMeasurement:
    return rate.model_copy(update={"server": None})


def _without_latencies(rate: RateMeasurement) -> RateMeasurement:
    return rate.model_copy(update={"latencies": []})


def _without_lag(rate: RateMeasurement) -> RateMeasurement:
    """It was judged before: `invalid` says what it meant."""
    return rate.model_copy(update={"dispatch_lag_p99_microseconds": 0})


def _with_broken_slos(rate: RateMeasurement) -> RateMeasurement:
    return rate.model_copy(update={"slos": _broken(rate)})


def _with_one_slo(rate: RateMeasurement) -> RateMeasurement:
    return rate.model_copy(update={"slos": _broken(rate)[:1]})


def _broken(rate: RateMeasurement) -> list[SLOResult]:
    return [slo for slo in rate.slos if not slo.met]
