"""pydantic's complaints in plain sentences that name the value and the remedy."""

import difflib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, cast

from pydantic_core import ErrorDetails

from .documents import Path, Problem
from .structural import Schema, structural
from .v1alpha1 import RulesBrokenError, Study, Trial

_SHOWN_CHARACTERS: Final = 60


def problems(error: ErrorDetails, model: type[Study | Trial] = Study) -> list[Problem]:
    """One complaint about an object of this kind; a model may have broken several rules at once."""
    path: Path = tuple(error["loc"])
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, RulesBrokenError):
        return [Problem((*path, *filter(None, field.split("."))), message) for field, message in cause.broken]
    return [Problem(path, _sentence(error, path, model))]


def _sentence(error: ErrorDetails, path: Path, model: type[Study | Trial]) -> str:
    context: Mapping[str, Any] = error.get("ctx", {})
    value = shown(error["input"])
    match error["type"]:
        case "missing":
            return "is missing; add it"
        case "extra_forbidden":
            return _unknown_field(path, model)
        case "enum":
            return _unknown_value(error["input"], _schema_at(path, model).get("enum", []))
        case "greater_than_equal":
            return f"{value} is too low; the least is {context['ge']}"
        case "less_than_equal":
            return f"{value} is too high; the most is {context['le']}"
        case "too_long":
            return f"has {context['actual_length']} entries; the most is {context['max_length']}"
        case "too_short":
            return f"has {context['actual_length']} entries; the least is {context['min_length']}"
        case "string_too_long":
            return f"{value} has {len(error['input'])} characters; the most is {context['max_length']}"
        case "string_too_short":
            return f"{value} has too few characters; the least is {context['min_length']}"
        case kind:
            remedy = _REMEDIES.get(kind)
            return f"{value} {remedy}" if remedy else f"{value}: {error['msg'][0].lower()}{error['msg'][1:]}"


_NO_WHOLE_NUMBER: Final = "is not a whole number; write one, without quotes or a point"
_NO_MAPPING: Final = "stands where fields belong; write them below it, indented, as name: value"
_REMEDIES: Final = {
    "int_type": _NO_WHOLE_NUMBER,
    "int_from_float": _NO_WHOLE_NUMBER,
    "int_parsing": _NO_WHOLE_NUMBER,
    "int_parsing_size": "is not a number that can be used here",
    "string_type": "is not text; put it in quotes",
    "bool_type": "is neither true nor false; write one of them, without quotes",
    "list_type": "is not a list; begin each entry with a dash",
    "dict_type": _NO_MAPPING,
    "model_type": _NO_MAPPING,
    "model_attributes_type": _NO_MAPPING,
}


def shown(value: object) -> str:
    """A value as it stands in the file, or what it is where it is long."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"


def _unknown_field(path: Path, model: type[Study | Trial]) -> str:
    known = list(_schema_at(path[:-1], model).get("properties", {}))
    return f"is not a known field; {_nearest(str(path[-1]), known)}"


def _unknown_value(value: object, known: list[str]) -> str:
    if not isinstance(value, str):
        return f"{shown(value)} {_REMEDIES['string_type']}; {_one_of(known)}"
    return f"{shown(value)} is not known; {_nearest(value, known)}"


def _nearest(name: str, known: list[str]) -> str:
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"did you mean {folded[close[0]]}? {_capital(_one_of(known))}" if close else _one_of(known)


def _one_of(known: Iterable[str]) -> str:
    return f"use one of {', '.join(known)}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


@cache
def _schema_of(model: type[Study | Trial]) -> Schema:
    return structural(model.model_json_schema(by_alias=True), written=True)


def _schema_at(path: Path, model: type[Study | Trial]) -> Schema:
    schema = _schema_of(model)
    for part in path:
        below = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
        schema = cast("Schema", below or {})
    return schema
