"""What a study leaves in its namespace's ledgers, and what its search begins with of them."""

import copy
from datetime import UTC, datetime, timedelta

import pytest

from sloguard.api.v1alpha1 import Trial
from sloguard.cluster.api import CONFIG_MAPS, RefusedError
from sloguard.cluster.knowledge import keep, knowledge_of, leave_behind
from sloguard.cluster.ledger import MOST_TRIES, RECORDS, leave, ledger_name
from sloguard.cluster.platform import node_of, platform_of
from sloguard.domain.ledger import EMPTY, record_of, setup_of
from sloguard.domain.shared_ledger import read_text
from tests.unit.cluster.objects import study, trial, trial_object

NOW = datetime.now(UTC)
THEN = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
PLATFORM = {"gpuName": "NVIDIA-L4", "gpuMemoryBytes": 23 * 2**30, "vllmVersion": "0.33.0"}
CRASH = {"class": "CUDAOutOfMemory", "fault": "Configuration", "cause": "CUDA out of memory"}


class FakeApi:
    """ConfigMaps with versions, of which a creation or replacement may lose races. `refuses` are status codes."""

    def __init__(self, *, races=0, refuses=None):
        self.stored = {}
        self.asked = []
        self.races = races
        self.refuses = refuses or {}
        self.between = lambda: None

    def _ask(self, verb):
        self.asked.append(verb)
        if verb in self.refuses:
            raise RefusedError(self.refuses[verb], "because of a rule")

    async def get(self, resource, _namespace, name):
        assert resource is CONFIG_MAPS
        self._ask("get")
        return copy.deepcopy(self.stored.get(name))

    async def items(self, _resource, _namespace, *, labels, most):
        self._ask("list")
        wanted = dict(label.split("=") for label in labels.split(","))
        found = [o for o in self.stored.values() if wanted.items() <= o["metadata"].get("labels", {}).items()]
        return copy.deepcopy(found[:most])

    async def create(self, _resource, _namespace, body):
        self._ask("create")
        self.between()
        return self._store(body) if body["metadata"]["name"] not in self.stored else None

    async def replace(self, _resource, body):
        self._ask("replace")
        self.between()
        if self.races or body["metadata"]["resourceVersion"] != self._there(body)["metadata"]["resourceVersion"]:
            self.races = max(0, self.races - 1)
            raise RefusedError(409, "the object has been modified")
        return self._store(body)

    def _there(self, body):
        return self.stored[body["metadata"]["name"]]

    def _store(self, body):
        there = self.stored.get(body["metadata"]["name"])
        version = 1 if there is None else int(there["metadata"]["resourceVersion"]) + 1
        metadata = body["metadata"] | {"resourceVersion": str(version)}
        self.stored[metadata["name"]] = copy.deepcopy(body) | {"metadata": metadata}
        return self.stored[metadata["name"]]

    @property
    def ledgers(self):
        return {n: o for n, o in self.stored.items() if n.startswith("sloguard-ledger-")}

    def records(self):
        return [r for o in self.ledgers.values() for r in read_text(o["data"][RECORDS], NOW).records]


def ended(number=2, outcome="Crashed", seqs=None, of="s", **status):
    given = {
        "phase": "Finished",
        "startedAt": THEN,
        "finishedAt": THEN,
        "outcome": outcome,
        "platform": PLATFORM,
        "arguments": ["org/model", f"--max-num-seqs={seqs or 10 + number}"],
    }
    given |= {"crash": CRASH} if outcome == "Crashed" else {}
    stored = trial_object(number, status=given | status)
    return Trial.model_validate(stored | {"spec": stored["spec"] | {"study": of}})


BASELINES = (ended(0, "Feasible"), ended(1, "Feasible"))


def of_another(number, seqs=None):
    finished_at = (NOW - timedelta(hours=9) + timedelta(minutes=number)).isoformat()
    one = ended(number, seqs=seqs, of="before", finishedAt=finished_at)
    record = record_of(one, "uid-before", setup_of(one))
    assert record is not None
    return record


async def begun(api, known=None, trials=BASELINES):
    """Knowledge as a reconcile takes it and keeps it; then as the next one reads it."""
    one = known or study()
    taken = await keep(api, "prod", await knowledge_of(api, "prod", one, trials, {}))
    assert taken.ledger is None
    status = one.status.model_copy(update={"knowledge": taken.status})
    return one.model_copy(update={"status": status}), taken


async def test_a_trial_is_left_once_however_often_it_is_done():
    api = FakeApi()
    for _ in range(3):
        assert await leave_behind(api, study(), ended()) is None
    assert [(r.run, r.number, r.crash.class_) for r in api.records()] == [("study-uid", 2, "CUDAOutOfMemory")]
    (stored,) = api.ledgers.values()
    assert "ownerReferences" not in stored["metadata"]
    assert stored["metadata"]["annotations"]["sloguard.dev/ledger-gpu"] == "NVIDIA-L4"
    assert api.asked.count("replace") == 0


async def test_a_study_of_its_own_leaves_and_takes_nothing():
    api = FakeApi()
    alone = study(knowledge="Isolated")
    assert await leave_behind(api, alone, ended()) is None
    assert (await knowledge_of(api, "prod", alone, BASELINES, {})).ledger == EMPTY
    assert api.asked == []


@pytest.mark.parametrize("outcome", ["Infrastructure", "Cancelled"])
async def test_what_teaches_nothing_is_not_left(outcome):
    api = FakeApi()
    assert await leave_behind(api, study(), ended(outcome=outcome)) is None
    assert api.asked == []


async def test_a_lost_race_is_merged_anew():
    api = FakeApi()
    await leave(api, "prod", of_another(2))
    api.races = MOST_TRIES - 1
    await leave(api, "prod", of_another(3))
    assert [r.number for r in api.records()] == [2, 3]
    api.races = MOST_TRIES
    with pytest.raises(RefusedError) as caught:
        await leave(api, "prod", of_another(4))
    assert caught.value.conflict


async def test_two_that_create_a_ledger_lose_nothing():
    api, other = FakeApi(), FakeApi()
    await leave(other, "prod", of_another(7))

    def first_comes_another():
        api.stored |= {name: body for name, body in other.stored.items() if name not in api.stored}

    api.between = first_comes_another
    await leave(api, "prod", of_another(2))
    assert [r.number for r in api.records()] == [2, 7]


async def test_what_others_put_beside_the_records_stays():
    api = FakeApi()
    await leave(api, "prod", of_another(2))
    (stored,) = api.stored.values()
    stored["data"]["records-v2.jsonl"] = "of a later version"
    stored["metadata"]["labels"]["team"] = "a"
    await leave(api, "prod", of_another(3))
    (stored,) = api.stored.values()
    assert stored["data"]["records-v2.jsonl"] == "of a later version"
    assert stored["metadata"]["labels"]["team"] == "a"


@pytest.mark.parametrize("status", [403, 422])
async def test_a_right_that_is_missing_costs_nothing_but_the_knowledge(status):
    api = FakeApi(refuses={"create": status, "list": status})
    told = await leave_behind(api, study(), ended())
    assert told.reason == "KnowledgeNotLeft"
    assert "because of a rule" in told.message
    _, taken = await begun(api)
    assert taken.status.records == 0
    assert [event.reason for event in taken.events] == ["KnowledgeMissing"]


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_what_passes_is_tried_again(status):
    api = FakeApi(refuses={"create": status, "list": status})
    with pytest.raises(RefusedError):
        await leave_behind(api, study(), ended())
    with pytest.raises(RefusedError):
        await knowledge_of(api, "prod", study(), BASELINES, {})


async def test_what_a_search_begins_with_stays_the_same_whatever_others_leave():
    api = FakeApi()
    await leave(api, "prod", of_another(2))
    await leave_behind(api, study(), BASELINES[0])
    known, taken = await begun(api)
    assert (taken.status.records, taken.status.studies) == (1, 1)
    assert "before" in taken.events[0].message
    first = (await knowledge_of(api, "prod", known, BASELINES, {})).ledger
    assert [r.study for r in first.records] == ["before"]
    assert first.setup == setup_of(BASELINES[0])
    for number in range(3, 9):
        await leave(api, "prod", of_another(number))
    for name in list(api.ledgers):
        del api.stored[name]
    assert (await knowledge_of(api, "prod", known, BASELINES, {})).ledger == first


async def test_killed_before_it_was_noted_the_same_is_taken_again():
    api = FakeApi()
    await leave(api, "prod", of_another(2))
    await begun(api)
    await leave(api, "prod", of_another(3))
    known, taken = await begun(api)
    assert taken.status.records == 1
    assert [r.number for r in (await knowledge_of(api, "prod", known, BASELINES, {})).ledger.records] == [2]


async def test_of_two_that_take_at_once_the_first_counts():
    api = FakeApi()
    await leave(api, "prod", of_another(2))
    taken = await knowledge_of(api, "prod", study(), BASELINES, {})
    await keep(api, "prod", taken)
    with pytest.raises(RefusedError) as caught:
        await keep(api, "prod", taken)
    assert caught.value.conflict


async def test_it_is_written_down_for_good_and_goes_with_the_study():
    api = FakeApi()
    await leave(api, "prod", of_another(2))
    await begun(api)
    kept = api.stored["s-knowledge"]
    assert kept["immutable"]
    assert kept["metadata"]["ownerReferences"][0]["uid"] == "study-uid"


async def test_a_config_map_of_somebody_else_is_not_taken_for_it():
    api = FakeApi()
    await leave(api, "prod", of_another(2))
    api.stored["s-knowledge"] = {"metadata": {"name": "s-knowledge"}, "data": {"mine": "x"}}
    known, taken = await begun(api)
    assert [event.reason for event in taken.events] == ["KnowledgeMissing"]
    assert (await knowledge_of(api, "prod", known, BASELINES, {})).ledger.records == ()
    assert api.stored["s-knowledge"]["data"] == {"mine": "x"}


async def test_a_copy_that_was_deleted_is_said_to_be_lost():
    api = FakeApi()
    await leave(api, "prod", of_another(2))
    known, _ = await begun(api)
    del api.stored["s-knowledge"]
    taken = await knowledge_of(api, "prod", known, BASELINES, {})
    assert taken.ledger.records == ()
    assert [event.reason for event in taken.events] == ["KnowledgeLost"]


async def test_a_ledger_of_nonsense_is_told_of_once_and_mended_by_the_next_who_writes():
    api = FakeApi()
    await leave(api, "prod", of_another(2))
    (stored,) = api.stored.values()
    stored["data"][RECORDS] += "nonsense\n{}\n"
    _, taken = await begun(api)
    assert taken.status.passed_over == 2
    assert [event.reason for event in taken.events] == ["KnowledgeTaken", "LedgerDamaged"]
    await leave(api, "prod", of_another(3))
    assert "nonsense" not in api.ledgers[ledger_name(of_another(3).setup)]["data"][RECORDS]


async def test_as_much_is_taken_as_fits():
    api = FakeApi()
    for number in range(2, 140):
        await leave(api, "prod", of_another(number, seqs=number))
    _, taken = await begun(api)
    assert 30 < taken.status.records <= 120
    assert len(api.stored["s-knowledge"]["data"][RECORDS]) <= 96 * 1024
    assert api.stored["s-knowledge"]["data"][RECORDS].splitlines()[-1].count('"number":139') == 1


@pytest.mark.parametrize(
    "trials",
    [(), BASELINES[:1], (BASELINES[0], ended(1, "Infrastructure")), (*BASELINES, trial(2))],
    ids=["none", "one baseline", "a baseline without a figure", "a trial under way"],
)
async def test_nothing_is_read_before_a_trial_may_be_asked_for(trials):
    api = FakeApi()
    assert (await knowledge_of(api, "prod", study(), trials, {})).ledger is None
    assert api.asked == []


class Nodes:
    def __init__(self, labels):
        self.labels = labels

    async def get(self, _resource, _namespace, _name):
        if isinstance(self.labels, int):
            raise RefusedError(self.labels, "no")
        return {"metadata": {"labels": self.labels}}


LOG = "(APIServer pid=1) INFO vLLM API server version 0.33.0\n"
ON_A_NODE = {"spec": {"nodeName": "n"}}


@pytest.mark.parametrize(
    ("labels", "name", "memory"),
    [
        ({"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"}, "NVIDIA-L4", 23034 * 2**20),
        ({"nvidia.com/gpu.memory": "9" * 300}, "", None),
        ({"nvidia.com/gpu.memory": "-1"}, "", None),
        ({}, "", None),
        (403, "", None),
    ],
)
async def test_a_gpu_is_known_by_its_nodes_labels(labels, name, memory):
    seen = platform_of(await node_of(Nodes(labels), ON_A_NODE), LOG)
    assert (seen.gpu_name, seen.gpu_memory_bytes, seen.vllm_version) == (name, memory, "0.33.0")
