"""A workload out of vLLM's length histograms."""

import pytest

from sloguard.api.v1alpha1 import Arrival, ArrivalPattern, LengthDistribution, TokenLengths, Workload
from sloguard.domain.buckets import Buckets
from sloguard.domain.increments import Increments
from sloguard.domain.production import NoWorkloadError, as_in_production, production_workload
from sloguard.domain.server_view import OUTPUT_LENGTHS, PROMPT_LENGTHS, ServerWindow
from sloguard.domain.timeline import Covered


def seen(prompts, outputs, seconds=120.0):
    edges = (1.0, 2.0, 5.0, 10.0)
    histograms = {PROMPT_LENGTHS: Buckets(edges, prompts), OUTPUT_LENGTHS: Buckets(edges, outputs)}
    known = {name: found for name, found in histograms.items() if found.cumulative}
    return Covered(ServerWindow(known), Increments({}), 1000.0, 1000.0 + seconds, 2)


def test_rate_and_lengths():
    told = production_workload(seen((0, 0, 30, 50, 60), (60, 60, 60, 60, 60)))
    assert told.requests_per_minute == 30
    assert [(one.min, one.max, one.requests) for one in told.prompt_tokens] == [(3, 5, 30), (6, 10, 20), (11, 11, 10)]
    assert [(one.min, one.max, one.requests) for one in told.output_tokens] == [(1, 1, 60)]


@pytest.mark.parametrize(
    ("prompts", "outputs", "said"),
    [((0, 0, 3, 3, 3), (3, 3, 3, 3, 3), "ended 3 requests"), ((), (60, 60, 60, 60, 60), "request_prompt_tokens")],
)
def test_what_tells_no_workload(prompts, outputs, said):
    with pytest.raises(NoWorkloadError, match=said):
        production_workload(seen(prompts, outputs))


def test_a_studys_bounds_hold():
    bounds = TokenLengths(distribution=LengthDistribution.UNIFORM, min=4, max=8)
    study = Workload(
        arrival=Arrival(pattern=ArrivalPattern.FROM_PRODUCTION), prompt_tokens=bounds, output_tokens=bounds
    )
    told = as_in_production(study, production_workload(seen((0, 0, 30, 50, 60), (60, 60, 60, 60, 60))))
    assert (told.arrival.pattern, told.arrival.requests_per_minute) == (ArrivalPattern.POISSON, 30)
    assert told.prompt_tokens.distribution is LengthDistribution.EMPIRICAL
    assert (told.prompt_tokens.longest, told.output_tokens.longest) == (8, 4)
