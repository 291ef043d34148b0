"""The schema that the API server gets."""

import pytest
from pydantic import Field, create_model

from sloguard.api import crd
from sloguard.api.structural import structural
from sloguard.api.v1alpha1 import Model, Study, Trial


def nodes(schema, path=""):
    """Every schema below one, with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            yield from nodes(schema[keyword], f"{path}[]")


def schema_of(kind, field):
    model = create_model("Sample", a=(kind, field))
    return structural(model.model_json_schema(), written=True)["properties"]["a"]


def test_an_optional_field_is_just_not_required():
    assert schema_of(int | None, Field(default=None, ge=1, le=9)) == {
        "type": "integer",
        "format": "int32",
        "minimum": 1,
        "maximum": 9,
    }


def test_exclusive_limits_become_flags():
    assert schema_of(int, Field(gt=0, lt=2**40)) == {
        "type": "integer",
        "format": "int64",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 2**40,
        "exclusiveMaximum": True,
    }


def test_a_keyword_that_is_not_known_is_an_error():
    with pytest.raises(ValueError, match="multipleOf: 5 has no counterpart"):
        schema_of(int, Field(multiple_of=5))


def test_keys_of_a_mapping_become_a_rule():
    (rule,) = crd.schema(Trial)["properties"]["spec"]["properties"]["parameters"]["x-kubernetes-validations"]
    assert rule["rule"].startswith("self.all(key, key in ['max_num_seqs', ")


def test_defaults_are_written_out_in_full():
    """The API server holds a default against the rules before it fills in what is nested."""
    promotion = crd.schema(Study)["properties"]["spec"]["properties"]["promotion"]
    assert promotion["default"]["verification"] == {"durationSeconds": 600}
    assert "seed" not in crd.schema(Study)["properties"]["spec"]["properties"]["optimizer"]["default"]


@pytest.mark.parametrize("model", [Study, Trial], ids=lambda model: model.__name__)
def test_everything_written_is_bounded(model: type[Model]):
    """Without bounds the cost of a rule cannot be foreseen, and one object could fill etcd."""
    for path, schema in nodes(crd.schema(model)["properties"]["spec"], "spec"):
        match schema["type"]:
            case "string":
                assert "maxLength" in schema or "enum" in schema, path
            case "array":
                assert "maxItems" in schema, path
            case "integer":
                assert {"minimum", "maximum"} <= schema.keys(), path
            case "object":
                assert "properties" in schema or "maxProperties" in schema, path


@pytest.mark.parametrize("model", [Study, Trial], ids=lambda model: model.__name__)
def test_a_status_has_neither_defaults_nor_rules_and_its_lists_end(model: type[Model]):
    for path, schema in nodes(crd.schema(model)["properties"]["status"], "status"):
        assert not {"default", "x-kubernetes-validations"} & schema.keys(), path
        assert schema["type"] != "array" or "maxItems" in schema, path


@pytest.mark.parametrize("model", [Study, Trial], ids=lambda model: model.__name__)
def test_there_are_no_floats(model: type[Model]):
    assert {schema["type"] for _, schema in nodes(crd.schema(model))} == {
        "object",
        "array",
        "string",
        "integer",
        "boolean",
    }


def test_the_command_writes_all_files(tmp_path, capsys):
    assert crd.main([str(tmp_path)]) == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == crd.files()
    assert crd.main([]) == 2
    assert "usage" in capsys.readouterr().err
