"""What is written, in which order, and at which version."""

import copy
import shlex

import pytest

from sloguard.api.v1alpha1 import StudyStatus
from sloguard.cluster.execute import NameTakenError, Settings, execute
from sloguard.cluster.gather import Gathered
from sloguard.cluster.records import ForeignArgumentsError
from sloguard.engine.actions import (
    ApplyArguments,
    EndPod,
    Event,
    Plan,
    RecordTrial,
    StartServer,
    StopTrial,
    UpdateTrial,
)
from sloguard.engine.snapshot import Snapshot, TargetState
from tests.unit.cluster.objects import STUDY, VLLM, deployment, finished, study, trial, trial_object

SETTINGS = Settings("image")
NEW = ("org/model", "--max-num-seqs=64", "--port=8000")


class FakeApi:
    """Notes what is asked. `there` holds objects by name, which cannot be created again."""

    def __init__(self, **there):
        self.asked = []
        self.there = there

    async def create(self, resource, _namespace, body):
        self.asked.append(("create", resource.plural, body))
        return None if body["metadata"]["name"].replace("-", "_") in self.there else body

    async def get(self, _resource, _namespace, name):
        return self.there.get(name.replace("-", "_"))

    async def delete(self, resource, _namespace, name, uid=""):
        self.asked.append(("delete", resource.plural, name, *filter(None, [uid])))

    async def merge(self, resource, _namespace, _name, body, manager=""):
        self.asked.append(("merge", resource.plural, body, *filter(None, [manager])))
        return copy.deepcopy(STUDY)

    async def apply(self, resource, _namespace, _name, body, manager=""):
        self.asked.append(("apply", resource.plural, body, *filter(None, [manager])))

    async def replace_status(self, resource, body):
        self.asked.append(("status", resource.plural, body))
        return body


def gathered(production=None, stored=STUDY, **passed_over):
    production = production or deployment()
    target = TargetState(tuple(VLLM["args"]))
    return Gathered(Snapshot(study(), (), target), stored, {}, production, passed_over)


def planned(*actions, **more):
    return Plan(StudyStatus(), actions, **more)


async def test_what_is_looked_for_when_stopping_goes_last():
    """Cut short between two deletions, the trial still has leftovers, and the rest follows."""
    api = FakeApi()
    await execute(api, SETTINGS, gathered(), planned(StopTrial(trial())))
    assert api.asked == [
        ("delete", "jobs", "s-2-1-load"),
        ("delete", "services", "s-2-1"),
        ("delete", "deployments", "s-2-1"),
    ]


async def test_a_finished_trial_that_is_kept_as_text_is_not_written_and_its_server_goes():
    api, done = FakeApi(), trial(2, status=finished())
    left = done.status.model_copy(update={"left_behind_gpu_seconds": 60})
    await execute(api, SETTINGS, gathered(), planned(UpdateTrial(done, left), StopTrial(done)))
    assert {verb for verb, *_ in api.asked} == {"delete"}


async def test_arguments_are_applied_at_the_version_that_was_read():
    api = FakeApi()
    await execute(api, SETTINGS, gathered(), planned(ApplyArguments(NEW)))
    ((verb, plural, body),) = api.asked
    assert (verb, plural) == ("apply", "deployments")
    assert body == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "llama", "resourceVersion": "42"},
        "spec": {"template": {"spec": {"containers": [{"name": "vllm", "args": list(NEW)}]}}},
    }


def managed(*fields, manager="sloguard", operation="Apply"):
    owned = {f"f:{field}": {} for field in fields}
    spec = {"f:template": {"f:spec": {"f:containers": {'k:{"name":"vllm"}': owned}}}}
    return [{"manager": manager, "operation": operation, "fieldsV1": {"f:spec": spec}}]


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        (managed("command", "args"), {"name", "command", "args"}),
        (managed("args"), {"name", "args"}),
        (managed("command", "args", manager="kubectl"), {"name", "args"}),
        (managed("command", "args", operation="Update"), {"name", "args"}),
        ([], {"name", "args"}),
    ],
)
async def test_a_field_that_was_applied_before_is_applied_again(entries, names):
    """Server-side apply removes what its manager no longer mentions: production would lose its command."""
    api = FakeApi()
    container = VLLM | {"command": ["vllm", "serve"]}
    production = deployment(container, metadata={"managedFields": entries})
    await execute(api, SETTINGS, gathered(production), planned(ApplyArguments(NEW)))
    (owned,) = api.asked[0][2]["spec"]["template"]["spec"]["containers"]
    assert set(owned) == names
    assert owned.get("command", ["vllm", "serve"]) == ["vllm", "serve"]


@pytest.mark.parametrize("make", [ApplyArguments, lambda words: StartServer(trial(), words)])
async def test_other_words_than_settings_reach_neither_production_nor_a_server(make):
    api = FakeApi()
    with pytest.raises(ForeignArgumentsError):
        await execute(api, SETTINGS, gathered(), planned(make((*NEW, "--middleware=evil"))))
    assert api.asked == []


@pytest.mark.parametrize("make", [ApplyArguments, lambda words: StartServer(trial(), words)])
async def test_what_a_shell_would_run_gets_into_no_script(make):
    api = FakeApi()
    script = shlex.join(["exec", "vllm", "serve", *VLLM["args"]])
    container = VLLM | {"command": ["sh", "-c", script], "args": []}
    words = (*VLLM["args"], "--quantization", "$(id)")
    with pytest.raises(ForeignArgumentsError, match="cannot be written into"):
        await execute(api, SETTINGS, gathered(deployment(container)), planned(make(words)))
    assert api.asked == []


async def test_a_pod_that_is_waited_for_in_vain_goes_and_no_other_of_its_name():
    api = FakeApi()
    await execute(api, SETTINGS, gathered(), planned(EndPod("llama-1", "uid-1")))
    assert api.asked == [("delete", "pods", "llama-1", "uid-1")]


async def test_a_finalizer_is_changed_at_the_version_that_was_read():
    """Another's finalizer, added meanwhile, must not be lost."""
    api = FakeApi()
    await execute(api, SETTINGS, gathered(), planned(owes_production=True))
    assert api.asked == [
        ("merge", "sloguardstudies", {"metadata": {"finalizers": ["sloguard.dev/promotion"], "resourceVersion": "7"}})
    ]
    held = STUDY | {"metadata": STUDY["metadata"] | {"finalizers": ["sloguard.dev/promotion", "other/one"]}}
    api = FakeApi()
    await execute(api, SETTINGS, gathered(stored=held), planned())
    assert api.asked[0][2] == {"metadata": {"finalizers": ["other/one"], "resourceVersion": "7"}}


async def test_a_study_on_its_way_out_gets_no_new_finalizer():
    leaving = STUDY | {"metadata": STUDY["metadata"] | {"deletionTimestamp": "2026-03-02T12:00:00Z"}}
    api = FakeApi()
    await execute(api, SETTINGS, gathered(stored=leaving), planned(owes_production=True))
    assert api.asked == []


RECORD = RecordTrial("s-2-1", trial().spec)


async def test_a_trial_that_was_recorded_before_is_done():
    await execute(FakeApi(s_2_1=trial_object(2)), SETTINGS, gathered(), planned(RECORD))


@pytest.mark.parametrize(
    ("there", "passed_over", "says"),
    [
        (trial_object(2, owner={"uid": "other"}), {}, "is not this study's"),
        (trial_object(2), {"s-2-1": "its parameters are not of the study's search space"}, "not of the study's search"),
        (trial_object(2, metadata={"labels": {}}), {}, "its label sloguard.dev/study is not s"),
    ],
)
async def test_a_trial_in_the_way_is_told(there, passed_over, says):
    with pytest.raises(NameTakenError, match=says):
        await execute(FakeApi(s_2_1=there), SETTINGS, gathered(**passed_over), planned(RECORD))


async def test_an_events_text_is_one_readable_line():
    api = FakeApi()
    event = Event("key", "TrialCrashed", "\x1b[31mboom\nEvent: forged\u202e" + "x" * 9999)
    await execute(api, SETTINGS, gathered(), planned(events=(event,)))
    message = api.asked[0][2]["message"]
    assert message.startswith("boom Event: forged")
    assert message.isprintable()
    assert len(message) == 1024


async def test_events_come_before_what_they_tell_of():
    """Killed in between, the operator plans the same again; the other way round nobody would ever tell."""
    api = FakeApi()
    changed = Plan(StudyStatus(gpu_minutes=1), (StopTrial(trial()),), (Event("key", "Reason", "message"),))
    assert (await execute(api, SETTINGS, gathered(), changed)).version == "7"
    assert [(verb, plural) for verb, plural, _ in api.asked] == [
        ("create", "events"),
        ("delete", "jobs"),
        ("delete", "services"),
        ("delete", "deployments"),
        ("status", "sloguardstudies"),
    ]
