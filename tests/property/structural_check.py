"""The part of the API server's validation that a structural schema drives, without its rules."""

from datetime import datetime
from typing import Any

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}


def complaints(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """Where a value does not fit, unknown fields included."""
    if not isinstance(value, TYPES[schema["type"]]) or (isinstance(value, bool) and schema["type"] != "boolean"):
        return [f"{path}: {value!r} is no {schema['type']}"]
    found = [
        f"{path}: {value!r}: {keyword}"
        for keyword, fits in FITS.items()
        if keyword in schema and not fits(value, schema[keyword])
    ]
    if isinstance(value, dict):
        found += _fields(value, schema, path)
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += complaints(item, schema["items"], f"{path}[{index}]")
    return found


def _fields(value: dict[str, Any], schema: dict[str, Any], path: str) -> list[str]:
    found = [f"{path}.{name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, each in value.items():
        field = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
        found += complaints(each, field, f"{path}.{name}") if field else [f"{path}.{name} is unknown"]
    return found


FITS = {
    "enum": lambda value, known: value in known,
    "minimum": lambda value, least: value >= least,
    "maximum": lambda value, most: value <= most,
    "minLength": lambda value, least: len(value) >= least,
    "maxLength": lambda value, most: len(value) <= most,
    "minItems": lambda value, least: len(value) >= least,
    "maxItems": lambda value, most: len(value) <= most,
    "maxProperties": lambda value, most: len(value) <= most,
    "format": lambda value, name: name != "date-time" or datetime.fromisoformat(value).tzinfo is not None,
}
