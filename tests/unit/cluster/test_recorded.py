"""A look goes on with what it has written, as if it had read everything anew."""

from sloguard.api.v1alpha1 import StudyPhase
from sloguard.cluster.execute import Settings, execute
from sloguard.cluster.gather import Gathered
from sloguard.cluster.knowledge import Taken
from sloguard.cluster.recorded import with_recorded
from sloguard.engine.actions import Event, Plan, RecordTrial, StartServer, StopTrial, UpdateTrial
from sloguard.engine.snapshot import Observation, ServerState, Snapshot, TargetState
from tests.unit.cluster.objects import STUDY, VLLM, deployment, finished, study, trial, trial_object


class FakeApi:
    """Stores what is written, under a new version."""

    async def create(self, resource, _namespace, body):
        if resource.plural == "events":
            return body
        return body | {"metadata": body["metadata"] | {"uid": "new", "resourceVersion": "1"}}

    async def delete(self, *_):
        pass

    async def get(self, *_):
        return None

    async def replace_status(self, _resource, body):
        return body | {"metadata": body["metadata"] | {"resourceVersion": "2"}}


def looked():
    """At a trial that has ended, with what is left of it."""
    snapshot = Snapshot(study(), (trial(),), TargetState(tuple(VLLM["args"])), {"s-2-1": Observation(leftovers=True)})
    event = Event("knowledge", "KnowledgeTaken", "nothing")
    return Gathered(snapshot, STUDY, {"s-2-1": trial_object(2)}, deployment(), {}, True, Taken(events=(event,)))


async def written_by(*actions, phase=StudyPhase.SEARCHING):
    gathered = looked()
    status = gathered.snapshot.study.status.model_copy(update={"phase": phase})
    return gathered, await execute(FakeApi(), Settings("image"), gathered, Plan(status, actions))


async def test_what_was_recorded_finished_and_stopped_is_known():
    ended = finished()
    following = trial(3).spec
    ended_trial = trial()
    actions = (UpdateTrial(ended_trial, trial(status=ended).status), StopTrial(ended_trial))
    gathered, written = await written_by(*actions, RecordTrial("s-3-1", following))
    assert written.recorded
    known = with_recorded(gathered, written)
    assert [(t.name, t.finished) for t in known.snapshot.trials] == [("s-2-1", True), ("s-3-1", False)]
    assert known.snapshot.observations == {}
    assert known.snapshot.study.status.phase is StudyPhase.SEARCHING
    assert known.trials["s-3-1"]["metadata"]["uid"] == "new"
    assert known.derived, "the status has yet to be written"
    assert not known.taken.events
    assert known.snapshot.room is None


async def test_where_nothing_was_recorded_nothing_is_gone_on_with():
    _, written = await written_by(StopTrial(trial()))
    assert not written.recorded
    assert written.stopped == {"s-2-1"}


async def test_a_server_that_was_begun_is_not_begun_again():
    gathered, written = await written_by(StartServer(trial(), tuple(VLLM["args"])), RecordTrial("s-3-1", trial(3).spec))
    known = with_recorded(gathered, written)
    assert known.snapshot.observation(trial()).server.state is ServerState.WAITING
    assert known.snapshot.observation(trial()).leftovers
