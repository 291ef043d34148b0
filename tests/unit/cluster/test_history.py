"""Finished trials beyond the limit lose their objects, and nothing is decided otherwise for that."""

import copy
import json
from datetime import UTC, datetime, timedelta

import pytest

from sloguard.api.v1alpha1 import RateMeasurement, Study
from sloguard.cluster.api import CONFIG_MAPS, RefusedError
from sloguard.cluster.history import MOST_OF_A_PART, TRIALS_KEY, read_history, tidy
from sloguard.cluster.records import records_of
from sloguard.engine.actions import RecordTrial
from sloguard.engine.plan import plan
from sloguard.engine.snapshot import Snapshot, TargetState
from tests.unit.api.full_status import filled
from tests.unit.cluster.objects import STUDY, finished, study, trial_object

LIMIT = 20
ARGUMENTS = ["org/model", "--max-num-seqs=2", *(f"--flag-{number}=a-longer-value" for number in range(30))]
TARGET = TargetState(tuple(ARGUMENTS))
KIB = 1024
BEGIN = datetime(2026, 3, 2, tzinfo=UTC)


class FakeApi:
    """ConfigMaps and trials; `refuse` names what is not granted."""

    def __init__(self, *, refuse=""):
        self.maps = {}
        self.removed = []
        self.status = {}
        self.refuse = refuse

    async def items(self, resource, _namespace, *, labels, most):
        assert resource is CONFIG_MAPS
        assert labels == "sloguard.dev/study=s,sloguard.dev/history=true"
        return copy.deepcopy(list(self.maps.values()))[:most]

    async def create(self, _resource, _namespace, body):
        self._ask("create")
        self.maps.setdefault(body["metadata"]["name"], copy.deepcopy(body))
        return body

    async def delete(self, _resource, _namespace, name):
        self._ask("delete")
        self.removed.append(name)

    async def replace_status(self, _resource, body):
        self._ask("status")
        self.status = copy.deepcopy(body["status"])
        return body

    def _ask(self, verb):
        if verb == self.refuse:
            raise RefusedError(403, "not granted")


def measured(goodput):
    # figures of at most six digits, as real ones have
    whole = json.loads(filled(RateMeasurement).model_dump_json(by_alias=True).replace("1700000000000", "170000"))
    slo = whole["slos"][0] | {"measuredMicroseconds": 1000, "limitMilliseconds": 500, "met": True}
    figures = {"goodTokens": goodput * 10, "durationMilliseconds": 10_000, "sent": 100, "slos": [slo] * 3}
    spared = whole["violations"] | {"spared": 0}
    more = {"violations": spared, "latencies": whole["latencies"] * 4, "goodTokensInterval": None}
    return [whole | figures | more | {"ratePercent": percent} for percent in (50, 100, 150)]


def stored_trial(number):
    """Each with all that a trial may hold, apart from the next by a second."""
    at = (BEGIN + timedelta(seconds=10 * number)).isoformat()
    status = {
        "startedAt": at,
        "finishedAt": at,
        "gpuSeconds": 30,
        "arguments": ARGUMENTS,
        "message": "m" * 1024,
        "measurements": measured(100 + number % 7),
    }
    crash = {"class": "CUDAOutOfMemory", "fault": "Configuration", "cause": "c" * 400}
    bad = number > 2 and number % 5 == 0
    told = finished("Crashed", **(status | {"measurements": [], "crash": crash})) if bad else finished(**status)
    parameters = {"max_num_seqs": "2"} if number == 0 else {} if number == 1 else {"max_num_seqs": str(number)}
    return trial_object(number, status=told, parameters=parameters, reason="r" * 1024)


def long_study(status=None):
    one = study(
        budget={"trials": 500, "gpuMinutes": 100_000, "wallClockMinutes": 500_000, "stopEarly": False},
        historyLimit=LIMIT,
        optimizer={"name": "tpe", "seed": 5},
        searchSpace={"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 1, "max": 5000}}]},
    )
    return Study.model_validate(one.dump() | {"status": status or {}})


async def looked(api, known, objects):
    there = {one["metadata"]["name"]: one for one in objects}
    history = await read_history(api, "prod", known, there)
    records = records_of(known, [*history.trials.values(), *objects], TARGET)
    assert not records.passed_over
    return Snapshot(known, records.trials, TARGET), history


async def tidied(api, objects, status=None):
    """Until there is nothing more to do: the study, and the objects that are left."""
    known = long_study(status)
    for _ in range(40):
        snap, history = await looked(api, known, objects)
        again = await tidy(api, STUDY | {"status": known.status.dump()}, snap, history)
        objects = [one for one in objects if one["metadata"]["name"] not in api.removed]
        if not again and not history.doubled:
            return known, objects
        known = long_study(api.status) if again else known
    raise AssertionError("it never ends")


def size(stored):
    return len(json.dumps(stored, separators=(",", ":")))


async def test_the_sizes_of_what_is_stored_at_500_trials():
    api = FakeApi()
    known, left = await tidied(api, [stored_trial(number) for number in range(500)])
    planned = plan((await looked(api, known, left))[0], BEGIN)
    sizes = [size(part) for part in api.maps.values()]
    whole = size(STUDY | {"status": planned.status.dump()})
    print(f"\nstudy {whole} B, trial at most {max(map(size, left))} B, {len(sizes)} parts of at most {max(sizes)} B")
    assert whole < 100 * KIB
    assert max(map(size, left)) < 100 * KIB
    assert max(sizes) < 100 * KIB
    assert LIMIT <= len(left) <= LIMIT + MOST_OF_A_PART + 20
    assert len(left) + sum(part.trials for part in known.status.history) == 500


async def test_what_is_asked_for_next_is_the_same_without_the_objects():
    api, objects = FakeApi(), [stored_trial(number) for number in range(100)]
    before, _ = await looked(api, long_study(), objects)
    known, left = await tidied(api, objects)
    assert len(left) < 80
    after, _ = await looked(api, known, left)
    first, second = plan(before, BEGIN), plan(after, BEGIN)
    assert any(isinstance(action, RecordTrial) for action in first.actions)
    assert first.actions == second.actions
    forgotten = {"history": []}
    assert first.status == second.status.model_copy(update=forgotten)


async def test_what_people_look_for_stays_an_object():
    api = FakeApi()
    objects = [stored_trial(number) for number in range(90)]
    scored = {"trial": "s-7-1", "goodputTokensPerSecond": 1}
    front = [{"trial": "s-8-1", "objectiveValue": 1}]
    _, left = await tidied(api, objects, {"best": scored, "front": front})
    names = {one["metadata"]["name"] for one in left}
    assert {"s-0-1", "s-1-1", "s-7-1", "s-8-1", "s-89-1"} <= names
    assert "s-3-1" not in names


async def test_objects_go_only_after_the_status_tells_of_them():
    api = FakeApi()
    objects = [stored_trial(number) for number in range(90)]
    snap, history = await looked(api, long_study(), objects)
    assert await tidy(api, STUDY, snap, history)
    assert not api.removed
    # killed before the status was written, the same part is written again
    api.status = {}
    assert await tidy(api, STUDY, snap, history)
    assert len(api.maps) == 1


async def test_a_part_that_was_forged_does_not_count():
    api = FakeApi()
    known, left = await tidied(api, [stored_trial(number) for number in range(90)])
    for part in api.maps.values():
        part["data"][TRIALS_KEY] = part["data"][TRIALS_KEY].replace('"goodTokens":10', '"goodTokens":99')
    snap, history = await looked(api, known, left)
    assert {trial.name for trial in snap.trials} == {one["metadata"]["name"] for one in left}
    assert {event.reason for event in history.events} == {"HistoryLost"}
    assert len(history.events) == len(api.maps) > 0


@pytest.mark.parametrize("verb", ["create", "delete", "status"])
async def test_without_the_right_to_do_it_the_study_goes_on(verb):
    api = FakeApi(refuse=verb)
    objects = [stored_trial(number) for number in range(90)]
    snap, history = await looked(api, long_study(), objects)
    if verb == "delete":
        history = type(history)(doubled=("s-3-1",))
    assert not await tidy(api, STUDY, snap, history)


async def test_a_study_whose_trials_are_few_keeps_them():
    api = FakeApi()
    objects = [stored_trial(number) for number in range(LIMIT + MOST_OF_A_PART)]
    known, left = await tidied(api, objects)
    assert left == objects
    assert not known.status.history
