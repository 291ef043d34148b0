"""Why trials under way are ended before they come to their own end, and when that will be so. Pure."""

import math
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from sloguard.api.v1alpha1 import StudySpec
from sloguard.engine import budget
from sloguard.engine.known import Ground
from sloguard.engine.same import Same
from sloguard.engine.snapshot import Snapshot, TargetProblem
from sloguard.engine.windows import ALWAYS_OPEN, Hours, WindowError, hours


@dataclass(frozen=True, slots=True)
class Halt:
    """Why no trial may go on, and why none may begin that was recorded before; empty where it may."""

    under_way: str = ""
    unbegun: str = ""


def halt(snapshot: Snapshot, ground: Ground | TargetProblem, now: datetime) -> Halt:
    """By what the study says now; what a trial has come to is not asked."""
    spec = snapshot.study.spec
    if spec.suspend:
        why = "the study was suspended"
    elif isinstance(ground, TargetProblem):
        why = f"{ground.reason}: {ground.message}"
    else:
        used = budget.spent(snapshot, snapshot.trials, now)
        why = budget.exhausted(spec, used)
    found = hours_of(spec, now)
    if why or found.is_open:
        return Halt(why, why)
    if found.stops:
        why = "the window closed (onClose Stop); it is made again in the next one"
    return Halt(why, why or "the window closed before it began; it is made in the next one")


def hours_of(spec: StudySpec, now: datetime) -> Hours:
    """Always open where a schedule cannot be followed: the study says so, and what runs may end well."""
    return _hours(Same(spec), now) if spec.windows else ALWAYS_OPEN


@lru_cache(maxsize=8)
def _hours(spec: Same[StudySpec], now: datetime) -> Hours:
    """Asked for several times in each plan."""
    try:
        return hours(spec.it.windows, now)
    except WindowError:
        return ALWAYS_OPEN


def seconds_until_halt(spec: StudySpec, used: budget.Spent, now: datetime) -> float:
    """Until what is under way has to be ended, as far as that can be foreseen."""
    found = hours_of(spec, now)
    closing = found.changes_at if found.is_open and found.stops else None
    return min(budget.seconds_left(spec, used), math.inf if closing is None else (closing - now).total_seconds())
