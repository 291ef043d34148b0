"""A trial that a kill left unfinished is not measured, and not free."""

from datetime import UTC, datetime, timedelta

import pytest

from sloguard.api.v1alpha1 import ObjectMeta, Outcome, Purpose, Trial, TrialPhase, TrialSpec, TrialStatus
from sloguard.local.interrupted import begun, cancelled

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def trial(phase: TrialPhase, started_at: datetime | None = NOW, *arguments: str) -> Trial:
    return Trial(
        metadata=ObjectMeta(name="short-0-1"),
        spec=TrialSpec(study="short", number=0, purpose=Purpose.PRODUCTION),
        status=TrialStatus(phase=phase, started_at=started_at, arguments=list(arguments)),
    )


@pytest.mark.parametrize("phase", TrialPhase)
def test_begun(phase: TrialPhase):
    assert begun(trial(phase)) == (phase in {TrialPhase.STARTING, TrialPhase.LOADING})


@pytest.mark.parametrize(
    ("seconds", "arguments", "cost"), [(0, [], 0), (100, [], 100), (100, ["-tp", "4"], 400), (-5, [], 0)]
)
def test_gpu_time_until_the_server_was_last_seen(seconds: int, arguments: list[str], cost: int):
    ended = cancelled(trial(TrialPhase.LOADING, NOW, *arguments), NOW + timedelta(seconds=seconds), "why").status
    assert (ended.phase, ended.outcome, ended.message) == (TrialPhase.FINISHED, Outcome.CANCELLED, "why")
    assert ended.gpu_seconds == cost
    assert ended.finished_at == NOW + timedelta(seconds=max(seconds, 0))


def test_never_started():
    ended = cancelled(trial(TrialPhase.STARTING, None), NOW, "why").status
    assert (ended.gpu_seconds, ended.finished_at) == (0, NOW)
