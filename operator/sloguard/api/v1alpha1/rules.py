"""Constraints that JSON Schema cannot tell: each has a CEL expression for the API server and a check in Python.

Both give the same message, because it stands here once. A property test and the tests on a real API server hold the
two against each other.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


class RulesBrokenError(ValueError):
    """What a model's rules say about it, each with the field to blame (relative to the model, or empty)."""

    def __init__(self, broken: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(message for _, message in broken))
        self.broken = tuple(broken)


class Rule(NamedTuple):
    """A constraint that spans fields.

    `cel` is true where it holds. `message` names the value and the remedy; each `%s` in it takes one of `values`, CEL
    expressions, or of what `broken` returns: the same values in Python, or None where the rule holds.
    `path` is the field to blame (CEL's `fieldPath`, such as `.budget.trials`), or empty for the whole.
    `failing` is what the API server says where the CEL expression itself fails, after the cause.
    """

    cel: str
    message: str
    broken: Callable[[Any], tuple[object, ...] | None]
    values: tuple[str, ...] = ()
    path: str = ""
    failing: str = ""

    def message_for(self, model: object) -> str | None:
        """What is wrong with the model, or None."""
        values = self.broken(model)
        return None if values is None else self.message % values

    def validation(self) -> dict[str, str]:
        """The rule as an entry of `x-kubernetes-validations`."""
        entry = {"rule": self.cel} | _told(self.message, self.values, self.failing)
        return entry | ({"fieldPath": self.path} if self.path else {})


def _told(message: str, values: tuple[str, ...], failing: str = "") -> dict[str, str]:
    if not values:
        return {"message": message.replace("%%", "%")}
    return {
        # `format` rather than `+`: the API server grants no concatenation of strings whose length it cannot foresee.
        "messageExpression": f"{cel_string(message)}.format([{', '.join(values)}])",
        # Said instead where a value holds a line break, and after the cause where the rule itself fails.
        "message": failing or message.replace("%s", "…").replace("%%", "%"),
    }


def cel_string(text: str) -> str:
    """A CEL literal; its escapes are JSON's."""
    return json.dumps(text, ensure_ascii=False)


def cel_list(texts: Sequence[str]) -> str:
    """A CEL list of strings."""
    return f"[{', '.join(map(cel_string, texts))}]"


def cel_matches(expression: str, pattern: str) -> str:
    """Whether the whole of a string matches."""
    return f"{expression}.matches({cel_string(f'^(?:{pattern})$')})"


@dataclass(frozen=True, slots=True)
class TextRule:
    """Annotates a string with a rule of its own. `message` has one `%s` for the value.

    Where a `pattern` of JSON Schema would show people a regular expression, this tells them what to write.
    """

    cel: str
    message: str
    holds: Callable[[str], bool]
    failing: str = ""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        rule = {"rule": self.cel} | _told(self.message, ("self",), self.failing)
        return handler(schema) | {"x-kubernetes-validations": [rule]}

    def _checked(self, value: str) -> str:
        if not self.holds(value):
            raise RulesBrokenError([("", self.message % value)])
        return value


def matching(pattern: str, message: str) -> TextRule:
    """The rule that the whole of a string matches a pattern, which has to mean the same to Python and to RE2."""
    return TextRule(cel_matches("self", pattern), message, lambda value: matches(value, pattern))


def matches(text: str, pattern: str) -> bool:
    """Whether the whole of a text matches, as `cel_matches` says it."""
    return re.fullmatch(pattern, text, re.ASCII) is not None


def _only_seen_by_the_api_server(_: object) -> None:
    return None


def immutable(field: str, why: str) -> Rule:
    """A transition rule; local files have no earlier version that they could differ from."""
    return Rule(
        cel=f"self.{field} == oldSelf.{field}",
        message=f"{field} cannot be changed: {why}",
        broken=_only_seen_by_the_api_server,
        path=f".{field}",
    )


def cluster_only(cel: str, message: str, path: str = "") -> Rule:
    """A rule on what only local files may hold."""
    return Rule(cel=cel, message=message, broken=_only_seen_by_the_api_server, path=path)
