"""A workload out of vLLM's length histograms."""

import pytest

from sloguard.api.v1alpha1 import Arrival, ArrivalPattern, LengthDistribution, TokenLengths, Workload
from sloguard.domain.buckets import Buckets
from sloguard.domain.increments import Increments, Series, over_time
from sloguard.domain.production import NoWorkloadError, as_in_production, production_workload
from sloguard.domain.server_view import OUTPUT_LENGTHS, PROMPT_LENGTHS, REQUESTS, ServerWindow, window_of
from sloguard.domain.timeline import Covered


def seen(prompts, outputs, ended=60, seconds=120.0):
    edges = (1.0, 2.0, 5.0, 10.0)
    histograms = {PROMPT_LENGTHS: Buckets(edges, prompts), OUTPUT_LENGTHS: Buckets(edges, outputs)}
    known = {name: found for name, found in histograms.items() if found.cumulative}
    grown = {} if ended is None else {Series(REQUESTS, (("finished_reason", "stop"),)): float(ended)}
    return Covered(ServerWindow(known), Increments(grown), 1000.0, 1000.0 + seconds, 2)


def test_rate_and_lengths():
    told = production_workload(seen((0, 0, 30, 50, 60), (60, 60, 60, 60, 60), ended=62))
    assert told.requests_per_minute == 31, "of the requests that ended, whatever the histograms hold"
    assert [(one.min, one.max, one.requests) for one in told.prompt_tokens] == [(3, 5, 30), (6, 10, 20), (11, 11, 10)]
    assert [(one.min, one.max, one.requests) for one in told.output_tokens] == [(1, 1, 60)]


ALIKE = (60, 60, 60, 60, 60)


@pytest.mark.parametrize(
    ("prompts", "outputs", "ended", "said"),
    [
        ((0, 0, 3, 3, 3), (3, 3, 3, 3, 3), 60, "ended 3 requests"),
        (ALIKE, ALIKE, 4, "ended 4 requests"),
        ((), ALIKE, 60, "request_prompt_tokens"),
        (ALIKE, ALIKE, None, "request_success"),
    ],
)
def test_what_tells_no_workload(prompts, outputs, ended, said):
    with pytest.raises(NoWorkloadError, match=said):
        production_workload(seen(prompts, outputs, ended))


def counted(pod, times, ended, short, long):
    """A pod's counters at these times; prompts of 2 tokens and of 5."""
    reason = (("finished_reason", "stop"), ("pod", pod))
    columns = {
        Series(REQUESTS, reason): ended,
        Series(f"{OUTPUT_LENGTHS}_bucket", (("le", "1.0"), ("pod", pod))): ended,
    }
    whole = [few + many for few, many in zip(short, long, strict=True)]
    for edge, values in (("2.0", short), ("5.0", whole), ("+Inf", whole)):
        columns[Series(f"{PROMPT_LENGTHS}_bucket", (("le", edge), ("pod", pod)))] = values
    columns[Series(f"{OUTPUT_LENGTHS}_bucket", (("le", "+Inf"), ("pod", pod)))] = ended
    return {series: [(at, float(value)) for at, value in zip(times, v, strict=True)] for series, v in columns.items()}


def test_pods_that_began_anew_count_from_then_on():
    """Pod b serves more after its restart than before, so that few of its counters are seen to fall."""
    times = (0.0, 60.0, 120.0)
    steady = counted("a", times, [100, 130, 160], [50, 65, 80], [50, 65, 80])
    anew = counted("b", times, [40, 50, 60], [30, 35, 5], [10, 15, 55])
    increments = over_time(steady | anew)
    assert increments.restarted == 1
    told = production_workload(Covered(window_of(increments), increments, 0.0, 120.0, 2))
    assert told.requests_per_minute == (60 + 10 + 60) / 2
    assert [(one.max, one.requests) for one in told.prompt_tokens] == [(2, 30 + 5 + 5), (5, 30 + 5 + 55)]


def test_a_studys_bounds_hold():
    bounds = TokenLengths(distribution=LengthDistribution.UNIFORM, min=4, max=8)
    study = Workload(
        arrival=Arrival(pattern=ArrivalPattern.FROM_PRODUCTION), prompt_tokens=bounds, output_tokens=bounds
    )
    told = as_in_production(study, production_workload(seen((0, 0, 30, 50, 60), (60, 60, 60, 60, 60))))
    assert (told.arrival.pattern, told.arrival.requests_per_minute) == (ArrivalPattern.POISSON, 30)
    assert told.prompt_tokens.distribution is LengthDistribution.EMPIRICAL
    assert (told.prompt_tokens.longest, told.output_tokens.longest) == (8, 4)
