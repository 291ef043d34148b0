"""JSON without its nulls."""

from typing import Any, cast


def without_nulls(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """A field without a value is as good as absent: the API server drops it too, where the field has a default."""
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        return {name: without_nulls(each) for name, each in fields.items() if each is not None}
    if isinstance(value, list):
        return [without_nulls(each) for each in cast("list[object]", value)]
    return value
