"""Operators in the simulated world: the real one, over a network that does its worst, and killed at any request."""

import asyncio
import contextlib
import json
import unittest.mock
from collections import deque
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import aiohttp
import kopf

from sloguard.cluster.app import Operator
from sloguard.cluster.execute import Settings
from sloguard.cluster.lease import Lease, LeaseSettings
from tests.simulation.api_server import Change, Refusal, place

WATCHED = {"pods"}
STUDY = "sloguard.dev/study"


@dataclass(frozen=True, slots=True)
class Weather:
    """Chances of a request's misfortunes, and of a watch event's, while it storms."""

    refused: float = 0.0
    cut_before: float = 0.0
    cut_after: float = 0.0
    slow: float = 0.0
    killed: float = 0.0
    event_lost: float = 0.0
    event_late: float = 0.0
    answer_late: float = 0.0
    """The server has done it, and the operator goes on with what has changed meanwhile."""

    stale: float = 0.0
    """A list is of some seconds ago."""

    touched: float = 0.0
    """Somebody annotates an object as soon as it was read, so that what was read is no longer its version."""

    expired: float = 0.0
    """The rest of a list that came in pages is gone (410)."""

    watch_broken: float = 0.0
    """With a change: nothing is told for a while, and then everything anew, as after a 410."""


CALM = Weather()


@dataclass(frozen=True, slots=True)
class Answer:
    """Of HTTP; JSON is not text once more."""

    status: int
    body: Any
    reason: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    stream: Any = None

    async def read(self) -> Any:
        return self.body

    @property
    def response(self) -> "Answer":
        """What it is read from piece by piece, as aiohttp has it."""
        return self

    @property
    def content(self) -> Any:
        return self.stream

    def close(self) -> None:
        pass


class JSON:
    """In the place of `json` where answers are read: what comes parsed is taken as it is."""

    dumps = staticmethod(json.dumps)

    @staticmethod
    def loads(told: Any) -> Any:
        return told if isinstance(told, dict) else json.loads(told)


class SimulatedClient:
    """In the place of the generated client, below everything that is ours: requests go to the server in memory."""

    def __init__(self, incarnation: "_Incarnation"):
        self._incarnation = incarnation

    async def param_serialize(self, method, path, *, query_params, header_params, body, **_):
        return method, (path, dict(query_params)), header_params, None if body is None else json.dumps(body), None

    async def call_api(self, method, url, headers, encoded, *, _request_timeout):
        path, query = url
        if query.get("follow") == "true":
            return await self._incarnation.follow(path, query)
        body = None if encoded is None else json.loads(encoded)
        return await self._incarnation.carry(method, path, body, query, headers["Content-Type"], _request_timeout)

    async def close(self):
        pass


@dataclass
class Process:
    """One operator, as a process: what it had in memory is lost when it dies."""

    world: Any
    name: str
    alive: bool = False
    deaf: bool = False
    asked: deque[float] = field(default_factory=deque)
    """When its last requests were."""
    _operator: Any = None
    _starts: int = 0

    @property
    def acts(self) -> bool:
        """It has the Lease, and looks at its studies."""
        return self.alive and self._operator is not None and self._operator._resync is not None

    async def start(self) -> None:
        self.alive, self.deaf = True, False
        self._starts += 1
        world, identity = self.world, f"{self.name} {self._starts}"
        lease = LeaseSettings("ns", "sloguard", identity, seconds=world.lease_seconds)
        operator = Operator(Settings("sloguard:test"), ["ns"], lease)
        operator._lease.elapsed = world.loop.time
        self._operator = operator
        world.note("%s starts", self.name)
        client = SimulatedClient(_Incarnation(self, self._starts))
        no_config = unittest.mock.patch("sloguard.cluster.api._load_config", _nothing)
        with no_config, unittest.mock.patch("kubernetes.aio.client.ApiClient", return_value=client):
            await operator._start(settings=kopf.OperatorSettings())

    def kill(self) -> None:
        """As SIGKILL does: nothing that it had begun goes on, and no finally of it is answered."""
        if not self.alive:
            return
        self.alive = False
        self.world.note("%s is killed", self.name)
        operator, self._operator = self._operator, None
        operator._leading.cancel()
        wait = self.world.random.choice([0.5, 3, 20, 60])
        self.world.later(wait, lambda: self.world.spawn(self.start()))

    def hear(self, change: Change) -> None:
        """A watch tells of a change; the change itself has to be looked up."""
        if not self.alive or self.deaf or self._operator._reconciler is None:
            return
        metadata = change.object["metadata"]
        if change.plural == "sloguardstudies":
            where = {"namespace": metadata["namespace"], "name": metadata["name"]}
            handler = self._operator._study_changed(**where, meta=metadata)
        else:
            labels = metadata.get("labels", {})
            event = {"type": "MODIFIED" if change.after else "DELETED", "object": change.object}
            handler = self._operator._pod_changed(namespace=metadata["namespace"], labels=labels, event=event)
        try:
            handler.send(None)
        except StopIteration:
            return
        raise AssertionError("a watch handler waits for something")

    def lose_watch(self, seconds: float) -> None:
        if self.alive and not self.deaf:
            self.deaf = True
            self.world.note("%s: its watches broke", self.name)
            self.world.later(seconds, self.list_anew)

    def list_anew(self) -> None:
        """As kopf does when a watch cannot go on from where it was."""
        if self.deaf:
            self.deaf = False
            server = self.world.server
            for plural in ("sloguardstudies", *sorted(WATCHED)):
                there = (Change(plural, None, each, "list") for each in server.items(plural))
                for change in filter(watched, there):
                    self.hear(change)


@dataclass(frozen=True)
class _Incarnation:
    """A process between its start and its death; its requests end with it."""

    process: Process
    number: int

    @property
    def alive(self) -> bool:
        return self.process.alive and self.process._starts == self.number

    async def carry(self, method, path, body, query, kind, timeout_seconds):
        world, name = self.process.world, self.process.name
        random, weather = world.random, world.weather
        timeout_seconds = timeout_seconds or 1e9
        slow = random.uniform(0.5, 40) if random.random() < weather.slow else 0.004
        await self._pause(min(slow, timeout_seconds))
        if slow > timeout_seconds:
            # Given up by the client, and taken by the server a moment later.
            world.later(slow - timeout_seconds, self._arrive_late, method, path, query, body, kind)
            raise TimeoutError
        luck = random.random()
        self._maybe_die(luck < weather.killed, f"before {method} {path}")
        luck = random.random()
        if luck < weather.refused:
            code, reason = random.choice(REFUSALS)
            world.note("%s: %s %s -> %d", name, method, path, code)
            return _refusal(code, reason, f"the server said {reason}")
        if luck < weather.refused + weather.cut_before:
            world.note("%s: %s %s -> the connection broke before it", name, method, path)
            raise random.choice([TimeoutError(), aiohttp.ClientConnectionError("reset")])
        if "continue" in query and random.random() < weather.expired:
            return _refusal(410, "Expired", "the provided continue parameter is too old")
        age = random.uniform(0.2, 10) if method == "GET" and random.random() < weather.stale else 0.0
        try:
            answer = Answer(200, world.serve(self.process, method, path, query, body, kind, age))
        except Refusal as refusal:
            if method != "GET":
                world.note("%s: %s %s -> %s", name, method, path, refusal)
            answer = _refusal(refusal.code, refusal.reason, refusal.message)
        self._maybe_die(random.random() < weather.killed, f"after {method} {path}")
        if luck > 1 - weather.cut_after:
            world.note("%s: %s %s -> the connection broke after it", name, method, path)
            raise random.choice([TimeoutError(), aiohttp.ServerDisconnectedError()])
        if method == "GET" and random.random() < weather.touched:
            world.people.annotate(path)
        if random.random() < weather.answer_late:
            await self._pause(random.uniform(0.1, 12))
        return answer

    async def follow(self, path, query):
        """A log's lines as they come, until its container ends or the connection breaks."""
        head = await self.carry("GET", path, None, query, "", None)
        return replace(head, stream=_LogStream(self, place(path)[2], head.body))

    def _arrive_late(self, method, path, query, body, kind):
        if method != "GET":
            self.process.world.note("%s: %s %s arrives late", self.process.name, method, path)
            self.process.world.arrives_late()
            with contextlib.suppress(Refusal):
                self.process.world.serve(self.process, method, path, query, body, kind)

    async def _pause(self, seconds):
        await asyncio.sleep(seconds)
        if not self.alive:
            raise asyncio.CancelledError

    def _maybe_die(self, dies, when):
        if dies:
            self.process.world.note("%s: killed %s", self.process.name, when)
            self.process.kill()
            raise asyncio.CancelledError


@dataclass(frozen=True)
class _LogStream:
    incarnation: _Incarnation
    pod: str
    begun: bytes

    async def iter_any(self):
        if self.begun:
            yield self.begun
        world = self.incarnation.process.world
        ended = world.machinery.end_of(self.pod)
        breaks_after = world.random.uniform(1, 60) if world.random.random() < 10 * world.weather.cut_after else 3600
        await asyncio.wait([ended], timeout=breaks_after)
        if not ended.done():
            raise aiohttp.ClientPayloadError("the connection broke")
        yield world.server.logs.get(self.pod, "").encode()[len(self.begun) :]


async def _nothing():
    pass


def _refusal(code: int, reason: str, message: str) -> Answer:
    return Answer(int(code), json.dumps({"reason": reason, "message": message}).encode(), reason)


REFUSALS = (
    (HTTPStatus.TOO_MANY_REQUESTS, "TooManyRequests"),
    (HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError"),
    (HTTPStatus.SERVICE_UNAVAILABLE, "ServiceUnavailable"),
    (HTTPStatus.GATEWAY_TIMEOUT, "Timeout"),
)


def without_a_lease(monkeypatch) -> None:
    """Every operator acts, whoever else does."""
    monkeypatch.setattr(Lease, "_free", lambda *_: True)
    monkeypatch.setattr(Lease, "held", property(lambda _: True))


def watched(change: Change) -> bool:
    """Whether an operator's watches tell of it."""
    if change.plural == "sloguardstudies":
        return True
    return change.plural in WATCHED and STUDY in (change.object["metadata"].get("labels") or {})


def written(method: str, path: str) -> bool:
    """Whether a request may change anything; events are for people, and a Lease is renewed for ever."""
    return method != "GET" and place(path)[0] not in {"events", "leases"}
