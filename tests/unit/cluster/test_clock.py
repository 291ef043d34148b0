"""The API server's time, whatever is done to the machine's own clock."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sloguard.cluster import clock

TRUE = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Machine:
    """Its clock is off by so many seconds; `passed` is the time that truly passed."""

    def __init__(self, monkeypatch):
        self.passed = 0.0
        monkeypatch.setattr(clock, "elapsed_seconds", lambda: 1000 + self.passed)
        monkeypatch.setattr(clock, "_heard", clock._Heard())

    def ask(self, way_seconds=0.1):
        """The API server writes its date halfway."""
        asked = clock.elapsed_seconds()
        date = format_datetime(self.true + timedelta(seconds=way_seconds / 2), usegmt=True)
        self.passed += way_seconds
        clock.hear(date, asked)

    @property
    def true(self):
        return TRUE + timedelta(seconds=self.passed)

    @property
    def error_seconds(self):
        return (clock.now() - self.true).total_seconds()


@given(st.lists(st.floats(0, 10_000), min_size=1, max_size=20), st.floats(0, 5))
def test_it_is_right_to_a_second_and_an_answers_way(pauses, way_seconds):
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(patch)
        for pause in pauses:
            machine.ask(way_seconds)
            assert abs(machine.error_seconds) <= 1 + way_seconds
            machine.passed += pause
            assert abs(machine.error_seconds) <= 1 + way_seconds


def test_it_does_not_go_back_while_answers_agree(monkeypatch):
    machine, before = Machine(monkeypatch), TRUE
    machine.ask()
    for _ in range(200):
        machine.passed += 0.037
        machine.ask(0.01)
        assert clock.now() >= before
        before = clock.now()


def test_what_is_no_date_changes_nothing(monkeypatch):
    machine = Machine(monkeypatch)
    machine.ask()
    clock.hear("", 0.0)
    clock.hear("soon", 0.0)
    assert abs(machine.error_seconds) <= 1.1


def test_before_any_answer_it_is_the_machines(monkeypatch):
    Machine(monkeypatch)
    assert abs((clock.now() - datetime.now(UTC)).total_seconds()) < 60
