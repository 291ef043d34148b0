"""Conditions as Kubernetes' conventions have them; Ready, Reconciling and Stalled follow kstatus. Pure."""

from datetime import datetime

from sloguard.api.v1alpha1 import ConditionStatus, StatusCondition


def with_condition(
    conditions: list[StatusCondition],
    kind: str,
    holds: bool,
    reason: str,
    message: str,
    generation: int | None,
    now: datetime,
) -> list[StatusCondition]:
    """Set one condition; its transition time moves only when its status does."""
    status = ConditionStatus.TRUE if holds else ConditionStatus.FALSE
    before = next((c for c in conditions if c.type == kind), None)
    message = message[:4096]
    if before is not None and _is_said(before) == (status, generation, reason, message):
        return conditions
    since = before.last_transition_time if before is not None and before.status is status else now
    new = StatusCondition(
        type=kind,
        status=status,
        observed_generation=generation,
        last_transition_time=since,
        reason=reason,
        message=message,
    )
    if before is None:
        return [*conditions, new]
    return [new if c.type == kind else c for c in conditions]


def _is_said(by: StatusCondition) -> tuple[ConditionStatus, int | None, str, str]:
    return by.status, by.observed_generation, by.reason, by.message
