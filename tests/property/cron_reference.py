"""When a cron schedule opens, found minute by minute of real time: slow, and independent of any cron library."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


def openings(schedule: str, zone: str, since: datetime, until: datetime) -> set[datetime]:
    """Debian's cron: a time of the day that is left out comes right after the gap, one that comes twice, once.

    Schedules with a star for minute or hour go by the clock alone. `since` is included, `until` is not.
    """
    minutes, hours, *_ = schedule.split(" ")
    by_clock = minutes.startswith("*") or hours.startswith("*")
    place, found = ZoneInfo(zone), set()
    # A gap may have begun before, and a first occurrence lie there.
    moment, shown_before = since - timedelta(hours=3), None
    while moment < until:
        local = moment.astimezone(place).replace(tzinfo=None)
        shown = [local]
        if not by_clock and shown_before is not None:
            # All that the clocks ought to have shown since the minute before: nothing where they were set back.
            shown = [shown_before + n * MINUTE for n in range(1, (local - shown_before) // MINUTE + 1)]
        if any(_matches(schedule, each) for each in shown):
            found.add(moment)
        shown_before = local if by_clock or shown_before is None else max(local, shown_before)
        moment += MINUTE
    return {moment for moment in found if moment >= since}


def _matches(schedule: str, local: datetime) -> bool:
    minute, hour, day, month, weekday = schedule.split(" ")
    dates = [_within(day, local.day, 1, 31), _within(weekday, local.isoweekday() % 7, 0, 6)]
    date = all(dates) if day.startswith("*") or weekday.startswith("*") else any(dates)
    times = _within(minute, local.minute, 0, 59), _within(hour, local.hour, 0, 23), _within(month, local.month, 1, 12)
    return date and all(times)


def _within(field: str, value: int, least: int, most: int) -> bool:
    """Lists, ranges, stars and steps of numbers."""
    for item in field.split(","):
        span, _, step = item.partition("/")
        first, _, last = (f"{least}-{most}" if span == "*" else span).partition("-")
        end = int(last or (most if step else first))
        if value in range(int(first), end + 1, int(step or 1)):
            return True
    return False


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
