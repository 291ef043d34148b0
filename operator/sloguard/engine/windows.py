"""Whether a trial may start now, by the study's time windows. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from sloguard.api.v1alpha1 import Window


class WindowError(ValueError):
    """A schedule that admission let pass and that cannot be followed all the same; the message says what to write."""


def is_open(windows: Sequence[Window], now: datetime) -> bool:
    """True within any window, and always where there are none.

    Raises:
        WindowError: a schedule cannot be understood.

    """
    opened = [_contains(window, now) for window in windows]  # all, to tell of a wrong one while another is open
    return not windows or any(opened)


def _contains(window: Window, now: datetime) -> bool:
    """From an opening (included) for the window's duration (not included), in elapsed time whatever the clocks do."""
    opened = _last_opening(window, now)
    return opened is not None and now - opened < timedelta(minutes=window.duration_minutes)


def _last_opening(window: Window, now: datetime) -> datetime | None:
    """None where the schedule never came in the 50 years before."""
    local = now.astimezone(ZoneInfo(window.time_zone))
    try:
        # One second on, because the search backwards leaves its own start out.
        opened = next(CronSim(window.schedule, local + timedelta(seconds=1), reverse=True), None)
    except CronSimError as error:
        message = f'spec.windows schedule "{window.schedule}" cannot be followed ({error}); write it in another way'
        raise WindowError(message) from error
    return None if opened is None else opened.astimezone(now.tzinfo)
