"""What of a study that is stored cannot be changed any more, by the rules that the API server holds it to."""

from collections.abc import Iterable
from typing import Final

from .documents import Path
from .v1alpha1 import StudySpec

FIXED: Final = frozenset(rule.path.removeprefix(".") for rule in StudySpec.rules if "oldSelf" in rule.cel)
"""Fields of the specification."""

_REMEDY: Final = (
    "cannot be changed in a study: create a new one with what is right (crashes and margins that this one met stay "
    "known to it, unless spec.knowledge is Isolated), and delete this one"
)


def unchangeable(paths: Iterable[Path]) -> str:
    """What to do where any of these places cannot be mended in place; nothing where all can."""
    fixed = sorted({str(path[1]) for path in paths if len(path) > 1 and path[0] == "spec" and path[1] in FIXED})
    named = " and ".join(f"spec.{name}" for name in fixed)
    return f"{named} {_REMEDY}" if fixed else ""
