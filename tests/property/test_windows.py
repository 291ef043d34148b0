"""Windows against a reference that asks every minute, around the days on which clocks change."""

from datetime import timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import OnClose, Window
from sloguard.engine.windows import hours
from tests.property.cron_reference import MINUTE, openings, utc

CHANGES = {
    "Europe/Paris": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "America/New_York": ["2026-03-08T07:00", "2026-11-01T06:00"],
    "Australia/Lord_Howe": ["2026-04-04T15:00", "2026-10-03T15:30"],
    "Antarctica/Troll": ["2026-03-29T01:00", "2026-10-25T01:00"],
    "Asia/Kathmandu": ["2026-03-29T01:00"],
    "Etc/UTC": ["2026-03-01T00:00"],
}


def field(most, *more):
    number = st.integers(0, most)
    items = st.one_of(
        number.map(str), st.tuples(number, number).map(lambda n: f"{min(n)}-{max(n)}"), *map(st.just, more)
    )
    return st.lists(items, min_size=1, max_size=2).map(",".join)


SCHEDULES = st.one_of(
    st.builds("{} {} * * *".format, field(59, "30", "0"), field(5, "2", "1-3", "2-3")),
    st.builds(
        "{} {} * * *".format, st.sampled_from(["*", "*/15", "0", "30", "5/20"]), st.sampled_from(["*", "*/2", "2"])
    ),
    st.builds("{} {} * * {}".format, field(59), field(23), field(6)),
    st.builds("{} {} {} {} *".format, field(59), field(23), st.sampled_from(["1", "28-31", "25,29"]), st.just("3-11")),
)


@st.composite
def around_a_change(draw):
    zone = draw(st.sampled_from([*CHANGES]))
    change = utc(draw(st.sampled_from(CHANGES[zone])))
    given = [
        Window(schedule=draw(SCHEDULES), duration_minutes=draw(LENGTHS), time_zone=zone, on_close=draw(ENDS))
        for _ in range(draw(st.integers(1, 2)))
    ]
    return given, change + timedelta(seconds=draw(st.integers(-8 * 3600, 8 * 3600)))


LENGTHS = st.one_of(st.integers(1, 90), st.integers(1, 1440))
ENDS = st.sampled_from([*OnClose])

ONE_AFTER_THE_OTHER = Window(
    schedule="* */2 * * *", duration_minutes=1, time_zone="Europe/Paris", on_close=OnClose.STOP
)
"""Some sixty windows that follow each other without a gap, and then one."""


@settings(max_examples=60, deadline=None)
@given(around_a_change())
@example(([ONE_AFTER_THE_OTHER], utc("2026-10-25T01:00")))
def test_windows_open_and_close_when_the_reference_says(case):
    windows, now = case
    since, until = now - timedelta(days=1, minutes=1), now + timedelta(days=1)
    spans = [
        (opened, opened + w.duration_minutes * MINUTE, w.on_close)
        for w in windows
        for opened in openings(w.schedule, w.time_zone, since.replace(second=0), until)
    ]
    found = hours(windows, now)
    is_open = any(start <= now < end for start, end, _ in spans)
    assert found.is_open == is_open
    if is_open:
        closing = now
        while within := [end for start, end, _ in spans if start <= closing < end]:
            closing = max(within)
        if closing < until:
            assert found.changes_at == closing
            assert found.stops == any(end == closing and how is OnClose.STOP for _, end, how in spans)
        return
    to_come = [start for start, _, _ in spans if start > now]
    assert found.changes_at == min(to_come, default=found.changes_at)
    assert to_come or found.changes_at is None or found.changes_at >= until
    past = [(end, how) for _, end, how in spans if end <= now]
    if past:
        last = max(end for end, _ in past)
        assert found.stops == any(end == last and how is OnClose.STOP for end, how in past)
