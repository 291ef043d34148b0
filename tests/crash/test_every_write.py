"""The operator dies before and after each write that it makes, and the study ends as if it had not.

The whole study is killed at every fourth write; with SLOGUARD_KILLS=all tests/run apiserver -k every_write at each one;
there are SLOGUARD_KILLS_A_RUN kills in a run, and SLOGUARD_KILLS_AT_ONCE runs at the same time.
"""

import os
from signal import SIGTERM

import pytest

from tests.apiserver.operator.objects import ARGUMENTS, BEST, stateful_set, study
from tests.apiserver.operator.paced import leave_no_room, measured_study, pace, record_trials, two_replicas
from tests.apiserver.operator.world import OOM, max_num_seqs
from tests.crash.reference import STUDY, TRIALS, ReferenceWorld
from tests.crash.studies import assert_same, of_run, planned
from tests.short_study import laid_over

EVERY = 1 if os.environ.get("SLOGUARD_KILLS") == "all" else 4
A_RUN = int(os.environ.get("SLOGUARD_KILLS_A_RUN", "12"))
AT_ONCE = int(os.environ.get("SLOGUARD_KILLS_AT_ONCE", "3"))


def test_killed_at_every_write_it_ends_the_same(studies, reference):
    assert_holds_all_that_a_kill_could_spoil(reference)
    plans = planned(reference.writes, A_RUN, EVERY)
    assert_same(reference, plans, studies.all_ended(plans, AT_ONCE))


def assert_holds_all_that_a_kill_could_spoil(reference):
    state = reference.state
    assert state["phase"] == "Completed"
    assert state["promotion"]["state"] == "Promoted"
    assert state["production"] == BEST
    outcomes = [trial["outcome"] for trial in state["trials"].values()]
    assert (len(outcomes), outcomes.count("Crashed"), outcomes.count("Infrastructure")) == (TRIALS, 1, 1)
    assert not reference.doubled


class ProductionFails(ReferenceWorld):
    """The winner does not stay up in production."""

    def _production(self, pod, _):
        arguments = pod["spec"]["containers"][0]["args"]
        self._report(pod, OOM if max_num_seqs(arguments) != 2 else None)


NOT_CONFIRMED = study(
    searchSpace={"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 9, "max": 9}}]},
    budget={"trials": 3},
    promotion={"mode": "Automatic", "confirmations": 0},
)


def test_killed_at_every_write_of_a_promotion_and_its_rollback(studies):
    reference = studies.ended("reference", study=NOT_CONFIRMED, world=ProductionFails)
    assert reference.state["promotion"]["state"] == "RolledBack"
    assert reference.state["production"] == ARGUMENTS
    writes = reference.writes[reference.writes.index("PATCH sloguardstudies/s 1") :]
    assert sum(write.startswith("PATCH deployments/llama") for write in writes) == 2
    plans = planned(writes, A_RUN // 2 or 1)
    assert_same(reference, plans, studies.all_ended(plans, AT_ONCE, NOT_CONFIRMED, ProductionFails))


class StatefulSetFails(ProductionFails):
    """And is a StatefulSet, whose controller would wait for the pod that died for ever."""

    def install(self):
        self.create("statefulsets", stateful_set())

    def served(self):
        return self.container(plural="statefulsets")["args"]


def test_killed_at_every_write_of_a_stateful_sets_rollback(studies):
    wanted = NOT_CONFIRMED | {"spec": laid_over(NOT_CONFIRMED["spec"], {"target": {"kind": "StatefulSet"}})}
    reference = studies.ended("reference", study=wanted, world=StatefulSetFails)
    assert reference.state["promotion"]["state"] == "RolledBack"
    assert reference.state["production"] == ARGUMENTS
    writes = reference.writes[reference.writes.index("PATCH sloguardstudies/s 1") :]
    assert "DELETE pods/llama-1 1" in writes
    plans = planned(writes, A_RUN // 2 or 1)
    assert_same(reference, plans, studies.all_ended(plans, AT_ONCE, wanted, StatefulSetFails))


class NoGPUToSpare(ReferenceWorld):
    """Production's replicas go one after the other, and the study has measured all it may."""

    def install(self):
        self.create("deployments", two_replicas())
        leave_no_room(self)

    def create(self, plural, body):
        stored = super().create(plural, body)
        if plural == "sloguardstudies":
            record_trials(self, stored)
        return stored

    def served(self):
        """With its pace, which has to be what it was."""
        return self.container()["args"], pace(self)


class NoGPUToSpareFails(NoGPUToSpare, ProductionFails):
    """And the winner does not stay up there."""


@pytest.mark.parametrize(("world", "end"), [(NoGPUToSpare, "Promoted"), (NoGPUToSpareFails, "RolledBack")])
def test_killed_at_every_write_of_a_promotion_at_the_operators_pace(studies, world, end):
    wanted = measured_study()
    reference = studies.ended(f"reference-{end}", study=wanted, world=world)
    assert reference.state["promotion"]["state"] == end
    arguments, left = reference.state["production"]
    assert arguments == (BEST if end == "Promoted" else ARGUMENTS)
    assert left["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": "25%"}
    assert "sloguard-pace" not in left["owners"]
    writes = reference.writes
    changes = sum(write.startswith("PATCH deployments/llama") for write in writes)
    assert changes == (3 if end == "Promoted" else 4), "the pace, the arguments, perhaps back, and the pace"
    plans = planned(writes, A_RUN // 2 or 1)
    assert_same(reference, plans, studies.all_ended(plans, AT_ONCE, wanted, world))


def test_killed_at_every_write_of_a_deletion_in_the_middle_of_a_promotion(studies):
    """Production has its own arguments again, and nothing is left, whenever the operator died meanwhile."""
    writes = deleted(studies, "reference", [])
    assert any(write.startswith("PATCH deployments/llama") for write in writes), "the way back is among them"
    assert any(write.startswith("PATCH sloguardstudies/s") for write in writes), "and the finalizer's removal"
    for number, kills in enumerate(planned(writes, A_RUN)):
        deleted(studies, f"deletion-{number}", kills)


LONG_WATCHED = NOT_CONFIRMED | {
    "spec": laid_over(NOT_CONFIRMED["spec"], {"promotion": {"verification": {"durationSeconds": 600}}})
}


def deleted(studies, name, kills):
    """What was written once the study was deleted."""
    with studies.one(name) as run:
        world = run.world
        world.create("sloguardstudies", LONG_WATCHED)
        run.start()
        run.live(lambda: world.phase() == "Verifying")
        assert world.container()["args"] != ARGUMENTS
        before = len(run.proxy.writes)
        run.proxy.kill = run.end
        run.proxy.kills = set(kills)
        world.delete("sloguardstudies", "s")
        run.live(lambda: world.items("sloguardstudies") == [] and world.children() == [])
        assert world.container()["args"] == ARGUMENTS
        return run.proxy.writes[before:]


def test_replaced_at_any_write_it_ends_the_same(studies, reference):
    """As an upgrade does it, with strategy Recreate: told to end, waited for, followed by the next."""
    with studies.one("upgrades") as run:
        run.proxy.fatal = False
        run.proxy.kill = lambda: run.end(SIGTERM)
        run.proxy.kills = {(write, "after") for write in reference.writes[::16]}
        run.world.create("sloguardstudies", STUDY)
        run.start()
        run.live(lambda: run.ended)
        assert len(run.exits) >= 6
        assert set(run.exits) == {0}, "each ended by itself, and well"
        assert not of_run(run).differs(reference)
