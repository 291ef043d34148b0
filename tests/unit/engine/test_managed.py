"""Production that somebody else manages too: a promotion does not fight."""

from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import PromotionState, StudyPhase
from sloguard.engine.snapshot import Manager, TargetState
from tests.unit.engine.builders import PRODUCTION, World, condition, is_stalled, make_study

ARGO_CD = Manager("ArgoCD", "Argo CD's Application shop", by_git=True)
KSERVE = Manager("Controller", "the controller of InferenceService llama", by_git=False)
HELM = Manager("Helm", "Helm release llama", by_git=False, reverts=False)


def ended(manager, mode="Automatic"):
    world = World(make_study(promotion={"mode": mode}), lambda t: float(t.spec.parameters.get("max_num_seqs", 32)))
    world.target = TargetState(PRODUCTION, manager=manager)
    world.run()
    return world


@pytest.mark.parametrize(
    ("manager", "reason"), [(ARGO_CD, "TargetManagedByGitOps"), (KSERVE, "TargetManagedByController")]
)
def test_what_would_be_brought_back_is_not_changed(manager, reason):
    world = ended(manager)
    told = condition(world.study.status, "Stalled")
    assert (world.phase, told.reason) == (StudyPhase.AWAITING_APPROVAL, reason)
    assert manager.title in told.message
    assert world.study.status.recommendation.trial in told.message
    assert not world.applied
    assert world.target.arguments == PRODUCTION
    assert not world.finalizer


def test_a_person_may_want_it_all_the_same():
    world = ended(ARGO_CD)
    winner = world.study.status.recommendation.trial
    world.change(promotion={"mode": "Manual", "approved_trial": winner})
    world.run()
    assert world.promotion is PromotionState.PROMOTED
    assert not is_stalled(world.study.status)


def test_it_is_done_when_production_has_the_arguments():
    """Somebody committed them."""
    world = ended(ARGO_CD)
    arguments = tuple(world.study.status.recommendation.arguments)
    world.target = replace(world.target, arguments=arguments)
    world.run()
    assert world.phase is StudyPhase.COMPLETED
    assert condition(world.study.status, "Ready").reason == "AlreadyInProduction"
    assert not is_stalled(world.study.status)
    assert not world.applied


def test_other_arguments_are_somebodys_change():
    world = ended(ARGO_CD)
    world.target = replace(world.target, arguments=(*PRODUCTION, "--max-num-seqs=7"))
    world.run()
    assert condition(world.study.status, "Stalled").reason == "TargetChanged"


def test_a_release_of_helm_is_changed_and_the_study_says_what_comes_of_it():
    world = ended(HELM)
    assert world.promotion is PromotionState.PROMOTED
    told = condition(world.study.status, "TargetManaged")
    assert told.reason == "Helm"
    assert "next upgrade" in told.message


def test_nothing_is_said_where_nobody_else_is_known():
    assert all(c.type != "TargetManaged" for c in ended(None).study.status.conditions)
