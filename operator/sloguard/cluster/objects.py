"""Kubernetes objects as plain JSON, and reading them without stumbling over what is absent."""

from typing import Any, cast

Object = dict[str, Any]


def section(stored: Object | None, *path: str) -> Object:
    """The mapping at this path; empty where any part of it is absent."""
    found: Any = stored
    for key in path:
        found = cast("Object", found).get(key) if isinstance(found, dict) else None
    return cast("Object", found) if isinstance(found, dict) else {}


def listing(stored: Object | None, *path: str) -> list[Object]:
    """The list of mappings at this path; empty where any part of it is absent."""
    *parents, last = path
    found = section(stored, *parents).get(last)
    return cast("list[Object]", found) if isinstance(found, list) else []


def texts(stored: Object | None, *path: str) -> list[str]:
    """The list of texts at this path; empty where any part of it is absent."""
    *parents, last = path
    found = section(stored, *parents).get(last)
    return [str(each) for each in cast("list[object]", found)] if isinstance(found, list) else []


def condition(stored: Object, kind: str) -> Object:
    """A condition of the object's status by its type; empty where there is none."""
    return next((c for c in listing(stored, "status", "conditions") if c["type"] == kind), Object())


def owned_by(stored: Object | None, uid: str) -> bool:
    """Labels can be written by anyone; ownership of this very object is what counts."""
    return any(owner["uid"] == uid for owner in listing(stored, "metadata", "ownerReferences"))


def being_deleted(stored: Object) -> bool:
    return bool(stored["metadata"].get("deletionTimestamp"))
