"""What every model of the specification has in common."""

from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

GROUP: Final = "sloguard.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "sloguard.dev/v1alpha1"


class Rule(NamedTuple):
    """A constraint that spans fields, told once for the API server (CEL) and once for local files (Python).

    `cel` and `message` are CEL expressions over `self`; the message has to name the value and the remedy.
    `check` returns the same message, or None where the rule holds. A test holds the two against each other.
    `path` names the field to blame, relative to the model (CEL's `fieldPath`), or is empty.
    """

    cel: str
    message: str
    check: Callable[[Any], str | None]
    path: str = ""


class Model(BaseModel):
    """Frozen, camelCase outside, snake_case inside; an unknown field is an error, as under strict validation."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _obeys_rules(self) -> Self:
        broken = [message for rule in self.rules if (message := rule.check(self)) is not None]
        if broken:
            raise ValueError("; ".join(broken))
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        if cls.rules:
            target = handler.resolve_ref_schema(schema)
            target["x-kubernetes-validations"] = [validation(rule) for rule in cls.rules]
        return schema

    def dump(self) -> dict[str, Any]:
        """As the API server would store it: camelCase, JSON types, no nulls."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ObservedModel(Model):
    """Status written by any version of the system: fields that this version does not know are passed over."""

    model_config = ConfigDict(extra="ignore")


def validation(rule: Rule) -> dict[str, str]:
    """The rule as an entry of `x-kubernetes-validations`."""
    entry = {"rule": rule.cel, "messageExpression": rule.message}
    return entry | ({"fieldPath": rule.path} if rule.path else {})


def _only_seen_by_the_api_server(_: object) -> None:
    return None


def immutable(field: str, why: str) -> Rule:
    """A transition rule; local files have no earlier version that they could differ from."""
    return Rule(
        cel=f"self.{field} == oldSelf.{field}",
        message=f"'{field} cannot be changed: {why}'",
        check=_only_seen_by_the_api_server,
    )
