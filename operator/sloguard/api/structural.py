"""From pydantic's JSON schema to what a CustomResourceDefinition takes: a structural OpenAPI v3 schema.

References are inlined, optional fields lose their null, limits and defaults stay. A keyword that this module does not
know is an error: the API server would ignore it or refuse the definition, and either would be found out late.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .nulls import without_nulls

Schema = dict[str, Any]

INT32_MAX: Final = 2_147_483_647
INT32_MIN: Final = -2_147_483_648

_KEPT: Final = frozenset(
    {
        "default",
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "pattern",
        "required",
        "type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        "x-kubernetes-validations",
    }
)
_LEFT_OUT: Final = frozenset({"$defs", "const", "title"})
_FIRST: Final = ("description", "type", "format", "default", "enum")
_LAST: Final = ("items", "properties", "additionalProperties", "x-kubernetes-validations")


def structural(schema: Mapping[str, Any], *, written: bool) -> Schema:
    """The schema of one pydantic model. What is observed has neither defaults nor rules."""
    return _Converter(schema.get("$defs", {}), written=written).convert(schema)


class _Converter:
    def __init__(self, definitions: Mapping[str, Schema], *, written: bool) -> None:
        self._definitions = definitions
        self._written = written

    def convert(self, schema: Mapping[str, Any]) -> Schema:
        source = self._resolved(schema)
        result: Schema = {}
        for keyword, value in source.items():
            self._keyword(result, keyword, value)
        _name_integer_width(result)
        return _ordered(result)

    def _resolved(self, schema: Mapping[str, Any]) -> Schema:
        """Without `$ref` and without the null of an optional field; what stands beside them has precedence."""
        source = dict(schema)
        if "anyOf" in source:
            (given,) = (option for option in source.pop("anyOf") if option != {"type": "null"})
            source = self._resolved(given) | source
        if "$ref" in source:
            definition = self._definitions[source.pop("$ref").removeprefix("#/$defs/")]
            source = self._resolved(definition) | source
        return source

    def _keyword(self, result: Schema, keyword: str, value: Any) -> None:  # noqa: ANN401 - any JSON
        match keyword:
            case "properties":
                result[keyword] = {name: self.convert(each) for name, each in value.items()}
            case "items":
                result[keyword] = self.convert(value)
            case "additionalProperties":
                # false is what pruning and strict field validation are for; true has no place in a closed schema
                if value is not False:
                    result[keyword] = self.convert(value)
            case "propertyNames":
                self._rules(result, [_known_keys(self._resolved(value)["enum"])])
            case "x-kubernetes-validations":
                self._rules(result, value)
            case "exclusiveMinimum" | "exclusiveMaximum":
                # JSON Schema gives the limit itself; OpenAPI v3 has a flag beside it
                result |= {keyword: True, keyword[9].lower() + keyword[10:]: value}
            case "default":
                # An object's default is written out in full: the API server holds it against the rules as it stands.
                if self._written and value is not None:
                    result[keyword] = without_nulls(value)
            case _ if keyword in _KEPT:
                result[keyword] = value
            case _ if keyword in _LEFT_OUT:
                pass
            case _:
                raise ValueError(f"{keyword}: {value!r} has no counterpart in a structural schema")

    def _rules(self, result: Schema, rules: Iterable[Mapping[str, str]]) -> None:
        if self._written:
            result.setdefault("x-kubernetes-validations", []).extend(dict(rule) for rule in rules)


def _known_keys(names: list[str]) -> dict[str, str]:
    """A map's keys cannot be an enum in a CRD, so a rule says it."""
    remedy = f" is not known; use {', '.join(names)}"
    known = "[" + ", ".join(f"'{name}'" for name in names) + "]"
    return {
        "rule": f"self.all(key, key in {known})",
        # The first is enough: all of them would cost more than the API server grants, as keys have no known length.
        "messageExpression": f"self.filter(key, !(key in {known}))[0] + '{remedy}'",
    }


def _name_integer_width(result: Schema) -> None:
    if result.get("type") == "integer":
        fits = result.get("minimum", INT32_MIN - 1) >= INT32_MIN and result.get("maximum", INT32_MAX + 1) <= INT32_MAX
        result["format"] = "int32" if fits else "int64"


def _ordered(result: Schema) -> Schema:
    """What a reader looks for first; the rest, and fields, keep the order in which the models tell them."""
    between = (key for key in result if key not in _LAST)
    return {key: result[key] for key in (*_FIRST, *between, *_LAST) if key in result}
