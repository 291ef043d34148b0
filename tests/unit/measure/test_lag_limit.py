import pytest

from sloguard.api.v1alpha1 import SLO, Metric, TokenLengths, Workload
from sloguard.api.v1alpha1.workload import Arrival
from sloguard.measure.request import LoadRequest


def limit_milliseconds(slos, **workload):
    request = LoadRequest(
        url="http://127.0.0.1:1",
        workload=Workload(
            arrival=Arrival(requests_per_minute=60),
            prompt_tokens=TokenLengths(mean=8),
            output_tokens=TokenLengths(mean=8),
            **workload,
        ),
        slos=[SLO(metric=metric, milliseconds=limit) for metric, limit in slos],
    )
    return request.dispatch_lag_limit_microseconds / 1000


@pytest.mark.parametrize(
    ("slos", "milliseconds"),
    [
        ([(Metric.TTFT, 800)], 8),
        ([(Metric.TTFT, 800), (Metric.E2E, 30_000)], 8),
        ([(Metric.TTFT, 100)], 5),
        ([(Metric.ITL, 10)], 100),
        ([(Metric.TPOT, 10), (Metric.E2E, 1000)], 10),
    ],
    ids=["one percent", "of the tightest", "not below the floor", "gaps are not late", "gaps beside one that is"],
)
def test_lateness_that_the_generator_is_allowed(slos, milliseconds):
    assert limit_milliseconds(slos) == milliseconds


def test_a_small_machine_may_be_allowed_more():
    assert limit_milliseconds([(Metric.TTFT, 800)], dispatch_lag_floor_milliseconds=50) == 50
