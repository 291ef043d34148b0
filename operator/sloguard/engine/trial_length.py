"""How long a trial will probably be under way, before one begins in a window that would stop it. Pure.

The budget's expectation, the mean of what was measured, says nothing before the first trial has ended. Until then the
load's own length is the least that is needed; and an attempt that a window cut short was not at its end by then.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from sloguard.api.v1alpha1 import Outcome, Trial
from sloguard.domain.score import MEASURED
from sloguard.engine.known import Known
from sloguard.measure.timetable import measuring_seconds

CUTS = 2
"""Attempts cut short in a row that say how long is too short: a first one may have waited for an image."""

MORE_THAN_CUT = 1.1
"""What was cut short needs at least a tenth more, or the next attempt would only be cut a little later."""


@dataclass(frozen=True, slots=True)
class Needed:
    """At least so long, and how that is known, in a sentence's part."""

    length: timedelta
    why: str


def needed(known: Known) -> Needed:
    """By the greatest of what is known."""
    measured = any(t.status.outcome in MEASURED for t in known.trials)
    load = 0 if measured else measuring_seconds(known.study.spec.workload)
    found = [
        Needed(timedelta(seconds=known.used.a_trial_seconds), "a trial takes about {}"),
        Needed(timedelta(seconds=load), "a trial's load alone takes {}"),
        *_cut_short(known),
    ]
    longest = max(found, key=lambda each: each.length)
    return Needed(longest.length, longest.why.format(_minutes(longest.length)))


def _cut_short(known: Known) -> Iterable[Needed]:
    """Of the trials that have to be made again."""
    for owed in known.latest:
        if owed.status.outcome is Outcome.CANCELLED:
            attempts = sorted((t for t in known.trials if t.spec.number == owed.spec.number), key=_attempt)[-CUTS:]
            lengths = [_ran(t) for t in attempts]
            if len(lengths) == CUTS and all(lengths):
                cut = min(lengths)
                why = f"{CUTS} attempts of {owed.name.rpartition('-')[0]} were cut short after {_minutes(cut)} or more"
                yield Needed(cut * MORE_THAN_CUT, why)


def _attempt(trial: Trial) -> int:
    return trial.spec.attempt


def _ran(trial: Trial) -> timedelta:
    """How long an attempt that was ended before its end had gone on; nothing where its server never ran."""
    status = trial.status
    if status.outcome is not Outcome.CANCELLED or not status.gpu_seconds:
        return timedelta()
    return status.finished_at - status.started_at if status.started_at and status.finished_at else timedelta()


def _minutes(length: timedelta) -> str:
    seconds = length.total_seconds()
    return f"{seconds:.0f} seconds" if seconds < 120 else f"{seconds / 60:.0f} minutes"
