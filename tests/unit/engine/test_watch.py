"""Live traffic is watched from the end of the warm-up, and read as soon as it can be."""

from datetime import timedelta

import pytest

from sloguard.api.v1alpha1 import TrialPhase
from sloguard.engine.plan import plan
from sloguard.engine.snapshot import LoadState, ServerState
from sloguard.engine.watch import watch_of
from tests.unit.engine.builders import T0, make_study, make_trial, seen, snapshot

LENGTHS = {"promptTokens": None, "outputTokens": None}
LIVE = make_study(
    measurement="Prometheus",
    workload={"arrival": {"pattern": "Live"}, "warmupSeconds": 20, "durationSeconds": 60} | LENGTHS,
)
LED = make_trial(0, phase=TrialPhase.LOADING, started_at=T0, ready_at=T0, load_started_at=T0)


def test_what_is_watched():
    watch = watch_of(LED, LIVE.spec)
    assert (watch.begins, watch.ends) == (T0 + timedelta(seconds=20), T0 + timedelta(seconds=80))
    assert watch_of(LED, make_study().spec) is None
    assert watch_of(make_trial(0, phase=TrialPhase.STARTING, started_at=T0), LIVE.spec) is None


@pytest.mark.parametrize(("seconds", "wake"), [(30, 5), (70, 5), (78, 4), (81, 1), (90, 1)])
def test_the_planner_looks_again_when_the_window_can_be_read(seconds, wake):
    under_load = seen(ServerState.READY, load=LoadState.RUNNING)
    told = plan(snapshot(LIVE, LED, seen={LED.name: under_load}), T0 + timedelta(seconds=seconds))
    assert told.wake_after_seconds == wake
