"""Whether a trial may start now, by the study's time windows. Pure."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim

from sloguard.api.v1alpha1 import Window


def is_open(windows: list[Window], now: datetime) -> bool:
    """True within any window, and always where there are none."""
    return not windows or any(_contains(window, now) for window in windows)


def _contains(window: Window, now: datetime) -> bool:
    """A window lasts from its opening for its duration, in elapsed time, whatever the clocks do meanwhile."""
    duration = timedelta(minutes=window.duration_minutes)
    local = now.astimezone(ZoneInfo(window.time_zone))
    opened = next(CronSim(window.schedule, local + timedelta(seconds=1), reverse=True), None)
    return opened is not None and now - opened.astimezone(now.tzinfo) < duration
