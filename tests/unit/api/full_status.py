"""A value for every field of a model, so that a test sees when one of them gets lost on the way."""

from datetime import UTC, datetime
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin

from annotated_types import Le, MinLen
from pydantic import AwareDatetime, BaseModel

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def filled(model: type[BaseModel]) -> Any:
    """The model with every optional field set, and one entry (or the fewest allowed) in every list and mapping."""
    values = {name: _value(field.annotation, field.metadata) for name, field in model.model_fields.items()}
    return model.model_validate(values)


def _value(kind: Any, metadata: list[Any] | None = None) -> Any:
    arguments = [each for each in get_args(kind) if each is not NoneType]
    if get_origin(kind) is list:
        return [_value(arguments[0])] * _fewest(metadata or [])
    if get_origin(kind) is dict:
        return {_value(arguments[0]): "64"}
    if arguments:  # an optional or annotated type
        return _value(arguments[0], [*arguments[1:], *(metadata or [])])
    if issubclass(kind, BaseModel):
        return filled(kind)
    if issubclass(kind, Enum):
        return next(iter(kind))
    most = next((each.le for each in _limits(metadata or []) if isinstance(each, Le)), 1_700_000_000_000)
    return {bool: True, int: min(most, 1_700_000_000_000), str: "text", AwareDatetime: NOW}[kind]


def _fewest(metadata: list[Any]) -> int:
    """Of a list within a list, the limits lie one level deeper."""
    return max([1, *(limit.min_length for limit in _limits(metadata) if isinstance(limit, MinLen))])


def _limits(metadata: list[Any]) -> list[Any]:
    return [limit for each in metadata for limit in getattr(each, "metadata", [each])]
