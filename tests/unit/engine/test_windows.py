"""Windows open by the clock of their zone and last in elapsed time, over both changes of the clocks."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import Window
from sloguard.engine.windows import WindowError, hours


def window(schedule="0 1 * * *", minutes=300, zone="Europe/Paris"):
    return Window(schedule=schedule, duration_minutes=minutes, time_zone=zone)


def is_open(windows, now):
    return hours(windows, now).is_open


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_without_windows_it_is_always_open():
    assert is_open([], utc("2026-07-01T00:00"))


@pytest.mark.parametrize(
    ("now", "open_now"),
    [
        ("2026-01-10T23:59:59", False),
        ("2026-01-11T00:00:00", True),
        ("2026-01-11T00:00:00.500", True),
        ("2026-01-11T04:59:59", True),
        ("2026-01-11T05:00:00", False),
        ("2026-07-10T22:59:59", False),
        ("2026-07-10T23:00:00", True),
        ("2026-07-11T04:00:00", False),
    ],
)
def test_an_opening_is_by_the_clock_of_the_zone_and_its_end_is_left_out(now, open_now):
    assert is_open([window()], utc(now)) is open_now


@pytest.mark.parametrize(
    ("now", "open_now"),
    [
        # Paris, 29 March 2026: 01:00 is 00:00 UTC, and at 02:00 the clocks go to 03:00. Five hours end at 07:00 there.
        ("2026-03-29T00:00", True),
        ("2026-03-29T04:59", True),
        ("2026-03-29T05:00", False),
        # 25 October 2026: 01:00 is 23:00 UTC of the day before, and at 03:00 the clocks go back. They end at 05:00.
        ("2026-10-24T22:59", False),
        ("2026-10-24T23:00", True),
        ("2026-10-25T03:59", True),
        ("2026-10-25T04:00", False),
    ],
)
def test_five_hours_are_five_hours_when_the_clocks_change(now, open_now):
    assert is_open([window()], utc(now)) is open_now


def test_an_hour_that_the_clocks_leave_out_opens_all_the_same():
    left_out = [window("30 2 * * *", 60)]
    minutes = [utc("2026-03-28T23:00") + timedelta(minutes=m) for m in range(6 * 60)]
    assert sum(is_open(left_out, m) for m in minutes) == 60


def test_several_windows_add_up():
    both = [window("0 1 * * *", 60, "Etc/UTC"), window("0 13 * * *", 60, "Etc/UTC")]
    assert is_open(both, utc("2026-01-01T01:30"))
    assert is_open(both, utc("2026-01-01T13:30"))
    assert not is_open(both, utc("2026-01-01T12:59"))


def test_a_window_may_reach_into_the_next_days():
    weekend = [window("0 20 * * FRI", 60 * 60, "Etc/UTC")]
    assert is_open(weekend, utc("2026-01-05T07:59"))
    assert not is_open(weekend, utc("2026-01-05T08:00"))


def test_a_day_that_is_rare_is_found():
    leap = [window("0 0 29 2 *", 60, "Etc/UTC")]
    assert is_open(leap, utc("2024-02-29T00:30"))
    assert not is_open(leap, utc("2026-02-28T00:30"))


def test_a_schedule_that_cannot_be_followed_is_named_even_while_another_is_open():
    always = window("* * * * *", 60)
    with pytest.raises(WindowError, match="31/2"):
        is_open([always, window("0 0 31/2 2 *")], utc("2026-01-01T00:00"))


@given(
    now=st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    zone=st.sampled_from(["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Etc/UTC"]),
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    minutes=st.integers(1, 1440),
)
def test_on_every_day_a_daily_window_is_open_for_its_length(now, zone, minute, hour, minutes):
    daily = [window(f"{minute} {hour} * * *", minutes, zone)]
    step = timedelta(minutes=30)
    opened = sum(is_open(daily, now + step * n) for n in range(-96, 97))
    assert abs(opened * 30 - minutes * 4) <= 4 * 30 + 120
