"""Candidates' logs, followed while their containers live.

The API has the log of a container's present start and of the one before, and none once the pod is gone: after a second
restart, an eviction or a deletion nothing would tell why a candidate died. So each live candidate's log is followed and
a bounded part of it kept (log_ring.py), for the day that the API no longer has it. All that is kept here is a help: it
is lost with the operator, which then follows anew and gets what the API still has.

A stream that breaks is taken up where it broke: the API is asked for lines since the last one's second, and those that
were seen are passed over by their times.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import aiohttp

from sloguard.cluster.api import PODS, Api, RefusedError
from sloguard.cluster.evidence import Container, container_of, moment
from sloguard.cluster.log_ring import LogRing, ServerLog
from sloguard.cluster.per_pod import Key, PerPod

logger = logging.getLogger("sloguard.logs")

MOST_STREAMS: Final = 32
"""Connections at once; with more live candidates than that, the later ones are not followed until one ends."""

SETTLE_SECONDS: Final = 2.0
"""After a stream ended, until the pod's status tells whether the container did."""

REFUSALS: Final = 3
REFUSED_SECONDS: Final = 10.0

_SECOND_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Followed:
    """A container's first start; later ones are never judged."""

    namespace: str
    pod: str
    uid: str
    container: str


@dataclass(slots=True)
class LogStream:
    """What came of one container so far, and where to go on."""

    of: Followed
    ring: LogRing = field(default_factory=LogRing)
    ended_ns: int | None = None
    """When this start ended, by the kubelet; what is later was written by the next one."""
    _last_ns: int = 0
    _same: int = 0
    """How many lines had that time."""
    _to_pass: int = 0
    """How many of those have yet to come again, while the stream repeats what came before it broke."""
    _repeats: bool = False

    @property
    def since(self) -> str:
        """What to ask for, in RFC 3339; nothing at first."""
        if not self._last_ns:
            return ""
        return datetime.fromtimestamp(self._last_ns // _SECOND_NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def taken_up(self) -> None:
        self._repeats, self._to_pass = bool(self._last_ns), self._same

    def take(self, raw: str) -> None:
        """A line with its time in front; one that came before is passed over."""
        said, _, text = raw.partition(" ")
        at_ns = nanoseconds(said)
        if at_ns is None:
            at_ns, text = self._last_ns, raw
        if self._repeats and self._came_before(at_ns):
            return
        # Two writers of one container may be out of order by a little; that is no repetition.
        if at_ns >= self._last_ns:
            self._same = self._same + 1 if at_ns == self._last_ns else 1
            self._last_ns = at_ns
        self.ring.add(text, at_ns)

    def _came_before(self, at_ns: int) -> bool:
        if at_ns == self._last_ns and self._to_pass:
            self._to_pass -= 1
            return True
        self._repeats = at_ns < self._last_ns
        return self._repeats

    def ends(self, ended_at: datetime | None) -> None:
        """The kubelet tells whole seconds."""
        if self.ended_ns is None and ended_at is not None:
            self.ended_ns = int(ended_at.timestamp()) * _SECOND_NS + _SECOND_NS - 1

    def kept(self) -> ServerLog:
        return self.ring.kept(self.ended_ns)


def nanoseconds(said: str) -> int | None:
    """Of a time as the kubelet writes it before a line: RFC 3339 with up to nine digits of a second."""
    whole, dot, rest = said.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    try:
        at = datetime.fromisoformat(whole + rest[digits:])
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    fraction = int(rest[:digits][:9].ljust(9, "0")) if dot else 0
    return int(at.timestamp()) * _SECOND_NS + fraction


class LogStreams:
    """All streams of one operator."""

    def __init__(self, api: Api, most: int = MOST_STREAMS) -> None:
        self._api = api
        self._slots = asyncio.Semaphore(most)
        self._streams: PerPod[LogStream] = PerPod()

    def follow(self, of: Followed) -> None:
        """Begin, unless it has begun."""
        if of.uid not in self._streams:
            stream = LogStream(of)
            self._streams.begin(of.uid, stream, self._run(stream), f"log {of.namespace}/{of.pod}")

    def kept(self, uid: str, first_ended_at: datetime | None = None) -> ServerLog | None:
        """What is known of a pod's first start; None where nothing is. `first_ended_at` says when it was over."""
        stream = self._streams.get(uid)
        if stream is None or not stream.ring.number:
            return None
        stream.ends(first_ended_at)
        return stream.kept()

    def keep(self, study: Key, uids: Iterable[str]) -> None:
        """Of this study's pods only these are of interest any more."""
        self._streams.keep(study, uids)

    async def stop(self) -> None:
        await self._streams.stop()

    async def _run(self, stream: LogStream) -> None:
        async with self._slots:
            try:
                await self._follow(stream)
            except Exception:
                # A help that fails must not pass in silence, nor take anything else down.
                logger.exception("a log is no longer followed", extra={"trial": stream.of.pod})

    async def _follow(self, stream: LogStream) -> None:
        refused = 0
        while refused < REFUSALS:
            try:
                await self._read(stream)
                refused = 0
            except RefusedError as error:
                # A container that is about to start has no log yet; a node that is gone will never have one.
                refused += 1
                logger.debug("the log of %s is refused: %s", stream.of.pod, error)
                await asyncio.sleep(REFUSED_SECONDS * refused)
                continue
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                logger.debug("the stream of %s broke: %s", stream.of.pod, error)
            await asyncio.sleep(SETTLE_SECONDS)
            if not await self._lives(stream):
                return

    async def _read(self, stream: LogStream) -> None:
        of = stream.of
        stream.taken_up()
        async with contextlib.aclosing(self._api.log_lines(of.namespace, of.pod, of.container, stream.since)) as lines:
            async for line in lines:
                stream.take(line)

    async def _lives(self, stream: LogStream) -> bool:
        """Whether the start that is followed may still write; also where the API server is not there to say so."""
        of = stream.of
        try:
            pods = await self._api.items(PODS, of.namespace, fields=f"metadata.name={of.pod}")
        except (RefusedError, aiohttp.ClientError, TimeoutError, OSError):
            return True
        pod = next((p for p in pods if p["metadata"]["uid"] == of.uid), None)
        if pod is None:
            return False
        serving = container_of(pod, of.container)
        stream.ends(first_end(serving))
        return not serving.restarts and "running" in serving.state


def first_end(serving: Container) -> datetime | None:
    """When a container's first start was over, where its status still says so."""
    if serving.restarts > 1:
        return None
    ended = serving.last_terminated if serving.restarts else serving.state.get("terminated")
    return moment((ended or {}).get("finishedAt"))
