"""Condition MetricsDisagree of a trial, and its event."""

from datetime import timedelta

from sloguard.api.v1alpha1 import ConditionStatus, Disagreement, DisagreementPart, Metric, ServerView, TrialPhase
from sloguard.engine.actions import EventType, UpdateTrial
from sloguard.engine.agreement import METRICS_DISAGREE
from sloguard.engine.plan import plan
from sloguard.engine.snapshot import LoadState, ServerState
from tests.unit.engine.builders import T0, condition, make_study, make_trial, rate, result, seen, snapshot
from tests.unit.engine.builders import actions as of_kind

LATE = Disagreement(
    part=DisagreementPart.QUEUE,
    metric=Metric.TTFT,
    percentile=99,
    client=812_000,
    server_low=250_000,
    server_high=500_000,
)


def by_server(percent, *disagreements):
    return rate(percent=percent).model_copy(
        update={"server_view": ServerView(requests=100, disagreements=disagreements)}
    )


def finished(*rates):
    """The plan in which a trial's load has just ended with these."""
    trial = make_trial(0, phase=TrialPhase.LOADING, started_at=T0, ready_at=T0, load_started_at=T0)
    what = seen(ServerState.READY, load=LoadState.DONE, loaded=result(*rates))
    planned = plan(snapshot(make_study(), trial, seen={trial.name: what}), T0 + timedelta(seconds=60))
    (update,) = of_kind(planned, UpdateTrial)
    events = [event for event in planned.events if event.reason == METRICS_DISAGREE]
    return condition(update.status, METRICS_DISAGREE), events


def test_a_disagreement_is_a_condition_and_an_event():
    said, (event,) = finished(by_server(50), by_server(100, LATE))
    assert said.status is ConditionStatus.TRUE
    assert said.reason == "Queue"
    assert said.message.startswith("at 100 %: Queue: TTFT p99 is 812 ms for the client, 250 to 500 ms for the server (")
    assert event.type is EventType.WARNING
    assert event.message == f"Trial s-0-1: {said.message}"


def test_agreement_is_told_and_makes_no_noise():
    said, events = finished(by_server(50), by_server(100))
    assert said.status is ConditionStatus.FALSE
    assert said.message == "client and server agree at 50 %, 100 %, as far as the server's histograms tell"
    assert events == []


def test_without_the_servers_counters_nothing_is_said():
    assert finished(rate()) == (None, [])


def test_many_disagreements_fit_their_field():
    said, _ = finished(*(by_server(percent, *[LATE] * 8) for percent in (50, 60, 70, 80, 90, 100, 110, 120)))
    assert len(said.message) == 4096
