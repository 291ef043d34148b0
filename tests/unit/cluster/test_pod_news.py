"""News of a pod that nothing could be decided on wake nobody."""

import pytest

from sloguard.cluster.pod_news import is_worth_a_look

NOW = "2026-03-02T12:00:00Z"
RUNNING = {"running": {"startedAt": NOW}}
CREATING = {"waiting": {"reason": "ContainerCreating"}}
BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff"}}
ENDED = {"terminated": {"exitCode": 0}}
FAILED = {"terminated": {"exitCode": 1}}


def pod(role, *states, init=(), deleted=False, scheduled=None, **status):
    metadata = {"name": "p", "labels": {"sloguard.dev/role": role}} | ({"deletionTimestamp": NOW} if deleted else {})
    shown = {
        "phase": "Pending",
        "containerStatuses": [{"name": f"c{i}", "state": state} for i, state in enumerate(states)],
        "initContainerStatuses": [{"name": f"i{i}", "state": state} for i, state in enumerate(init)],
        "conditions": [{"type": "PodScheduled", "status": scheduled}] if scheduled else [],
    }
    return {"metadata": metadata, "status": shown | status}


@pytest.mark.parametrize("role", ["server", "load"])
@pytest.mark.parametrize(
    ("told", "worth"),
    [
        ({}, False),
        ({"scheduled": "True"}, False),
        ({"scheduled": "False"}, True),
        ({"states": [{}]}, False),
        ({"states": [CREATING]}, False),
        ({"states": [CREATING], "init": [RUNNING]}, False),
        ({"states": [CREATING], "init": [ENDED]}, False),
        ({"states": [CREATING], "init": [FAILED]}, True),
        ({"states": [CREATING], "init": [BACK_OFF]}, True),
        ({"states": [BACK_OFF]}, True),
        ({"states": [RUNNING, BACK_OFF]}, True),
        ({"states": [ENDED]}, True),
        ({"phase": "Failed", "reason": "Evicted"}, True),
    ],
)
def test_what_befalls_any_pod(role, told, worth):
    told = dict(told)
    assert is_worth_a_look(pod(role, *told.pop("states", []), **told)) == worth


@pytest.mark.parametrize("told", [{"states": [RUNNING]}, {"states": [CREATING], "deleted": True}])
def test_a_server_is_looked_at_when_it_runs_and_when_it_goes_a_load_only_when_it_has_ended(told):
    told = dict(told)
    states = told.pop("states")
    assert is_worth_a_look(pod("server", *states, **told))
    assert not is_worth_a_look(pod("load", *states, **told))
