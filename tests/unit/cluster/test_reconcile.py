"""When a study is looked at again, and what it says when it cannot go on."""

import asyncio
import copy
from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import Study, StudyPhase, StudyStatus
from sloguard.cluster import reconcile as module
from sloguard.cluster.api import RefusedError
from sloguard.cluster.execute import Settings, Written
from sloguard.cluster.gather import Gathered
from sloguard.cluster.reconcile import LEAST_PAUSE_SECONDS, MOST_BACK_OFF_SECONDS, Reconciler, _stalled
from sloguard.engine.actions import Event, Plan, StopTrial
from sloguard.engine.snapshot import Snapshot, TargetProblem
from tests.unit.cluster.objects import STUDY

KEY = ("prod", "s")


class FakeApi:
    """Keeps one study and every status that is written to it."""

    requests = 0

    def __init__(self, stored=STUDY):
        self.stored = stored
        self.written = []

    async def get(self, _resource, _namespace, _name):
        return copy.deepcopy(self.stored)

    async def replace_status(self, _resource, body):
        self.written.append(body)
        self.stored = body
        return body


def written(version, **more):
    return Written(STUDY | {"metadata": STUDY["metadata"] | {"resourceVersion": version}}, {}, **more)


def test_what_is_said_of_a_study_is_one_readable_line():
    stalled = _stalled(STUDY, "Refused", "\x1b[31mno\n" + "x" * 9999)
    (message,) = {c["message"] for c in stalled["status"]["conditions"]}
    assert message.isprintable()
    assert len(message) <= 1024


def test_a_status_that_cannot_be_read_is_replaced():
    odd = STUDY | {"status": {"phase": "Odd", "conditions": [{"type": 7}]}}
    assert _stalled(odd, "SpecInvalid", "x")["status"]["phase"] == "Odd"


REFUSALS = {
    "a lost race": (RefusedError(409, "changed", "Conflict"), LEAST_PAUSE_SECONDS, None),
    "gone meanwhile": (RefusedError(404, "gone", "NotFound"), LEAST_PAUSE_SECONDS, None),
    "the server's own trouble": (RefusedError(503, "busy"), None, None),
    "asked too often": (RefusedError(429, "later"), None, None),
    "not allowed": (RefusedError(403, "may not"), MOST_BACK_OFF_SECONDS, "Refused"),
    "not valid": (RefusedError(422, "port"), MOST_BACK_OFF_SECONDS, "Refused"),
}


@pytest.mark.parametrize("why", REFUSALS)
async def test_a_refusal_is_repeated_or_told(why, monkeypatch):
    error, pause, reason = REFUSALS[why]
    api = FakeApi()

    async def gathered(*_, **_whole):
        return type("Gathered", (), {"snapshot": None, "study": None, "history": None, "unreadable": {}})

    async def nothing_to_tidy(*_):
        return False

    async def refused(*_):
        raise error

    monkeypatch.setattr(module, "gather", gathered)
    monkeypatch.setattr(module, "tidy", nothing_to_tidy)
    monkeypatch.setattr(module, "plan", lambda *_: Plan(StudyStatus()))
    monkeypatch.setattr(module, "execute", refused)
    assert await Reconciler(api, Settings("image"))._attempt(KEY) == pause
    told = {c["reason"] for body in api.written for c in body["status"]["conditions"]}
    assert told == ({reason} if reason else set())


async def test_what_keeps_a_study_from_going_on_is_written_once():
    api = FakeApi()
    reconciler = Reconciler(api, Settings("image"))
    for _ in range(3):
        assert await reconciler._stall(KEY, "NameTaken", "it is") == MOST_BACK_OFF_SECONDS
    assert len(api.written) == 1


async def test_a_defect_in_one_study_is_told_and_retried(monkeypatch, caplog):
    async def broken(*_, **_whole):
        raise ZeroDivisionError

    monkeypatch.setattr(module, "gather", broken)
    assert await Reconciler(FakeApi(), Settings("image"))._attempt(KEY) is None
    assert caplog.records[0].study == "prod/s"


async def test_a_study_that_comes_back_while_it_is_found_gone_is_served(monkeypatch):
    """The wake-up for the new one falls into the look that still saw nothing."""
    looks = []
    reconciler = Reconciler(FakeApi(), Settings("image"))

    async def gathered(*_, **_whole):
        looks.append(1)
        if len(looks) == 1:
            reconciler.wake(KEY)

    monkeypatch.setattr(module, "gather", gathered)
    reconciler.wake(KEY)
    for _ in range(200):
        await asyncio.sleep(0.01)
        if not reconciler._tasks:
            break
    assert len(looks) == 2
    assert not reconciler._tasks
    assert not reconciler._wakes


@pytest.fixture
def resting(monkeypatch):
    """A reconciler of one completed study, and the looks that it took."""
    stored = STUDY | {"metadata": STUDY["metadata"] | {"resourceVersion": "7"}, "status": {"phase": "Completed"}}
    study = Study.model_validate({key: stored[key] for key in ("apiVersion", "kind", "metadata", "spec", "status")})
    gathered = Gathered(Snapshot(study, (), TargetProblem("", "")), stored, {}, None, {})
    looks, plans = [], [Plan(study.status)]

    async def gather(*_, **_whole):
        looks.append(1)
        return gathered

    async def execute(*_):
        return written("7")

    monkeypatch.setattr(module, "gather", gather)
    monkeypatch.setattr(module, "plan", lambda *_: plans[0])
    monkeypatch.setattr(module, "execute", execute)
    return Reconciler(FakeApi(), Settings("image")), looks, plans


async def test_a_study_to_which_nothing_is_owed_rests_until_it_changes(resting):
    reconciler, looks, _ = resting
    assert await reconciler.reconcile(KEY) == module.REST_SECONDS[StudyPhase.COMPLETED]
    reconciler.wake(KEY, "7")
    assert not reconciler._tasks, "nothing has changed since"
    reconciler.wake(KEY, "8")
    await asyncio.sleep(0.05)
    reconciler.wake(KEY)
    await asyncio.sleep(0.5)
    await reconciler.stop()
    assert len(looks) == 3, "a change of its own, and one of what it caused"


@pytest.mark.parametrize(
    "change",
    [
        {"actions": (StopTrial(None),)},
        {"events": (Event("key", "Reason", "message"),)},
        {"owes_production": True},
        {"wake_after_seconds": 3.0},
        {"status": StudyStatus(phase=StudyPhase.COMPLETED, gpu_minutes=1)},
        {"status": StudyStatus(phase=StudyPhase.SEARCHING)},
    ],
)
async def test_a_study_to_which_something_is_owed_does_not_rest(change, resting):
    reconciler, _, plans = resting
    plans[0] = replace(plans[0], **change)
    assert await reconciler.reconcile(KEY) == plans[0].wake_after_seconds
    reconciler.wake(KEY, "7")
    assert reconciler._tasks
    await reconciler.stop()


async def test_what_is_told_before_a_look_begins_makes_no_second_one(resting):
    """After a start, watches and the resync wake every study while most still wait for their turn."""
    reconciler, looks, _ = resting
    for _ in range(module.MOST_AT_ONCE):
        await reconciler._slots.acquire()
    reconciler.wake(KEY)
    await asyncio.sleep(0.01)
    reconciler.wake(KEY, "7")
    await asyncio.sleep(0.01)
    reconciler._slots.release()
    await asyncio.sleep(0.5)
    await reconciler.stop()
    assert len(looks) == 1


@pytest.mark.parametrize("during", [True, False], ids=["before its answer", "after it"])
async def test_what_the_operator_wrote_itself_wakes_nobody(during, resting, monkeypatch):
    reconciler, looks, plans = resting
    plans[0] = replace(plans[0], wake_after_seconds=100.0)

    async def execute(*_):
        if during:
            reconciler.hear(KEY, "8")
        return written("8")

    monkeypatch.setattr(module, "execute", execute)
    reconciler.hear(KEY, "7")
    await asyncio.sleep(0.1)
    reconciler.hear(KEY, "8")
    await asyncio.sleep(0.5)
    assert len(looks) == 1
    reconciler.hear(KEY, "9")
    await asyncio.sleep(0.5)
    assert len(looks) == 2, "somebody else's"
    reconciler.wake(KEY, "8")
    await asyncio.sleep(0.5)
    assert len(looks) == 3, "a resync looks all the same: events of pods may be lost"
    await reconciler.stop()


async def test_a_change_that_comes_with_the_operators_own_is_seen(resting, monkeypatch):
    reconciler, looks, plans = resting
    plans[0] = replace(plans[0], wake_after_seconds=100.0)

    async def execute(*_):
        if len(looks) == 1:
            reconciler.hear(KEY, "8")
            reconciler.wake(KEY)
        return written("8")

    monkeypatch.setattr(module, "execute", execute)
    reconciler.hear(KEY, "7")
    await asyncio.sleep(0.6)
    await reconciler.stop()
    assert len(looks) == 2


async def test_a_trial_is_begun_in_the_look_that_recorded_it_and_pods_of_the_one_before_wake_nobody(
    resting, monkeypatch
):
    reconciler, looks, plans = resting
    plans[0] = replace(plans[0], wake_after_seconds=100.0)
    done = [written("8", recorded=True, stopped={"s-0-1"}), written("9")]

    async def execute(*_):
        return done.pop(0)

    monkeypatch.setattr(module, "execute", execute)
    reconciler.hear(KEY, "7")
    await asyncio.sleep(0.1)
    assert not done
    reconciler.hear(KEY, "9")
    reconciler.hear_of_pod(KEY, "s-0-1")
    await asyncio.sleep(0.5)
    assert len(looks) == 1
    done.append(written("9"))
    reconciler.hear_of_pod(KEY, "s-1-1")
    await asyncio.sleep(0.5)
    assert len(looks) == 2
    await reconciler.stop()
