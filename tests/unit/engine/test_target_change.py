"""Production is changed by somebody while a study runs."""

from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import OnTargetChange, Outcome, PromotionState, Purpose, StudyPhase
from sloguard.engine.plan import plan
from sloguard.engine.snapshot import TargetState
from sloguard.engine.target_change import argument_changes
from tests.unit.engine.builders import PRODUCTION, World, condition, make_study

NOW_SERVED = TargetState(PRODUCTION, serving_hash="one", image="vllm:0.33.0")
NEW_IMAGE = replace(NOW_SERVED, serving_hash="two", image="vllm:0.34.0")
NEW_ARGUMENTS = replace(NOW_SERVED, arguments=("model", "--max-num-seqs=4", "--api-key=hidden", "--port=8000"))


def grows(trial):
    return float(trial.spec.parameters.get("max_num_seqs", "1"))


def searching(on="Stall", trials=4, **spec):
    """In the middle of its search, with a trial under way."""
    world = World(make_study(on_target_change=OnTargetChange(on), **spec), serve=grows, target=NOW_SERVED)
    for _ in range(60):
        world.step()
        if len(world.trials) == trials and world.servers:
            return world
        world.work()
    raise AssertionError("it never came so far")


def stalled(world):
    found = condition(world.study.status, "Stalled")
    return found.reason if found.status.value == "True" else ""


@pytest.mark.parametrize("target", [NEW_IMAGE, NEW_ARGUMENTS, replace(NOW_SERVED, serving_hash="three")])
def test_trials_end_and_the_study_waits_until_it_is_put_back(target):
    world = searching()
    before = set(world.trials)
    world.target = target
    for _ in range(3):
        world.step()
    assert stalled(world) == "TargetChanged"
    assert not world.servers
    assert set(world.trials) == before
    world.target = NOW_SERVED
    world.run()
    assert world.phase is StudyPhase.COMPLETED
    assert world.study.status.target.first_trial == 0


def test_it_is_said_what_changed_and_no_secret_is_told():
    world = searching()
    world.target = replace(NEW_ARGUMENTS, serving_hash="two", image="vllm:0.34.0")
    world.step()
    told = condition(world.study.status, "Stalled").message
    assert "its image from vllm:0.33.0 to vllm:0.34.0" in told
    assert "max_num_seqs from 2 to 4, --api-key" in told
    assert "hidden" not in str(world.study.status)
    assert "hidden" not in str(world.events)


@pytest.mark.parametrize(
    "target",
    [replace(NOW_SERVED, replicas=5), replace(NOW_SERVED, template_hash="of an annotation")],
    ids=["scaled", "annotated"],
)
def test_what_changes_nothing_of_the_server_does_not_matter(target):
    world = searching()
    world.target = target
    world.step()
    assert not stalled(world)
    assert world.servers


def test_production_without_replicas_stalls_until_it_is_back():
    world = searching()
    world.target = replace(NOW_SERVED, replicas=0)
    for _ in range(2):
        world.step()
    assert stalled(world) == "TargetScaledToZero"
    assert not world.servers
    world.target = NOW_SERVED
    world.run()
    assert world.phase is StudyPhase.COMPLETED


@pytest.mark.parametrize("target", [NEW_IMAGE, NEW_ARGUMENTS])
def test_a_restart_measures_both_baselines_anew_and_forgets_what_was_found(target):
    world = searching("Restart", budget={"trials": 20})
    before = dict(world.trials)
    world.target = target
    world.step()
    first = world.study.status.target.first_trial
    assert first == 1 + max(t.spec.number for t in before.values())
    assert world.study.status.best is None
    assert "TargetChanged" in {event.reason for event in world.events.values()}
    world.run()
    assert world.phase is StudyPhase.COMPLETED
    assert not stalled(world)
    numbers = sorted(t.spec.number for t in world.trials.values() if t.spec.attempt == 1)
    assert numbers == list(range(len(numbers)))
    assert len(numbers) <= 20
    anew = [world.trials[f"s-{number}-1"] for number in (first, first + 1)]
    assert [t.spec.purpose for t in anew] == [Purpose.PRODUCTION, Purpose.DEFAULT]
    assert anew[0].status.arguments == list(target.arguments)
    status = world.study.status
    assert status.trials.total == len(numbers)
    assert int(status.recommendation.trial.split("-")[1]) >= first
    assert world.events[f"target-changed-{first}"].message.endswith("both baselines are measured anew")
    again = plan(world.gather(), world.now)
    assert not again.actions
    assert again.status == status


def test_a_study_that_was_changed_twice_begins_anew_twice():
    world = searching("Restart", budget={"trials": 30})
    world.target = NEW_IMAGE
    for _ in range(9):
        world.step()
        world.work()
    between = world.study.status.target.first_trial
    world.target = NEW_ARGUMENTS
    world.run()
    assert world.study.status.target.first_trial > between > 0
    assert world.phase is StudyPhase.COMPLETED


def test_without_room_in_the_budget_it_is_said_so():
    world = searching("Restart", budget={"trials": 8})
    world.change(budget={"trials": 6})
    world.target = NEW_IMAGE
    for _ in range(2):
        world.step()
    assert stalled(world) == "TargetChanged"
    assert "no room to begin anew: raise spec.budget" in condition(world.study.status, "Stalled").message
    world.change(budget={"trials": 30})
    world.run()
    assert world.phase is StudyPhase.COMPLETED
    assert world.study.status.target.first_trial > 0


def test_trials_that_were_cut_off_by_a_change_are_not_made_again():
    world = searching("Restart", budget={"trials": 20})
    (under_way,) = [t for t in world.trials.values() if not t.finished]
    world.target = NEW_IMAGE
    world.run()
    assert world.trials[under_way.name].status.outcome is Outcome.CANCELLED
    assert f"s-{under_way.spec.number}-2" not in world.trials


def promoting():
    world = World(make_study(promotion={"mode": "Automatic"}), serve=grows, target=NOW_SERVED)
    for _ in range(120):
        world.step()
        if world.promotion is PromotionState.VERIFYING:
            return world
        world.work()
    raise AssertionError("it never came so far")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"serving_hash": "two", "image": "vllm:0.34.0"}, "its image from vllm:0.33.0 to vllm:0.34.0"),
        ({"replicas": 0}, "scaled production to 0"),
        ({"arguments": ("other",)}, "changed production's arguments"),
    ],
)
def test_a_change_during_a_promotion_halts_it(change, told):
    world = promoting()
    applied = list(world.applied)
    world.target = replace(world.target, **change)
    world.run()
    assert world.promotion is PromotionState.HALTED
    assert told in world.study.status.promotion.message
    assert world.applied == applied


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (("m",), ("m",), ""),
        (("m",), ("n",), "its arguments: model from m to n"),
        (("--model", "m"), ("--model=n",), "its arguments: model from m to n"),
        (("m", "--a", "--b"), ("m", "--b", "--a"), "its arguments: their order"),
        (("m", "--hf-token", "x"), ("m", "--hf-token", "y"), "its arguments: --hf-token"),
        (("m", "--seed=1"), ("m",), "its arguments: --seed"),
    ],
)
def test_arguments_are_told_by_name(before, after, told):
    assert argument_changes(before, after) == told
