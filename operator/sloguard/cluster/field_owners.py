"""Whose fields of an object are, by what the API server keeps of it (metadata.managedFields). Pure."""

from collections.abc import Iterator, Sequence

from sloguard.cluster.api import FIELD_MANAGER, PACE_MANAGER
from sloguard.cluster.objects import Object, listing, section

_OURS = {FIELD_MANAGER, PACE_MANAGER}

Path = tuple[str, ...]
"""Of a field, as managedFields write it: f:spec, f:replicas."""


def applier(stored: Object, paths: Sequence[Path]) -> str:
    """Who applies one of these fields server-side, and so will again; empty where nobody does."""
    return next(_managers(stored, paths, "Apply"), "")


def updater(stored: Object, paths: Sequence[Path]) -> str:
    """Who has written one of these fields in another way; empty where they are the API's defaults."""
    return next(_managers(stored, paths, "Update"), "")


def _managers(stored: Object, paths: Sequence[Path], operation: str) -> Iterator[str]:
    for entry in listing(stored, "metadata", "managedFields"):
        foreign = entry.get("manager") not in _OURS and entry.get("operation") == operation
        if foreign and not entry.get("subresource") and any(_has(entry, path) for path in paths):
            yield str(entry.get("manager"))


def _has(entry: Object, path: Path) -> bool:
    return path[-1] in section(entry, "fieldsV1", *path[:-1])
