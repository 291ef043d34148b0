"""The simulation finds faults: each of these is planted, and some schedule tells of it."""

from dataclasses import replace
from datetime import timedelta

from sloguard.api.v1alpha1 import PromotionState
from sloguard.cluster import execute, reconcile, records, room_view
from sloguard.cluster.api import JOBS, Api
from sloguard.engine import candidates, gate, halt, next_trial, pacing, plan, progress, promotion
from sloguard.engine.actions import StopTrial
from sloguard.engine.canary import canary_spec
from sloguard.engine.room import AMPLE
from sloguard.engine.soak import soaks_of
from sloguard.engine.windows import ALWAYS_OPEN
from tests.simulation import operators
from tests.simulation.invariants import ViolationError
from tests.simulation.operators import without_a_lease
from tests.simulation.world import run

ENOUGH = 300
"""Schedules within which each of them shows; most show in the first few."""


def found(seeds=range(ENOUGH), **how):
    """The first broken promise."""
    for seed in seeds:
        try:
            run(seed, **how)
        except ViolationError as error:
            return str(error)
    return "nothing"


def assert_found(*signs, **how):
    told = found(**how)
    assert any(sign in told for sign in signs), told


def test_more_trials_at_once_than_may_be(monkeypatch):
    monkeypatch.setattr(next_trial, "_blocked", lambda _: None)
    monkeypatch.setattr(records, "_objection", lambda *_: "")
    assert_found("there at once", "left over")


def test_a_number_left_out(monkeypatch):
    monkeypatch.setattr(candidates, "_next_number", lambda latest: latest[-1].spec.number + 2)
    assert_found("leaves a gap")


def test_a_job_that_nobody_removes(monkeypatch):
    async def delete(self, resource, namespace, name, _delete=Api.delete):
        if resource is not JOBS:
            await _delete(self, resource, namespace, name)

    monkeypatch.setattr(Api, "delete", delete)
    assert_found("left over", "storm", "not settled")


def test_trials_that_are_never_stopped(monkeypatch):
    async def do(api, settings, gathered, action, written, _do=execute._do):
        if not isinstance(action, StopTrial):
            await _do(api, settings, gathered, action, written)

    monkeypatch.setattr(execute, "_do", do)
    waits = ("it waits for GPUs, and some are free", "it waits for a quota that has room")
    assert_found("there at once", "are live than may be", "left over", *waits)


def test_a_promotion_that_is_only_said(monkeypatch):
    """Nobody puts the arguments into production."""

    def begin(*arguments, _begin=promotion.begin):
        return _begin(*arguments).model_copy(update={"state": PromotionState.PROMOTED})

    monkeypatch.setattr(plan, "begin", begin)
    assert_found("but production ran with")


def test_production_that_is_given_what_was_never_soaked(monkeypatch):
    """Neither before it was recommended, for want of minutes or because a person named another, nor since."""
    monkeypatch.setattr(plan, "before_promotion", lambda *_: None)
    assert_found("is promoted, and soaks ended so")


def test_a_death_in_a_soak_that_is_not_minded(monkeypatch):
    monkeypatch.setattr(gate, "death_of", lambda *_: None)
    monkeypatch.setattr(gate, "is_owed", lambda _, soaked, trials: not soaks_of(soaked, trials))
    monkeypatch.setattr(next_trial, "death_of", lambda *_: None)
    monkeypatch.setattr(next_trial, "is_owed", lambda _, soaked, trials: not soaks_of(soaked, trials))
    assert_found("is promoted, and soaks ended so", "not settled")


def test_a_rollback_that_is_only_said(monkeypatch):
    def roll_back(before, _, now, why):
        return promotion.PromotionStep(promotion.entered(before, PromotionState.ROLLED_BACK, now, why))

    monkeypatch.setattr(promotion, "_roll_back", roll_back)
    assert_found("but production ran with")


def test_a_pace_that_is_not_given_back(monkeypatch):
    monkeypatch.setattr(pacing, "to_give_back", lambda *_: None)
    assert_found("production's pace was not given back")


def test_a_finalizer_that_stays(monkeypatch):
    async def with_finalizer(api, study, *, wanted, _original=execute._with_finalizer):
        return await _original(api, study, wanted=True) if wanted else study

    monkeypatch.setattr(execute, "_with_finalizer", with_finalizer)
    assert_found("finalizer True", "does not go")


def test_a_status_that_is_never_the_same(monkeypatch):
    def planned(snapshot, now, _plan=plan.plan):
        made = _plan(snapshot, now)
        return replace(made, status=made.status.model_copy(update={"started_at": now}))

    monkeypatch.setattr(reconcile, "plan", planned)
    assert_found("storm", "spins", "at rest was written", "not settled")


def test_a_reconciler_that_does_not_wait(monkeypatch):
    async def at_once(self, key, _reconcile=reconcile.Reconciler.reconcile):
        return None if await _reconcile(self, key) is None else 0.0

    monkeypatch.setattr(reconcile.Reconciler, "reconcile", at_once)
    assert_found("spins")


def test_a_defect_that_is_logged(monkeypatch):
    def verdict(*_):
        raise KeyError("log")

    monkeypatch.setattr(progress, "_verdict", verdict)
    assert_found("traceback")


def test_windows_that_are_not_kept(monkeypatch):
    monkeypatch.setattr(next_trial, "_outside", lambda _: None)
    monkeypatch.setattr(halt, "hours_of", lambda *_: ALWAYS_OPEN)
    assert_found("begun outside of the study's windows")


def test_windows_that_stop_nothing(monkeypatch):
    monkeypatch.setattr(halt, "hours_of", lambda *given, _hours=halt.hours_of: replace(_hours(*given), stops=False))
    assert_found("though the window that stops it has closed", "run on after the window", seeds=range(440, 740))


def test_a_failure_in_production_that_was_none(monkeypatch):
    def recorded(promoted, known):
        return None if known.canaries else canary_spec(known, promoted, "Recorded, whatever it came to.")

    monkeypatch.setattr(plan, "failure_to_record", recorded)
    assert_found("tells of a failure, and of none is known")


def test_a_server_for_what_only_tells_of_production(monkeypatch):
    monkeypatch.setattr(plan, "without_server", lambda *_: None)
    monkeypatch.setattr(plan, "canary_ends", lambda _: "")
    assert_found("which only tells of what failed in production", seeds=range(90, 390))  # one in a hundred fails there


def test_a_quota_that_is_not_asked_for(monkeypatch):
    monkeypatch.setattr(room_view, "quota_room", lambda *_: AMPLE)
    assert_found("though no more pods may be")


def test_a_server_that_a_dead_operator_left_behind_and_nobody_counts(monkeypatch):
    """Each operator dies between writing down a trial's end and removing its server."""
    died = set()

    def maybe_die(self, dies, when, _maybe_die=operators._Incarnation._maybe_die):
        once = (self.process.world.seed, when)
        removes = when.startswith("before DELETE") and "/jobs/" in when and once not in died
        died.update({once} if removes else ())
        self.process.world._undisturbed &= not removes  # what was to end at once may end late
        _maybe_die(self, dies or removes, when)

    def seen_dying():
        died.clear()
        return found(range(20))

    monkeypatch.setattr(operators._Incarnation, "_maybe_die", maybe_die)
    assert seen_dying() == "nothing"
    assert died
    monkeypatch.setattr(progress, "LEAVING", timedelta(days=1))
    assert "was left behind, and 0 of" in seen_dying()


def test_a_write_that_asks_for_no_version(monkeypatch):
    """What another operator wrote meanwhile is lost."""

    async def put(self, resource, body, *subresource, _put=Api._put):
        there = await self.get(resource, body["metadata"]["namespace"], body["metadata"]["name"])
        version = there["metadata"]["resourceVersion"] if there else ""
        fresh = body | {"metadata": body["metadata"] | {"resourceVersion": version}}
        return await _put(self, resource, fresh, *subresource)

    without_a_lease(monkeypatch)
    monkeypatch.setattr(Api, "_put", put)
    assert_found("was finished and has changed", doubled=True)
