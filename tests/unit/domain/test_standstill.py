"""When a server that has requests gave its last sign of life."""

import pytest

from sloguard.domain.increments import Series
from sloguard.domain.standstill import standstill_since

GENERATED = Series("vllm:generation_tokens_total")
KV = Series("vllm:kv_cache_usage_perc")
RUNNING = Series("vllm:num_requests_running")


def seen(*values, every=10.0):
    return [(number * every, float(value)) for number, value in enumerate(values)]


ONE = seen(1, 1, 1, 1, 1, 1)


@pytest.mark.parametrize(
    ("timeline", "since"),
    [
        ({GENERATED: seen(0, 5, 9, 9, 9, 9), KV: seen(0, 0.1, 0.2, 0.2, 0.2, 0.2), RUNNING: ONE}, 20.0),
        ({GENERATED: seen(7, 7, 7, 7, 7, 7), RUNNING: ONE}, 0.0),
        ({GENERATED: seen(0, 5, 9, 9, 9, 9), RUNNING: seen(1, 1, 1, 1, 1, 0)}, None),
        ({GENERATED: seen(0, 5, 9, 9, 9, 10), RUNNING: ONE}, None),
        ({GENERATED: seen(0, 5, 9, 9, 9, 9), KV: seen(0, 0, 0.1, 0.2, 0.3, 0.4), RUNNING: ONE}, None),
        ({GENERATED: seen(9, 9, every=40.0), RUNNING: seen(1, 1, every=40.0)}, None),
        ({RUNNING: ONE}, None),
    ],
    ids=["stopped", "never began", "nothing to do", "lives", "computes a prompt", "looked at twice", "no signs"],
)
def test_standstill(timeline, since):
    assert standstill_since(timeline) == since
