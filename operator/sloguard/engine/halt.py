"""Why trials under way are ended before they come to their own end, and when that will be so. Pure."""

import math
from datetime import datetime

from sloguard.api.v1alpha1 import StudySpec
from sloguard.engine import budget
from sloguard.engine.known import Ground, latest_attempts
from sloguard.engine.snapshot import Snapshot, TargetProblem
from sloguard.engine.windows import ALWAYS_OPEN, Hours, WindowError, hours


def halted(snapshot: Snapshot, ground: Ground | TargetProblem, now: datetime) -> tuple[str, str]:
    """Why no trial may go on, and why none may that has not begun; empty where it may."""
    spec = snapshot.study.spec
    if spec.suspend:
        return ("the study was suspended",) * 2
    if isinstance(ground, TargetProblem):
        return (f"{ground.reason}: {ground.message}",) * 2
    used = budget.spent(snapshot, snapshot.trials, latest_attempts(snapshot.trials), now)
    ended = budget.exhausted(spec, used)
    if ended:
        return (ended,) * 2
    found = hours_of(spec, now)
    if found.is_open:
        return "", ""
    closed = "the window closed (onClose Stop); it is made again in the next one" if found.stops else ""
    return closed, closed or "the window closed before it began"


def hours_of(spec: StudySpec, now: datetime) -> Hours:
    """Always open where a schedule cannot be followed: the study says so, and what runs may end well."""
    try:
        return hours(spec.windows, now)
    except WindowError:
        return ALWAYS_OPEN


def seconds_until_halt(spec: StudySpec, used: budget.Spent, now: datetime) -> float:
    """Until what is under way has to be ended, as far as that can be foreseen."""
    found = hours_of(spec, now)
    closing = found.changes_at if found.is_open and found.stops else None
    return min(budget.seconds_left(spec, used), math.inf if closing is None else (closing - now).total_seconds())
