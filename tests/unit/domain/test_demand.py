"""What a workload says of the requests that a server will have to run at once."""

import pytest

from sloguard.api.v1alpha1 import SLO, TokenLengths, Workload
from sloguard.domain.demand import demand_of, mean_tokens

TPOT = SLO(metric="TPOT", milliseconds=60)
LENGTHS = {"promptTokens": {"mean": 1024, "max": 4096}, "outputTokens": {"mean": 128, "max": 512}}


def demand(arrival, slos=(TPOT,), **rest):
    return demand_of(Workload.model_validate({"arrival": arrival, **LENGTHS, **rest}), slos)


def poisson(per_second):
    return {"pattern": "Poisson", "requestsPerMinute": 60 * per_second}


def test_as_many_run_at_once_as_come_while_one_runs():
    told = demand(poisson(50))
    assert told.request_tokens == 1152
    assert told.concurrency == pytest.approx(50 * 128 * 0.06)


@pytest.mark.parametrize(
    ("slos", "seconds"),
    [
        ((), 128 * 0.05),
        ((SLO(metric="TTFT", milliseconds=100),), 128 * 0.05),
        ((TPOT, SLO(metric="ITL", milliseconds=30)), 128 * 0.03),
        ((SLO(metric="E2E", milliseconds=2000), TPOT), 2.0),
    ],
)
def test_the_tightest_limit_says_how_long_one_may_run(slos, seconds):
    assert demand(poisson(1), slos).concurrency == pytest.approx(seconds)


def test_the_users_of_a_closed_loop_are_all_there_is_but_for_those_who_think():
    loop = {"pattern": "ClosedLoop", "closedLoop": {"users": 60}}
    assert demand(loop).concurrency == pytest.approx(60)
    loop["closedLoop"]["thinkMilliseconds"] = round(1000 * 128 * 0.06)
    assert demand(loop).concurrency == pytest.approx(30)


def test_a_burst_counts_for_its_share_of_the_time():
    burst = {"requestsPerMinute": 600, "periodSeconds": 30, "dutyPercent": 20}
    arrival = {"pattern": "Burst", "requestsPerMinute": 60, "burst": burst}
    assert demand(arrival).concurrency == pytest.approx((0.2 * 10 + 0.8 * 1) * 128 * 0.06)


def trace(entries, **replay):
    recorded = [{"atMilliseconds": at, "promptTokens": 5000, "outputTokens": 100} for at in entries]
    return {"pattern": "Trace", "trace": recorded, "replay": replay or None}


def test_a_trace_has_lengths_of_its_own_within_the_bounds_and_a_rate_that_is_replayed():
    second = range(0, 10_001, 1000)
    told = demand(trace(second))
    assert told.request_tokens == 4096 + 100
    assert told.concurrency == pytest.approx(1.1 * 100 * 0.06)
    assert demand(trace(second, timePercent=50)).concurrency == pytest.approx(2.2 * 100 * 0.06)
    assert demand(trace(second, ratePercent=300)).concurrency == pytest.approx(3.3 * 100 * 0.06)
    # What comes after the time that is measured says nothing.
    assert demand(trace([*second, 200_000])) == told


@pytest.mark.parametrize(
    "arrival", [trace([0]), {"pattern": "Trace", "traceFile": "requests.jsonl"}, {"pattern": "FromProduction"}]
)
def test_a_rate_that_only_time_or_a_file_will_tell_is_not_guessed(arrival):
    assert demand(arrival).concurrency is None


def test_live_traffic_demands_nothing_that_is_known():
    told = demand_of(Workload.model_validate({"arrival": {"pattern": "Live"}}), [TPOT])
    assert (told.request_tokens, told.concurrency) == (None, None)


@pytest.mark.parametrize(
    ("lengths", "mean"),
    [
        ({"mean": 300, "stddev": 50}, 300),
        ({"distribution": "LogNormal", "mean": 300, "stddev": 500}, 300),
        ({"distribution": "Uniform", "min": 100, "max": 500}, 300),
        ({"distribution": "Empirical", "buckets": [{"min": 10}, {"min": 100, "max": 200, "weight": 3}]}, 115),
        ({"distribution": "Empirical", "max": 90, "buckets": [{"min": 10}, {"min": 100, "max": 200, "weight": 3}]}, 70),
    ],
)
def test_means_of_all_distributions(lengths, mean):
    assert mean_tokens(TokenLengths.model_validate(lengths)) == mean
