"""A trial's condition Waiting: what its server waits for before it runs, and since when. Pure.

It stands in the trial's record, so that patience for one thing begins when the wait for it does, whatever was waited
for before, and an operator's restart does not begin it anew.
"""

from datetime import datetime
from typing import Final

from sloguard.api.v1alpha1 import ConditionStatus, StatusCondition, TrialStatus
from sloguard.engine.conditions import with_condition

WAITING: Final = "Waiting"


def waits_for(status: TrialStatus, reason: str, said: str, now: datetime) -> tuple[datetime, TrialStatus]:
    """Since when, and the status that says so. Written once for a reason, however often its words change.

    The first wait is since the server was asked for; what has no words of its own is not worth a write then.
    """
    before = _of(status)
    if before is not None and before.reason == reason:
        return before.last_transition_time, status
    if before is None and not said:
        return status.started_at or now, status
    since = now if before is not None else status.started_at or now
    new = StatusCondition(
        type=WAITING,
        status=ConditionStatus.TRUE,
        last_transition_time=since,
        reason=reason,
        message=said or "the server's container does not run yet",
    )
    others = [c for c in status.conditions if c.type != WAITING]
    return since, status.model_copy(update={"conditions": [*others, new]})


def waits_no_more(status: TrialStatus, now: datetime) -> TrialStatus:
    """Its server runs, or has to be asked for again."""
    if _of(status) is None:
        return status
    conditions = with_condition(status.conditions, WAITING, False, "Over", "", None, now)
    return status.model_copy(update={"conditions": conditions})


def _of(status: TrialStatus) -> StatusCondition | None:
    """The condition, where it holds."""
    held = (c for c in status.conditions if c.type == WAITING and c.status is ConditionStatus.TRUE)
    return next(held, None)
