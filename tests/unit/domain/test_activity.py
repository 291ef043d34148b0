"""What a server was doing before its end."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sloguard.api.v1alpha1 import CrashClass, ServerActivity, ServerFault, ServerFaultKind
from sloguard.domain.activity import Reports, activity_of
from sloguard.domain.crash import classify, classify_lines
from sloguard.domain.evidence import Activity, Evidence
from sloguard.domain.increments import Series
from tests.unit.domain.crash_logs import API, ENGINE_DEAD, READY, START, death_under_load

REPORT = (
    "Engine 00{}: Avg prompt throughput: 812.4 tokens/s, Avg generation throughput: 301.2 tokens/s, Running: {} reqs, "
    "Waiting: {} reqs, {}GPU KV cache usage: {}%, Prefix cache hit rate: 18.9%"
)
LAST_STATE = (
    "Dumping scheduler stats: SchedulerStats(num_running_reqs=44, num_waiting_reqs=9, num_skipped_waiting_reqs=0, "
    "step_counter=0, current_wave=0, kv_cache_usage=0.3410356347438753, prefix_cache_stats=PrefixCacheStats(reset=False"
)
OLD = (
    "Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: 9.3 tokens/s, Running: 1 reqs, Swapped: 0 reqs, "
    "Pending: 2 reqs, GPU KV cache usage: 0.4%, CPU KV cache usage: 0.0%."
)


def read(*lines):
    reports = Reports()
    for line in lines:
        reports.read(line)
    return reports.activity()


def info(text):
    return f"{API}INFO 11-22 08:57:08 [loggers.py:259] {text}"


def test_the_latest_report_counts():
    found = read(REPORT.format(0, 12, 0, "", "31.0"), REPORT.format(0, 250, 80, "Preemptions: 7, ", "99.7"))
    assert found == Activity(requests_running=250, requests_waiting=80, kv_cache_usage_percent=99.7, preemptions=7)


def test_of_several_engines_all_requests_and_the_fullest_cache():
    found = read(REPORT.format(0, 12, 3, "", "31.0"), REPORT.format(1, 5, 0, "", "90.5"))
    assert found == Activity(requests_running=17, requests_waiting=3, kv_cache_usage_percent=90.5, preemptions=0)


def test_an_old_report():
    found = read(OLD)
    assert found == Activity(requests_running=1, requests_waiting=2, kv_cache_usage_percent=0.4, preemptions=0)


def test_what_the_engine_says_as_it_dies_counts_before_all_reports():
    found = read(REPORT.format(0, 12, 0, "", "31.0"), LAST_STATE, REPORT.format(0, 0, 0, "", "0.0"))
    assert found is not None
    assert (found.requests_running, found.requests_waiting) == (44, 9)
    assert found.kv_cache_usage_percent == pytest.approx(34.1, abs=0.01)


@pytest.mark.parametrize("line", ["a prompt: Running: 5 reqs", "Dumping scheduler stats: None", "Running: 3 reqs"])
def test_other_lines_say_nothing(line):
    assert read(line) is None


def test_a_death_is_told_with_what_the_server_was_doing():
    log = [*START, *READY, info(REPORT.format(0, 250, 80, "", "99.7")), *ENGINE_DEAD]
    crash = classify_lines(log, 0)
    assert crash is not None
    assert crash.activity == ServerActivity(
        requests_running=250, requests_waiting=80, kv_cache_usage_percent=100, preemptions=0
    )
    assert crash.activity.in_words == "250 requests running, 80 waiting, KV cache 100 % full"


def test_a_death_without_requests_is_less_certainly_the_configurations():
    busy = classify_lines([*START, *READY, info(REPORT.format(0, 9, 0, "", "5.0"))], 0)
    idle = classify_lines([*START, *READY, info(REPORT.format(0, 0, 0, "", "0.0"))], 0)
    assert busy is not None
    assert idle is not None
    assert idle.class_ is busy.class_ is CrashClass.DIED_UNDER_LOAD
    assert idle.confidence_percent < busy.confidence_percent
    assert idle.activity is not None
    assert idle.activity.in_words == "it had no requests"


def test_a_known_cause_is_as_certain_as_ever():
    log = death_under_load("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.00 GiB", "execute_model")
    evidence = Evidence(log=log, became_ready=True, ended=True, exit_code=0)
    crash = classify(evidence)
    told = classify(replace(evidence, activity=Activity(requests_running=0)))
    assert crash is not None
    assert told == crash.model_copy(update={"activity": ServerActivity(requests_running=0)})


def test_what_the_load_saw_tells_of_a_server_whose_log_and_prometheus_say_nothing():
    seen = ServerActivity(requests_running=32, requests_waiting=12, kv_cache_usage_percent=93)
    fault = ServerFault(kind=ServerFaultKind.SERVER_GONE, at=datetime.now(UTC), detail="refused", activity=seen)
    silent = Evidence(log="", became_ready=True, ended=True, exit_code=139, load_fault=fault)
    crash = classify(silent)
    assert crash is not None
    assert crash.activity == seen
    scraped = classify(replace(silent, activity=Activity(requests_running=3)))
    assert scraped is not None
    assert scraped.activity == ServerActivity(requests_running=3)


def test_of_a_start_that_failed_nothing_is_said():
    failed = classify(Evidence(log="\n".join(START), ended=True, exit_code=1, activity=Activity(requests_running=0)))
    assert failed is not None
    assert failed.activity is None


RUNNING, WAITING = Series("vllm:num_requests_running"), Series("vllm:num_requests_waiting")
GENERATED, KV = Series("vllm:generation_tokens_total"), Series("vllm:kv_cache_usage_perc")
PREEMPTED = Series("vllm:num_preemptions_total")


def points(*values):
    return [(10.0 * number, float(value)) for number, value in enumerate(values)]


def test_metrics_up_to_the_end():
    timeline = {
        RUNNING: points(3, 8, 8, 8, 1),
        WAITING: points(0, 2, 4, 4, 0),
        KV: points(0.1, 0.9, 0.98, 0.98, 0),
        GENERATED: points(100, 900, 900, 900, 0),
        PREEMPTED: points(5, 6, 12, 12, 0),
    }
    assert activity_of(timeline, 37.0) == Activity(
        requests_running=8,
        requests_waiting=4,
        kv_cache_usage_percent=98.0,
        preemptions=7,
        generation_tokens=800,
        still_seconds=10.0,
        age_seconds=7.0,
    )


def test_one_look_does_not_tell_a_standstill():
    found = activity_of({RUNNING: points(3), GENERATED: points(7)}, 5.0)
    assert found == Activity(requests_running=3, age_seconds=5.0)


@pytest.mark.parametrize("timeline", [{}, {GENERATED: points(1, 2)}, {RUNNING: []}])
def test_metrics_that_do_not_say(timeline):
    assert activity_of(timeline, 100.0) is None
