"""What the models promise to those who work with them."""

import pytest
from pydantic import BaseModel, ValidationError

import sloguard.api.v1alpha1 as api
from sloguard.api.structural import structural
from sloguard.api.v1alpha1.rules import Rule
from tests.unit.api.full_status import filled
from tests.unit.api.studies import BASE, GOOD_STUDIES, changed

MODELS = [each for name in api.__all__ if isinstance(each := getattr(api, name), type) and issubclass(each, BaseModel)]
WITH_RULES = [model for model in MODELS if getattr(model, "rules", ())]


@pytest.mark.parametrize("name", GOOD_STUDIES)
def test_what_is_dumped_is_read_back(name):
    study = api.Study.model_validate(GOOD_STUDIES[name])
    assert api.Study.model_validate(study.dump()) == study
    assert api.Study.model_validate_json(study.model_dump_json()) == study


@pytest.mark.parametrize("model", [api.StudyStatus, api.TrialStatus, api.LoadResult], ids=lambda model: model.__name__)
def test_what_was_observed_is_read_back(model):
    full = filled(model)
    assert model.model_validate(full.dump()) == full


@pytest.mark.parametrize("model", [api.StudyStatus, api.TrialStatus, api.LoadResult], ids=lambda model: model.__name__)
def test_a_status_of_a_later_version_is_read(model):
    full = filled(model)
    assert model.model_validate(full.dump() | {"later": 1}) == full


def test_a_study_of_a_later_version_is_not_run_as_if_it_said_less():
    with pytest.raises(ValidationError, match="later"):
        api.Study.model_validate(changed({"spec.later": 1}))


def test_a_study_cannot_be_changed_in_place():
    study = api.Study.model_validate(BASE)
    with pytest.raises(ValidationError, match="frozen"):
        study.spec.suspend = True  # pyright: ignore[reportAttributeAccessIssue]


def test_a_dump_holds_no_nulls_and_only_json():
    dumped = api.Study.model_validate(GOOD_STUDIES["smallest"]).dump()
    assert "seed" not in dumped["spec"]["optimizer"]
    assert dumped["spec"]["promotion"]["mode"] == "Manual"
    assert type(dumped["spec"]["promotion"]["mode"]) is str


def test_defaults_are_those_of_the_design():
    spec = api.Study.model_validate(GOOD_STUDIES["smallest"]).spec
    assert (spec.target.kind, spec.objective, spec.search_space.preset) == ("Deployment", "Goodput", "Core")
    assert (spec.budget.trials, spec.budget.gpu_minutes, spec.budget.wall_clock_minutes) == (30, 240, 1440)
    assert (spec.promotion.mode, spec.promotion.confirmations, spec.promotion.strategy) == ("Manual", 3, "Rolling")
    assert (spec.workload.sweep_percent, spec.slos[0].percentile, spec.optimizer.name) == ([100], 99, "auto")
    assert not spec.search_space.allow_quality_change


def test_several_broken_rules_are_all_told():
    with pytest.raises(ValidationError) as caught:
        api.Workload.model_validate(BASE["spec"]["workload"] | {"sweepPercent": [50, 50]})
    (error,) = caught.value.errors()
    assert [path for path, _ in error["ctx"]["error"].broken] == [".sweepPercent", ".sweepPercent"]
    assert "lacks 100" in error["msg"]
    assert "holds a rate twice" in error["msg"]


@pytest.mark.parametrize("model", WITH_RULES, ids=lambda model: model.__name__)
def test_a_rule_has_a_value_for_every_gap_in_its_message(model):
    for rule in model.rules:
        assert rule.message.replace("%%", "").count("%s") == len(rule.values), rule.message
        assert "%" not in rule.message.replace("%s", "").replace("%%", ""), rule.message


@pytest.mark.parametrize("model", WITH_RULES, ids=lambda model: model.__name__)
def test_a_rule_blames_a_field_that_is_there(model):
    schema = structural(model.model_json_schema(), written=True)
    for rule in model.rules:
        place = schema
        for part in filter(None, rule.path.split(".")):
            assert part in place["properties"], rule.path
            place = place["properties"][part]


def test_a_rule_without_values_is_told_as_it_stands():
    rule = Rule(cel="self.a", message="100 %% is too much; take less", broken=lambda _: ())
    assert rule.validation() == {"rule": "self.a", "message": "100 % is too much; take less"}
    assert rule.message_for(None) == "100 % is too much; take less"


def test_a_rule_with_values_has_a_message_for_when_they_cannot_be_shown():
    rule = Rule(cel="self.a", message='"%s" is odd; mend it', values=("self.b",), broken=lambda _: ("b",), path=".b")
    assert rule.validation() == {
        "rule": "self.a",
        "messageExpression": '"\\"%s\\" is odd; mend it".format([self.b])',
        "message": '"…" is odd; mend it',
        "fieldPath": ".b",
    }
    assert rule.message_for(None) == '"b" is odd; mend it'


def test_every_knob_has_one_kind():
    from sloguard.api.v1alpha1.knobs import INTEGERS, SHARES, SWITCHES
    from sloguard.domain.knobs import KNOBS, Kind

    kinds = {Kind.INT: INTEGERS, Kind.DECIMAL: SHARES, Kind.SWITCH: SWITCHES}
    for kind, names in kinds.items():
        assert {knob.name for knob in KNOBS.values() if knob.kind is kind} == set(names)
