"""Production's pods come and go without a request lost, or it is said what may lose some."""

import pytest

from sloguard.api.v1alpha1 import Target
from sloguard.cluster.target import target_state
from tests.unit.cluster.objects import VLLM, deployment

PROBE = {"readinessProbe": {"httpGet": {"path": "/health", "port": 8000}}}


def sleeping(seconds):
    return {"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}}


def at_risk(container, **pod):
    template = {"metadata": {"labels": {"app": "llama"}}, "spec": {"containers": [VLLM | container]} | pod}
    return target_state(deployment(template=template), Target(name="llama", container="vllm"), []).at_risk


@pytest.mark.parametrize(
    ("container", "pod", "words"),
    [
        (PROBE | sleeping(20), {}, []),
        (PROBE | sleeping(45), {"terminationGracePeriodSeconds": 60}, []),
        (PROBE | {"lifecycle": {"preStop": {"exec": {"command": ["drain"]}}}}, {}, []),
        (sleeping(20), {}, ["without a readinessProbe"]),
        (PROBE, {}, ["without a preStop hook"]),
        ({}, {}, ["without a readinessProbe", "without a preStop hook"]),
        (PROBE | sleeping(45), {}, ["preStop sleeps for 45 s, and terminationGracePeriodSeconds 30 cuts off"]),
        (PROBE | sleeping(5), {"terminationGracePeriodSeconds": 0}, ["terminationGracePeriodSeconds 0"]),
    ],
)
def test_what_may_lose_requests_at_each_update(container, pod, words):
    told = at_risk(container, **pod)
    assert len(told.split("; w")) >= len(words)
    assert all(word in told for word in words)
    assert bool(told) is bool(words)
