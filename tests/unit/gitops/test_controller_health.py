"""What Argo CD and Flux are told of a study's and a trial's health, by the very expressions of examples/gitops.

Argo CD runs Lua 5.1 (gopher-lua), Flux CEL: both run here. Kubernetes' own statuses (kstatus) need neither.
"""

from pathlib import Path

import celpy
import lupa.lua51
import pytest
import yaml
from celpy.adapter import json_to_cel

from sloguard.api.v1alpha1 import (
    ConditionStatus,
    ObjectMeta,
    Outcome,
    StatusCondition,
    StudyPhase,
    StudyStatus,
    TrialPhase,
    TrialStatus,
)
from tests.unit.engine.builders import T0

EXAMPLES = Path(__file__).resolve().parents[3] / "examples/gitops"
LUA = yaml.safe_load((EXAMPLES / "argocd/argocd-cm.yaml").read_text())["data"]
FLUX = list(yaml.safe_load_all((EXAMPLES / "flux/llama.yaml").read_text()))
BY_PHASE = {
    StudyPhase.COMPLETED: "Healthy",
    StudyPhase.FAILED: "Degraded",
    StudyPhase.SUSPENDED: "Suspended",
    StudyPhase.AWAITING_APPROVAL: "Suspended",
}


def argo(kind, obj):
    """Of the object as Argo CD has it, tables for maps and lists."""
    lua = lupa.lua51.LuaRuntime(unpack_returned_tuples=True)
    lua.globals()["obj"] = lua.table_from(obj, recursive=True)
    return dict(lua.execute(LUA[f"resource.customizations.health.sloguard.dev_{kind}"]))


def flux(obj):
    """In the order in which Flux asks."""
    (asked,) = FLUX[1]["spec"]["healthCheckExprs"]
    for verdict in ("failed", "current"):
        program = celpy.Environment()
        if program.program(program.compile(asked[verdict])).evaluate({k: json_to_cel(v) for k, v in obj.items()}):
            return verdict
    return "inProgress"


def study(phase, *conditions, seen=3):
    status = StudyStatus(observed_generation=seen, phase=phase, conditions=list(conditions))
    return {"metadata": {"name": "s", "generation": 3}, "status": status.dump()}


def condition(kind, status, reason, message):
    return StatusCondition(
        type=kind, status=ConditionStatus(status), reason=reason, message=message, last_transition_time=T0
    )


NOT_READY = condition("Ready", "False", "Searching", "trial 4: because")
STALLED = condition("Stalled", "True", "WindowsTooShort", "raise durationMinutes")


@pytest.mark.parametrize("phase", list(StudyPhase))
def test_a_study_is_as_healthy_as_its_phase(phase):
    obj = study(phase, NOT_READY)
    assert argo("SLOGuardStudy", obj) == {"status": BY_PHASE.get(phase, "Progressing"), "message": "trial 4: because"}
    assert flux(obj) == "current", "Flux goes on: a study may take hours"


@pytest.mark.parametrize("phase", list(StudyPhase))
def test_a_stalled_study_is_degraded_and_says_why(phase):
    obj = study(phase, NOT_READY, STALLED)
    found = argo("SLOGuardStudy", obj)
    assert found == {"status": "Degraded", "message": "WindowsTooShort: raise durationMinutes"}
    assert flux(obj) == "failed"


@pytest.mark.parametrize(
    "obj", [{"metadata": {"name": "s", "generation": 1}, "status": {}}, study(StudyPhase.COMPLETED, seen=2)]
)
def test_what_the_operator_has_not_looked_at_is_under_way(obj):
    assert argo("SLOGuardStudy", obj)["status"] == "Progressing"
    assert flux(obj) == "inProgress"


@pytest.mark.parametrize("phase", list(TrialPhase))
def test_a_trial_that_has_ended_is_healthy_whatever_it_found(phase):
    status = TrialStatus(phase=phase, outcome=Outcome.CRASHED, message="HostOutOfMemory: killed")
    metadata = ObjectMeta(name="s-1-1").model_dump(mode="json", exclude_none=True)
    found = argo("SLOGuardTrial", {"metadata": metadata, "status": status.dump()})
    ended = phase is TrialPhase.FINISHED
    assert found["status"] == ("Healthy" if ended else "Progressing")
    assert found["message"] == ("Crashed: HostOutOfMemory: killed" if ended else phase.value)
