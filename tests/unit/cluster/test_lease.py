"""Who may act: one at a time, whatever the network does to it."""

import asyncio
import contextlib
import copy
import heapq
import itertools

import pytest

from sloguard.cluster.api import RefusedError
from sloguard.cluster.lease import Lease, LeaseSettings, lease_name

SECONDS = 15


class Time:
    """A clock that goes on only when it is told to; whoever sleeps wakes in order."""

    def __init__(self):
        self.now = 100.0
        self._sleeping = []
        self._order = itertools.count()

    async def sleep(self, seconds):
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleeping, (self.now + seconds, next(self._order), woken))
        await woken

    async def pass_by(self, seconds):
        end = self.now + seconds
        await settle()
        while self._sleeping and self._sleeping[0][0] <= end:
            self.now, _, woken = heapq.heappop(self._sleeping)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self.now = end


async def settle():
    """Everything that can go on does."""
    for _ in range(20):
        await asyncio.sleep(0)


class Server:
    """One object with the API server's conflicts. Those in `cut_off` cannot reach it."""

    def __init__(self):
        self.stored = None
        self.version = 0
        self.cut_off = set()


class Client:
    """The server as one operator reaches it."""

    def __init__(self, server, name):
        self._server = server
        self._name = name
        self.reads = 0

    async def get(self, _resource, _namespace, _name):
        self.reads += 1
        self._reach()
        return copy.deepcopy(self._server.stored)

    async def create(self, _resource, _namespace, body):
        self._reach()
        if self._server.stored is not None:
            return None
        return self._store(body)

    async def replace(self, _resource, body):
        self._reach()
        if self._server.stored is None:
            raise RefusedError(404, "not found", "NotFound")
        if body["metadata"]["resourceVersion"] != self._server.stored["metadata"]["resourceVersion"]:
            raise RefusedError(409, "the object has been modified", "Conflict")
        return self._store(body)

    def _reach(self):
        if self._name in self._server.cut_off:
            raise OSError("no route")

    def _store(self, body):
        self._server.version += 1
        self._server.stored = body | {"metadata": body["metadata"] | {"resourceVersion": str(self._server.version)}}
        return copy.deepcopy(self._server.stored)


class Operator:
    """Counts how often it began and ended."""

    def __init__(self, server, time, name):
        self._server = server
        settings = LeaseSettings("system", "sloguard", name, SECONDS)
        self.lease = Lease(Client(server, name), settings, lambda: time.now, time.sleep)
        self.acting = False
        self.terms = 0
        self._task = asyncio.create_task(self.lease.lead(self._begin, self._end))

    def _begin(self):
        self.acting = True
        self.terms += 1

    async def _end(self):
        self.acting = False

    async def stop(self):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def die(self):
        """Without giving anything back."""
        self._server.cut_off.add(self.lease.settings.identity)
        self._task.cancel()


@pytest.fixture
async def two():
    server, time = Server(), Time()
    first = Operator(server, time, "first")
    await time.pass_by(1)
    second = Operator(server, time, "second")
    await time.pass_by(1)
    yield server, time, first, second
    await first.stop()
    await second.stop()


async def test_its_holder_renews_it_without_reading_it(two):
    _server, time, first, _second = two
    before = first.lease.api.reads
    await time.pass_by(10 * SECONDS)
    assert first.acting
    assert first.lease.api.reads == before


@pytest.mark.parametrize("change", ["labels", "deleted"])
async def test_what_others_do_to_it_does_not_take_it_from_its_holder(two, change):
    server, time, first, second = two
    if change == "deleted":
        server.stored = None
    else:
        server.version += 1
        server.stored["metadata"] |= {"labels": {"team": "ml"}, "resourceVersion": str(server.version)}
    await time.pass_by(SECONDS)
    # of one that is gone, whoever looks first makes it anew
    assert first.acting or change == "deleted"
    assert first.acting != second.acting


async def test_the_second_waits_as_long_as_the_first_renews(two):
    server, time, first, second = two
    await time.pass_by(20 * SECONDS)
    assert (first.terms, first.acting, second.terms) == (1, True, 0)
    assert server.stored["spec"]["holderIdentity"] == "first"
    assert server.stored["spec"]["leaseTransitions"] == 0


async def test_one_that_leaves_gives_it_back_at_once(two):
    server, time, first, second = two
    await first.stop()
    await time.pass_by(2)
    assert (first.acting, second.acting) == (False, True)
    assert server.stored["spec"]["leaseTransitions"] == 1


async def test_one_that_died_is_followed_when_its_lease_is_over(two):
    _, time, first, second = two
    first.die()
    await time.pass_by(SECONDS - 5)
    assert not second.acting
    await time.pass_by(10)
    assert second.acting


async def test_one_that_is_cut_off_stops_before_another_begins(two):
    server, time, first, second = two
    server.cut_off.add("first")
    while not second.acting:
        await time.pass_by(0.5)
        assert not (second.acting and (first.acting or first.lease.held))
    assert not first.acting
    server.cut_off.clear()
    await time.pass_by(3 * SECONDS)
    assert (first.acting, second.acting) == (False, True)


async def test_where_nobody_can_be_reached_the_same_one_goes_on_afterwards(two):
    server, time, first, second = two
    server.cut_off |= {"first", "second"}
    await time.pass_by(60)
    assert not first.acting
    assert not second.acting
    server.cut_off.clear()
    await time.pass_by(2)
    assert first.acting + second.acting == 1


async def test_an_absent_api_server_is_told_of_once_each_time(two, caplog):
    server, time, first, second = two
    for times in (1, 2):
        server.cut_off |= {"first", "second"}
        await time.pass_by(60)
        assert caplog.text.count("could not be asked for the Lease: no route") == 2 * times, "by each of the two"
        server.cut_off.clear()
        await time.pass_by(2)
    assert first.acting + second.acting == 1


async def test_a_container_that_starts_again_in_its_pod_does_not_wait(two):
    server, time, first, _ = two
    first.die()
    server.cut_off.clear()
    again = Operator(server, time, "first")
    await time.pass_by(0)
    assert again.acting
    await again.stop()


async def test_what_is_unexpected_is_told_and_tried_again(caplog):
    server, time = Server(), Time()
    server.stored = {"metadata": {}}
    one = Operator(server, time, "one")
    await time.pass_by(3)
    assert "KeyError" in caplog.text
    server.stored = None
    await time.pass_by(3)
    assert one.acting
    await one.stop()


def test_operators_of_different_namespaces_do_not_wait_for_each_other():
    assert lease_name([]) == "sloguard"
    assert lease_name(["a", "b"]) == lease_name(["b", "a", "a"])
    assert len({lease_name([]), lease_name(["a"]), lease_name(["a", "b"])}) == 3
