"""Whether trials may start now, by the study's time windows, when that changes, and whether it ends them. Pure.

A schedule is read as cron reads it (Debian's): an hour that the clocks leave out opens right after the gap, one that
comes twice opens the first time, unless minute or hour is a `*`, which goes by elapsed time. A window lasts in elapsed
time, whatever the clocks do. Where windows overlap, the last of them to close is the one that counts.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from heapq import merge
from itertools import islice
from operator import itemgetter
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from sloguard.api.v1alpha1 import OnClose, Window

IN_SIGHT = timedelta(days=3)
"""So far ahead windows that follow each other without a gap are looked through for one."""

ONE_DAY = timedelta(days=1)


class WindowError(ValueError):
    """A schedule that admission let pass and that cannot be followed all the same; the message says what to write."""


@dataclass(frozen=True, slots=True)
class Hours:
    """What the windows say of one moment.

    `changes_at` is when they next close, or open; None where that is not in sight. `stops` says that running trials
    are ended when they close, or, once they are closed, have been.
    """

    is_open: bool
    changes_at: datetime | None = None
    stops: bool = False


ALWAYS_OPEN = Hours(is_open=True)


def hours(windows: Sequence[Window], now: datetime) -> Hours:
    """Of this moment; without windows it is always open.

    Raises:
        WindowError: a schedule cannot be followed.

    """
    if not windows:
        return ALWAYS_OPEN
    last = [(opened + _length(w), w) for w in windows if (opened := _last_opening(w, now)) is not None]
    closing = max((end for end, _ in last), default=None)
    stops = any(end == closing and w.on_close is OnClose.STOP for end, w in last)
    if closing is None or closing <= now:
        openings = [opening for w in windows if (opening := next(_openings(w, now), None)) is not None]
        return Hours(False, min(openings, default=None), stops)
    return _open(windows, now, closing, stops)


def longest(windows: Sequence[Window], now: datetime) -> timedelta:
    """Of the windows, each by itself, and the next one to open, together with those that it runs into."""
    alone = max(map(_length, windows), default=timedelta.max)
    closing = now if not (present := hours(windows, now)).is_open else present.changes_at
    opening = None if closing is None else hours(windows, closing).changes_at
    end = None if opening is None else hours(windows, opening).changes_at
    if opening is None:
        return alone
    return timedelta.max if end is None else max(alone, end - opening)


def _open(windows: Sequence[Window], now: datetime, closing: datetime, stops: bool) -> Hours:
    """On through windows that open before the others are closed."""
    for opening, window in merge(*(_with(w, _openings(w, now)) for w in windows), key=itemgetter(0)):
        if opening > closing:
            break
        if opening > now + IN_SIGHT:
            return Hours(True)
        end, stop = opening + _length(window), window.on_close is OnClose.STOP
        if end >= closing:
            stops = stop or (stops and end == closing)
            closing = end
    return Hours(True, closing, stops)


def _with(window: Window, openings: Iterator[datetime]) -> Iterator[tuple[datetime, Window]]:
    return ((opening, window) for opening in openings)


def _length(window: Window) -> timedelta:
    return timedelta(minutes=window.duration_minutes)


def _last_opening(window: Window, now: datetime) -> datetime | None:
    """Now included. None where the schedule never came in the 50 years before."""
    past = (day[bisect_right(day, now) - 1] for day in _days(window, now, reverse=True) if day and day[0] <= now)
    # Where clocks are set back over midnight, two days are mixed.
    return max(islice(past, 2), default=None)


def _openings(window: Window, now: datetime) -> Iterator[datetime]:
    """In their order, now left out; nothing where the schedule never comes in the next 50 years."""
    held: Sequence[datetime] = ()
    for day in _days(window, now, reverse=False):
        later = day[bisect_right(day, now) :]
        if later:
            # Where clocks are set back over midnight, two days are mixed.
            yield from (opening for opening in held if opening <= later[0])
            held = sorted({*later, *(opening for opening in held if opening > later[0])})
    yield from held


def _days(window: Window, now: datetime, *, reverse: bool) -> Iterator[Sequence[datetime]]:
    """The openings of each day that the schedule names, from the day after now backwards or from the day before on."""
    zone = ZoneInfo(window.time_zone)
    midnight = datetime.combine(now.astimezone(zone).date(), time())
    days = " ".join(["0", "0", *window.fields[2:]])
    day = midnight + 2 * ONE_DAY if reverse else midnight - 2 * ONE_DAY
    try:
        while (beyond := _day_beyond(day, days, reverse=reverse)) is not None:
            yield _openings_on(beyond, window.schedule, zone)
            day = beyond
    except CronSimError as error:
        message = f'spec.windows schedule "{window.schedule}" cannot be followed ({error}); write it in another way'
        raise WindowError(message) from error


@lru_cache(maxsize=1024)
def _day_beyond(day: datetime, days: str, *, reverse: bool) -> datetime | None:
    """The next midnight, without a zone: what the clocks do within days is worked out elsewhere."""
    return next(CronSim(days, day, reverse=reverse), None)


@lru_cache(maxsize=1024)
def _openings_on(day: datetime, schedule: str, zone: ZoneInfo) -> Sequence[datetime]:
    parsed = CronSim(schedule, day)
    by_clock = any(field.startswith("*") for field in schedule.split(" ")[:2])
    shown = [day.replace(hour=hour, minute=minute) for hour in parsed.hours for minute in parsed.minutes]
    return sorted({moment for each in shown for moment in (_by_clock if by_clock else _once)(each, zone)})


def _by_clock(shown: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """Each time that the clocks show it: once, twice or never."""
    for fold in (0, 1):
        moment = shown.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None, fold=0) == shown:
            yield moment


def _once(shown: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The first time that the clocks show it; right after the gap where they leave it out."""
    while (moment := next(_by_clock(shown, zone), None)) is None:
        shown += timedelta(minutes=1)
    yield moment
