import pytest

from sloguard.api.v1alpha1 import SLO, Metric, TokenLengths, Workload
from sloguard.api.v1alpha1.workload import Arrival
from sloguard.measure.request import LoadRequest


@pytest.mark.parametrize(
    ("slos", "milliseconds"),
    [
        ([(Metric.TTFT, 500)], 50),
        ([(Metric.TTFT, 500), (Metric.E2E, 30_000)], 50),
        ([(Metric.TTFT, 100)], 25),
        ([(Metric.ITL, 10)], 25),
        ([(Metric.TPOT, 10), (Metric.E2E, 1000)], 100),
    ],
    ids=["a tenth", "of the tightest", "not below the floor", "gaps are not late", "gaps beside one that is"],
)
def test_lateness_that_the_generator_is_allowed(slos, milliseconds):
    request = LoadRequest(
        url="http://127.0.0.1:1",
        workload=Workload(
            arrival=Arrival(requests_per_minute=60),
            prompt_tokens=TokenLengths(mean=8),
            output_tokens=TokenLengths(mean=8),
        ),
        slos=[SLO(metric=metric, milliseconds=limit) for metric, limit in slos],
    )
    assert request.dispatch_lag_limit_microseconds == milliseconds * 1000
