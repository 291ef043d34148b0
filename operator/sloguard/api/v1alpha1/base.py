"""What every model of the specification has in common."""

from typing import Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from .rules import Rule, RulesBrokenError

GROUP: Final = "sloguard.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "sloguard.dev/v1alpha1"


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

    def _obeying_rules(self) -> Self:
        broken = [(rule.path, message) for rule in self.rules if (message := rule.message_for(self)) is not None]
        if broken:
            raise RulesBrokenError(broken)
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        """As a validator of mode "after" would be, but none where there are no rules: most models have none, and each
        study and trial is read again and again.
        """
        schema = handler(source)
        return core_schema.no_info_after_validator_function(cls._obeying_rules, schema) if cls.rules else schema

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core_schema)
        if cls.rules:
            target = handler.resolve_ref_schema(schema)
            target["x-kubernetes-validations"] = [rule.validation() for rule in cls.rules]
        return schema

    def dump(self) -> dict[str, Any]:
        """As the API server would store it: camelCase, JSON types, no nulls."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class ObservedModel(Model):
    """Status written by any version of the system: fields that this version does not know are passed over."""

    model_config = ConfigDict(extra="ignore")
