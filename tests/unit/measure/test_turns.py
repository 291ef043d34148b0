"""Several generators begin each window together, send every request once, and are never quietly late."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from sloguard.measure import timetable as timetable_module
from sloguard.measure.load import run_load
from sloguard.measure.merge import merge
from sloguard.measure.request import LoadRequest
from sloguard.measure.timetable import LATE, PAUSE, timetable, too_late, whole_seconds
from sloguard.measure.turns import Turns
from tests.unit.measure.fake_server import a_request, a_workload

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def after(*seconds):
    return [NOW + timedelta(seconds=value) for value in seconds]


def test_the_timetable():
    pause = PAUSE.total_seconds()
    workload = a_workload(warmup_seconds=5, duration_seconds=10, drain_seconds=3, sweep_percent=[100, 50], generators=2)
    slots = list(timetable(workload, NOW))
    assert [slot.starts_at for slot in slots] == after(0, 8 + pause, 21 + 2 * pause)
    assert [slot.ends_at for slot in slots] == after(8, 21 + pause, 34 + 2 * pause)
    assert slots[-1].ends_at <= NOW + timedelta(seconds=whole_seconds(workload))


def test_no_warm_up_has_no_slot():
    assert [slot.starts_at for slot in timetable(a_workload(), NOW)] == [NOW]


def test_a_window_that_has_begun_is_too_late():
    (slot,) = timetable(a_workload(), NOW)
    assert too_late(slot, NOW - timedelta(hours=1)) is None
    assert too_late(slot, NOW + LATE) is None
    assert too_late(slot, NOW + timedelta(seconds=2.5)).startswith("was 2.5 s late")


@pytest.fixture
def hasty(monkeypatch):
    """Nothing has to be summed for long here."""
    monkeypatch.setattr(timetable_module, "PAUSE", timedelta(milliseconds=300))
    monkeypatch.setattr(timetable_module, "LATE", timedelta(seconds=60))


def of_generator(request, number, starts_at):
    return LoadRequest(**dict(request) | {"generator": number, "starts_at": starts_at})


@pytest.mark.usefixtures("hasty")
async def test_all_shares_are_the_whole_load(server):
    request = a_request(server, sweep_percent=[100, 50], generators=3)
    alone = await run_load(request)
    whole, server.bodies = sorted(server.bodies), []
    starts_at = datetime.now(UTC) + timedelta(seconds=0.5)
    parts = await asyncio.gather(*(run_load(of_generator(request, number, starts_at)) for number in range(3)))
    assert sorted(server.bodies) == whole
    assert [[rate.sent for rate in part.rates] for part in parts] == [[7, 7], [7, 7], [6, 6]]
    merged = merge(parts, 3)
    assert merged.invalid is None
    for found, exact in zip(merged.rates, alone.rates, strict=True):
        assert (found.sent, found.good, found.good_tokens) == (exact.sent, exact.good, exact.good_tokens)
        assert (found.requests_per_minute, found.slos_met) == (exact.requests_per_minute, exact.slos_met)
        assert found.good_tokens_interval == exact.good_tokens_interval
    for part in parts:
        assert part.started_at < starts_at < part.finished_at


@pytest.mark.usefixtures("hasty")
async def test_only_the_first_generator_reads_the_servers_counters(server):
    asked = []
    answer = server.metrics

    async def metrics(request):
        asked.append(request)
        return await answer(request)

    server.metrics = metrics
    request = a_request(server, generators=2)
    starts_at = datetime.now(UTC)
    await run_load(of_generator(request, 1, starts_at))
    by_the_second = len(asked)
    await run_load(of_generator(request, 0, starts_at))
    assert len(asked) - by_the_second == by_the_second + 2


async def test_a_late_generator_measures_nothing_and_says_so(server):
    request = a_request(server, generators=2)
    result = await run_load(of_generator(request, 1, datetime.now(UTC) - timedelta(seconds=30)))
    assert result.rates == []
    assert "s late for a window that all generators begin together" in result.invalid
    assert server.bodies == []


@pytest.mark.usefixtures("hasty")
async def test_all_rates_run_although_a_share_looks_overwhelmed(server):
    async def refuse(request):
        return await server.models(request)

    server.answer = refuse
    request = a_request(server, sweep_percent=[50, 100], generators=2)
    alone = await run_load(request)
    assert [rate.rate_percent for rate in alone.rates] == [50]
    part = await run_load(of_generator(request, 0, datetime.now(UTC)))
    assert [rate.rate_percent for rate in part.rates] == [50, 100]


@pytest.mark.parametrize(
    ("number", "starts_at", "said"),
    [
        (2, NOW, "one of 0 to 1"),
        (0, None, "startsAt has to name the moment"),
    ],
)
async def test_a_generator_has_to_be_one_of_them(server, number, starts_at, said):
    with pytest.raises(ValidationError, match=said):
        of_generator(a_request(server, generators=2), number, starts_at)


async def test_each_takes_every_so_manieth(server):
    request = a_request(server, generators=3)
    assert list(Turns(request).share(range(7))) == list(range(7))
    shares = [list(Turns(of_generator(request, number, NOW)).share(range(7))) for number in range(3)]
    assert shares == [[0, 3, 6], [1, 4], [2, 5]]
