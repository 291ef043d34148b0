"""Signs of life of servers that are measured by live traffic, read from the servers themselves.

No client of the study's sees such a server stand still, and Prometheus' scrapes are up to a minute apart. All that is
read here is a help: it is lost with the operator, which then reads anew. A server that cannot be reached from the
operator is judged by Prometheus alone.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

import aiohttp

from sloguard.cluster import clock
from sloguard.cluster.objects import Object, section
from sloguard.cluster.per_pod import Key, PerPod
from sloguard.domain.increments import Point, Series, Timeline
from sloguard.domain.server_view import OPEN_GAUGES
from sloguard.domain.standstill import SIGNS, standstill_since
from sloguard.measure.scrape import scrape

logger = logging.getLogger("sloguard.signs")

READ_SECONDS: Final = 2.0
"""Between two readings: with 25 s of standstill, a hang is known of before 30 s have passed."""

UNREACHED_SECONDS: Final = 30.0
"""Until one is tried again that gave no answer."""

STALE_SECONDS: Final = 10.0
"""A last reading that is older says nothing of now."""

OF_USE: Final = frozenset({*SIGNS, *OPEN_GAUGES})


@dataclass(frozen=True, slots=True)
class Watched:
    """A server's pod, where its /metrics are, and how long it may stand still."""

    study: Key
    uid: str
    url: str
    standstill_seconds: float


@dataclass(slots=True)
class Readings:
    """Of one server: each sign's values, with the times in seconds since 1970 by the API server's clock."""

    timeline: dict[Series, list[Point]] = field(default_factory=dict[Series, list[Point]])
    last_at: float = 0.0

    def add(self, samples: dict[Series, float], at: float, *, since: float) -> None:
        """What is older than `since` is dropped."""
        self.last_at = at
        for series, value in samples.items():
            points = self.timeline.setdefault(series, [])
            points.append((at, value))
            del points[: sum(moment < since for moment, _ in points)]


class ServerSigns:
    """All readings of one operator. `wake` is told of the study whose server is found standing still."""

    def __init__(self, wake: Callable[[Key], None], read_seconds: float = READ_SECONDS) -> None:
        self._wake = wake
        self._read_seconds = read_seconds
        self._readings: PerPod[Readings] = PerPod()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        if self._session is not None:
            await self._session.close()

    def follow(self, of: Watched) -> None:
        """Begin, unless it has begun."""
        if of.uid not in self._readings:
            readings = Readings()
            self._readings.begin(of.uid, readings, self._run(of, readings), f"signs of {of.url}")

    def timeline(self, uid: str) -> Timeline | None:
        """What was read of a pod so far; None where nothing was, or not lately."""
        readings = self._readings.get(uid)
        if readings is None or clock.now().timestamp() - readings.last_at > STALE_SECONDS:
            return None
        return readings.timeline

    def keep(self, study: Key, uids: list[str]) -> None:
        """Of this study's pods only these are of interest any more."""
        self._readings.keep(study, uids)

    async def stop(self) -> None:
        await self._readings.stop()

    async def _run(self, of: Watched, readings: Readings) -> None:
        try:
            while True:
                answered = await self._read(of, readings)
                await asyncio.sleep(self._read_seconds if answered else UNREACHED_SECONDS)
        except Exception:
            # A help that fails must not pass in silence, nor take anything else down.
            logger.exception("a server's signs of life are no longer read", extra={"pod": of.uid})

    async def _read(self, of: Watched, readings: Readings) -> bool:
        """Whether it answered."""
        assert self._session is not None, "used outside of its context"
        samples = await scrape(self._session, of.url)
        if not samples:
            return False
        now = clock.now().timestamp()
        signs = {series: value for series, value in samples.items() if series.name in OF_USE}
        readings.add(signs, now, since=now - of.standstill_seconds - 2 * STALE_SECONDS)
        if standstill_since(readings.timeline, of.standstill_seconds) is not None:
            self._wake(of.study)
        return True


def metrics_url(pod: Object, port: int) -> str | None:
    """Where a pod's server is reached; None while it has no address."""
    address = section(pod, "status").get("podIP")
    if not address:
        return None
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"
