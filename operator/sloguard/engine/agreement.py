"""Whether client and server agree on a trial's figures: condition MetricsDisagree. Pure."""

from collections.abc import Sequence
from datetime import datetime

from sloguard.api.v1alpha1 import ConditionStatus, RateMeasurement, StatusCondition, Trial
from sloguard.domain.disagreement import explain
from sloguard.engine.actions import Event, EventType
from sloguard.engine.conditions import with_condition

METRICS_DISAGREE = "MetricsDisagree"


def with_agreement(
    conditions: list[StatusCondition], rates: Sequence[RateMeasurement], now: datetime
) -> list[StatusCondition]:
    """The trial's conditions with what the cross-check found; as they are where there was nothing to compare."""
    compared = [rate for rate in rates if rate.server_view is not None and not rate.lower_bounds]
    if not compared:
        return conditions
    apart = [
        (rate.rate_percent, one)
        for rate in compared
        for one in (rate.server_view.disagreements if rate.server_view else ())
    ]
    if not apart:
        percents = ", ".join(f"{rate.rate_percent} %" for rate in compared)
        message = f"client and server agree at {percents}, as far as the server's histograms tell"
        return with_condition(conditions, METRICS_DISAGREE, False, "WithinBounds", message, None, now)
    message = "; ".join(f"at {percent} %: {explain(one)}" for percent, one in apart)
    reason = apart[0][1].part.value
    return with_condition(conditions, METRICS_DISAGREE, True, reason, message, None, now)


def disagreement_event(trial: Trial) -> Event | None:
    """For people: the figures of this trial are to be taken with care."""
    found = next((c for c in trial.status.conditions if c.type == METRICS_DISAGREE), None)
    if found is None or found.status is not ConditionStatus.TRUE:
        return None
    message = f"Trial {trial.name}: {found.message}"
    return Event(f"{trial.name}-metrics-disagree", METRICS_DISAGREE, message, EventType.WARNING)
